"""The nouns that features share: tables, sessions, passwords, tokens, mail. Knows no HTTP."""
