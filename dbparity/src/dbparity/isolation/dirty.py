"""Which tables a test has written to, read from the statements of every engine that means its database.

What is not certain counts as written: a table that is only named in a statement that writes is noted with the
others, and where a statement may write to what it does not name (a function, a view, a trigger, a block of
code), every table may be dirty. Noting too much costs a look; noting too little leaves rows to the next test.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, event

from dbparity.observer import is_own
from dbparity.targets import MEMORY, Identity, identity_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

REMEMBERED = 4096
"""How many statements are known by heart; SQL with values spelled out would fill the memory."""

_STRINGS = re.compile(r"'(?:[^']|'')*'")
_LOCKING = re.compile(r"\bfor\s+(?:no\s+key\s+)?update\b")
_WRITING = re.compile(r"\b(?:insert|update|delete|merge|truncate|copy|replace)\b")
_OPAQUE = re.compile(r"\s*(?:do|call|execute|import)\b")
_DDL = re.compile(r"\s*(?:create|alter|drop|rename)\b")
_COMMENTS = re.compile(r"/\*.*?\*/|--[^\n]*", re.DOTALL)
_WORDS = re.compile(r"[\w$]+")
_QUOTED = re.compile(r'"((?:[^"]|"")+)"')


@dataclass(frozen=True)
class Names:
    """The names by which a database's tables can be written to."""

    tables: Mapping[str, frozenset[str]]
    """From a name as statements have it, in lower case, to the tables that it may mean."""
    indirect: frozenset[str] = frozenset()
    """Views, tables with triggers or rules: writing there writes elsewhere."""
    functions: frozenset[str] = frozenset()
    """Functions and procedures of the application's own, which may write wherever they are called."""


@dataclass(frozen=True)
class Effect:
    """What a statement may have written to."""

    tables: frozenset[str] = frozenset()
    anything: bool = False
    """Whether it may have written to tables that it does not name."""
    schema: bool = False
    """Whether it makes, changes or drops tables."""


@dataclass
class Dirt:
    """What a test has done."""

    tables: set[str] = field(default_factory=set)
    anything: bool = False
    schema: bool = False

    def add(self, effect: Effect | Dirt) -> None:
        """Add what one more statement may have done."""
        self.tables |= effect.tables
        self.anything = self.anything or effect.anything
        self.schema = self.schema or effect.schema


def effect_of(sql: str, names: Names) -> Effect:
    """Judge a statement by its words."""
    text = _COMMENTS.sub(" ", sql.lower())
    if "\\" not in text:  # else where a string ends is not for a pattern to say
        text = _STRINGS.sub("''", text)
    text = _LOCKING.sub(" ", text)
    words = set(_WORDS.findall(text))
    words.update(each.replace('""', '"') for each in _QUOTED.findall(text))
    calls = bool(words & names.functions) or bool(_OPAQUE.match(text))
    if _DDL.match(text):
        return Effect(anything=calls or " as " in text, schema=True)
    if not _WRITING.search(text):
        return Effect(anything=calls)
    tables = frozenset(table for word in words for table in names.tables.get(word, ()))
    return Effect(tables, anything=calls or not tables or bool(words & names.indirect))


class DirtyTables:
    """Listens to every engine of the process that may mean the database under test."""

    def __init__(self, names: Names, identities: Collection[Identity]) -> None:
        self.dirt = Dirt()
        self._names = names
        self._identities = identities
        self._effects: dict[str, Effect] = {}
        self._concerned: WeakKeyDictionary[Engine, bool] = WeakKeyDictionary()

    def start(self) -> None:
        """Begin to listen, to engines made before and after."""
        event.listen(Engine, "before_cursor_execute", self._executing)

    def stop(self) -> None:
        """Listen no more."""
        event.remove(Engine, "before_cursor_execute", self._executing)

    def know(self, names: Names) -> None:
        """The tables are others now."""
        self._names = names
        self._effects.clear()

    def take(self) -> Dirt:
        """What was written since the last time."""
        dirt, self.dirt = self.dirt, Dirt()
        return dirt

    def _executing(
        self,
        connection: Connection,
        _cursor: object,
        statement: str,
        _parameters: object,
        _context: object,
        _many: bool,  # noqa: FBT001 - the event's
    ) -> None:
        effect = self._effects.get(statement)
        if effect is None:
            if len(self._effects) >= REMEMBERED:
                self._effects.clear()
            effect = self._effects[statement] = effect_of(statement, self._names)
        if effect is not _NONE and effect != _NONE and self._concerns(connection.engine):
            self.dirt.add(effect)

    def _concerns(self, engine: Engine) -> bool:
        concerned = self._concerned.get(engine)
        if concerned is None:
            concerned = self._concerned[engine] = not is_own(engine.dialect) and self._may_mean(engine)
        return concerned

    def _may_mean(self, engine: Engine) -> bool:
        """Whether it leads to one of our databases; one with a `creator=` of its own says nothing in its URL."""
        meant = identity_of(engine.url)
        if meant.database in {"", MEMORY}:
            return any(each.backend == meant.backend for each in self._identities)
        return meant in self._identities


_NONE = Effect()
