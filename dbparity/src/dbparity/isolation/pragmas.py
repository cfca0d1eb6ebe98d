"""SQLite's PRAGMAs on a connection that is shared: which are run, which are kept to one facade, and when."""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbparity.isolation.part import Part

_SETTING = re.compile(r"\s*PRAGMA\s+(?:\w+\.)?(\w+)\s*(?:=\s*|\(\s*)['\"]?([\w-]+)", re.IGNORECASE)
_OUTSIDE = frozenset({"foreign_keys", "journal_mode", "synchronous"})
_TRUE = frozenset({"1", "on", "true", "yes"})


def query_only(text: str) -> bool | None:
    """Return what `PRAGMA query_only = …` asks for; None for any other."""
    setting = _SETTING.match(text)
    if setting is None or setting[1].lower() != "query_only":
        return None
    return setting[2].lower() in _TRUE


def run_pragma(part: Part, text: str, fill: Callable[[], int]) -> None:
    """Run a PRAGMA; those that SQLite takes outside of a transaction only, before the test's has begun."""
    part.check_open()
    setting = _SETTING.match(text)
    name = setting[1].lower() if setting else ""
    part.run(lambda: _outside(part, name, text, fill) if name in _OUTSIDE else fill())


def _outside(part: Part, name: str, text: str, fill: Callable[[], int]) -> None:
    shared = part.shared
    if shared.is_begun and not shared.stack.has_changed:
        shared.driver.say(
            shared.raw, ["ROLLBACK"]
        )  # nothing but reads: it begins anew with the next statement
        shared.is_begun = False
    before = shared.ask(f"PRAGMA {name}")
    try:
        fill()
    except sqlite3.OperationalError:
        if not shared.is_begun:
            raise
        part.witness.note(f"{text} came in the midst of the test's transaction and was left out.")
        return
    if shared.is_begun and name == "foreign_keys" and before != _wanted(text):
        part.witness.limit(
            f"{part.witness.who()} sends {text} after the test has changed rows: SQLite ignores it in the midst of a "
            "transaction, so this test runs without it."
        )


def _wanted(text: str) -> list[tuple[int]]:
    setting = _SETTING.match(text)
    return [(int(setting is not None and setting[2].lower() in _TRUE),)]
