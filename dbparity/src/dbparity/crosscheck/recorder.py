"""Takes down what the application asks of its database during a test: statements, transactions, errors, new ids.

Unlike the timeline, which people read, this is for comparing two runs of one test: each connection and each
transaction has a number, and what depends on the clock is noted with the clock's value.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, event, inspect
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from dbparity.observer import is_own
from dbparity.origin import caller

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection
    from sqlalchemy.engine import ExceptionContext

KEY = "dbparity.crosscheck"
MOST_EVENTS = 3000
SQL_CHARACTERS = 400
MESSAGE_CHARACTERS = 500
MOST_INTEGERS = 20
CLOCK = re.compile(
    r"\bnow\s*\(|\bcurrent_timestamp\b|\btransaction_timestamp\b|\blocaltimestamp\b", re.IGNORECASE
)
INSERTED = re.compile(r'^\s*INSERT\s+INTO\s+([\w."]+)', re.IGNORECASE)


class Recorder:
    """Listens to every engine and session of the process; `events` are those of the running test."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.clock_tables: frozenset[str] = frozenset()
        """Tables that have a column whose default is the transaction's time."""
        self._numbers = itertools.count(1)
        self._transactions: dict[int, int] = {}
        self._asking = False
        self._listeners: list[tuple[Any, str, Callable[..., Any]]] = [
            (Engine, "begin", self._begun),
            (Engine, "commit", self._committing),
            (Engine, "rollback", self._rolling_back),
            (Engine, "after_cursor_execute", self._executed),
            (Engine, "handle_error", self._failed),
            (Engine, "after_execute", self._inserted),
            (Session, "after_flush", self._flushed),
        ]

    def start(self) -> None:
        """Begin to listen."""
        for target, name, listener in self._listeners:
            event.listen(target, name, listener)

    def stop(self) -> None:
        """Stop listening."""
        for target, name, listener in self._listeners:
            event.remove(target, name, listener)

    def begin_test(self) -> None:
        """Forget what earlier tests did."""
        self.events = []
        self._numbers = itertools.count(1)
        self._transactions = {}

    def note(self, kind: str, **told: Any) -> None:  # noqa: ANN401 - what JSON knows
        """Take one thing down, with the line of the user's code that it comes from."""
        if len(self.events) < MOST_EVENTS:
            origin = caller()
            self.events.append({"kind": kind, "origin": str(origin) if origin else "", **told})

    def _begun(self, connection: Connection) -> None:
        if (number := self._number(connection)) is not None:
            self._transactions[number] = self._transactions.get(number, 0) + 1
            self.note("begin", **self._where(number))

    def _committing(self, connection: Connection) -> None:
        if (number := self._number(connection)) is not None:
            self.note("commit", **self._where(number))

    def _rolling_back(self, connection: Connection) -> None:
        if (number := self._number(connection)) is not None:
            self.note("rollback", **self._where(number))

    def _executed(self, connection: Connection, *arguments: Any) -> None:  # noqa: ANN401 - SQLAlchemy's
        _cursor, statement, parameters, *_ = arguments
        if self._asking or (number := self._number(connection)) is None:
            return
        told = self._where(number) | {"sql": " ".join(statement.split())[:SQL_CHARACTERS]}
        told["integers"] = list(itertools.islice(_integers(parameters), MOST_INTEGERS))
        if connection.dialect.name == "postgresql" and self._depends_on_the_clock(statement):
            told["now"] = self._now(connection)
        self.note("statement", **told)

    def _failed(self, context: ExceptionContext) -> None:
        connection = context.connection
        number = self._number(connection) if connection is not None else None
        if number is None:
            return
        error = context.sqlalchemy_exception or context.original_exception
        self.note(
            "error",
            **self._where(number),
            type=type(error).__name__,
            message=str(context.original_exception)[:MESSAGE_CHARACTERS],
            sql=" ".join((context.statement or "").split())[:SQL_CHARACTERS],
            at_commit=context.statement is None and self._last(number) == "commit",
        )

    def _inserted(self, connection: Connection, *arguments: Any) -> None:  # noqa: ANN401 - SQLAlchemy's
        clause, *_, result = arguments
        if not getattr(clause, "is_insert", False) or self._number(connection) is None:
            return
        try:
            self._note_ids(clause.table.name, result.inserted_primary_key)
        except Exception:  # noqa: BLE001 - whatever it is that this statement cannot tell
            return

    def _flushed(self, session: Session, _context: object) -> None:
        for each in session.new:
            mapper = inspect(each).mapper
            self._note_ids(
                str(getattr(mapper.local_table, "name", "")), mapper.primary_key_from_instance(each)
            )

    def _note_ids(self, table: str, key: Any) -> None:  # noqa: ANN401 - a row or a list
        for each in key or ():
            if isinstance(each, int) and not isinstance(each, bool):
                self.note("id", table=table, id=each)

    def _number(self, connection: Connection) -> int | None:
        if is_own(connection.dialect):
            return None
        try:
            info = connection.info
        except SQLAlchemyError:  # it is closed
            return None
        epoch, known = info.get(KEY, (None, 0))
        number: int = known if epoch is self.events else next(self._numbers)
        info[KEY] = self.events, number
        return number

    def _where(self, number: int) -> dict[str, Any]:
        return {"connection": number, "transaction": self._transactions.get(number, 0)}

    def _last(self, number: int) -> str:
        kinds = (each["kind"] for each in reversed(self.events) if each.get("connection") == number)
        return str(next(kinds, ""))

    def _depends_on_the_clock(self, statement: str) -> bool:
        into = INSERTED.match(statement)
        name = into.group(1).replace('"', "").rpartition(".")[2] if into else ""
        return name in self.clock_tables or CLOCK.search(statement) is not None

    def _now(self, connection: Connection) -> str:
        """What the clock shows to this transaction; asked of the driver, so that nobody else notices."""
        self._asking = True
        try:
            cursor = connection.connection.cursor()
            cursor.execute("SELECT now()")
            row = cursor.fetchone()
            cursor.close()
        finally:
            self._asking = False
        return str(row[0]) if row else ""


def _integers(parameters: Any) -> Iterator[int]:  # noqa: ANN401 - as drivers take them
    if isinstance(parameters, dict):
        parameters = list(parameters.values())
    if isinstance(parameters, list | tuple):
        for each in parameters:
            yield from _integers(each)
    elif isinstance(parameters, int) and not isinstance(parameters, bool):
        yield parameters
