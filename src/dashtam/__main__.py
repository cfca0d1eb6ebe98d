"""`python -m dashtam` is the `dashtam` command."""

from dashtam.cli import main

main()
