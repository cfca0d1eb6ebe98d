"""Values that are spelled differently and mean the same."""

from __future__ import annotations

from typing import Any

from dbparity.fingerprint.rating import Effect, Row

UTC = frozenset(
    {"UTC", "Etc/UTC", "UCT", "Etc/UCT", "Universal", "Etc/Universal", "Zulu", "Etc/Zulu", "UTC/UTC"}
)
SERVER_ZONE = "server_time_zone"
ZONES = frozenset({"TimeZone", SERVER_ZONE, "time_zone"})
LOCALES = frozenset({"collation", "ctype", "lc_messages", "lc_monetary", "lc_numeric", "lc_time"})

ONE_ZONE = Row("*", Effect.NONE, "Two names of one time zone.", "the time zone database, links to Etc/UTC")
UNKNOWN_ZONE = Row(
    "*",
    Effect.NONE,
    "Not known on one side: a zone of the database's or the role's own covers the server's there.",
    "PostgreSQL documentation, pg_file_settings",
)
ONE_LOCALE = Row("*", Effect.NONE, "Two spellings of one locale.", "setlocale(3), normalized code sets")


def means_the_same(name: str, a: Any, b: Any) -> Row | None:  # noqa: ANN401 - whatever JSON can say
    """The row that says so, where two values of a fact of this name are one."""
    if name in ZONES and {a, b} <= UTC:
        return ONE_ZONE
    if name == SERVER_ZONE and None in {a, b}:
        return UNKNOWN_ZONE
    if name in LOCALES and isinstance(a, str) and isinstance(b, str) and _plain(a) == _plain(b):
        return ONE_LOCALE
    return None


def _plain(locale: str) -> str:
    language, dot, encoding = locale.partition(".")
    return language + dot + encoding.replace("-", "").lower()
