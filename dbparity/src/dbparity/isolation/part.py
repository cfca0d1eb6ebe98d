"""One connection's part in the shared one: its virtual transaction, and the statements executed in it."""

from __future__ import annotations

from concurrent.futures import CancelledError
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from dbparity.isolation.segments import Transaction, UnknownSavepointError
from dbparity.isolation.statements import Kind, Statement, Weight

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.engine.interfaces import Dialect

    from dbparity.isolation.shared import SharedConnection
    from dbparity.isolation.witness import Witness

T = TypeVar("T")

_STRICT = ("repeatable", "serializable")


class Part:
    """Begins, commits and rolls back for one connection of the application."""

    def __init__(self, dialect: Dialect, shared: SharedConnection, witness: Witness) -> None:
        self.dialect = dialect
        self.shared = shared
        self.witness = witness
        self.disguise = shared.driver.disguise(dialect, shared.raw)
        """The class that the application's engine expects its connections to have."""
        self.autocommit = False
        self.is_closed = False
        self._explicit = False
        """Whether a BEGIN was sent as text, which counts also where autocommit is on."""
        self._transaction: Transaction | None = None

    def run(self, work: Callable[[], T]) -> T:
        """Do something with the real connection, while nobody else does."""
        return self.shared.run(work, waits=self.dialect.is_async)

    def execute(
        self, statement: Statement, weight: Weight, fill: Callable[[], int], *, is_many: bool = False
    ) -> None:
        """Execute a statement: `fill` does it on the real connection, for many sets of parameters perhaps."""
        self.check_open()
        once = self._is_once(statement)
        transaction = Transaction() if once else self._current(weight)
        if once and weight:
            transaction.by = self.witness.who()
        stack = self.shared.stack
        if self.shared.undo_later:
            self.run(self._undo_closed)
        try:
            with self._turn(transaction, weight):
                if statement.words and (others := stack.uncommitted(transaction)):
                    self.witness.dirty_view(statement.words, others)
                self.run(partial(self._whole, transaction, weight, statement, fill, is_many))
        except CancelledError as error:  # of the thread's future, not of a task
            raise self.error("The statement was interrupted, because its test has ended.") from error
        except Exception as error:
            self.witness.explain_lock(error, self.shared.pid)
            raise
        finally:
            if once:
                stack.commit(transaction)

    def touch(self) -> None:
        """Take what is about to be done past our cursors for a write."""
        self.check_open()
        transaction = self._current(Weight.WRITE)
        with self._turn(transaction, Weight.WRITE):
            self.run(lambda: self._enter(transaction, Weight.WRITE, frozenset()))

    def control(self, statement: Statement, text: str) -> None:
        """Do to the virtual transaction what the text of a statement says."""
        kind = statement.kind
        if kind is Kind.COMMIT:
            self.commit()
        elif kind is Kind.ROLLBACK:
            self.rollback()
        elif kind is Kind.TWO_PHASE:
            raise self.two_phase()
        elif kind in {Kind.BEGIN, Kind.LEVEL}:
            self._explicit = self._explicit or kind is Kind.BEGIN
            self.note_level(text)
        else:
            self._control_savepoint(kind, statement.name)

    def commit(self) -> None:
        """Settle what was done; deferred constraints are checked first."""
        transaction = self._take()
        if transaction is None:
            return
        if transaction.failed:  # as the database would
            self._roll_back(transaction)
        elif self.shared.checks_deferred and transaction.has_changed:
            self.run(lambda: self._commit_checked(transaction))
        else:
            self.shared.stack.commit(transaction)

    def rollback(self) -> None:
        """Undo what was done; where nothing was, nobody hears of it."""
        transaction = self._take()
        if transaction is not None:
            self._roll_back(transaction)

    def close(self) -> None:
        """Undo later what was not committed: the garbage collector calls this in the midst of anything."""
        transaction = self._take()
        if transaction is not None:
            self.shared.undo_later.append(transaction)
        self.is_closed = True

    def end(self, test: str) -> None:
        """The real transaction was rolled back because its test ended."""
        self._explicit = False
        if self._transaction is not None:
            self._transaction.ended_with = test

    def check_open(self) -> None:
        """Refuse to work without a test or a connection."""
        if self.is_closed or not self.shared.is_usable():
            raise self.error("This connection is closed.")
        if self.witness.test is None:
            raise self.error(
                "No test is running under savepoint isolation. This connection was opened by a test that has ended."
            )

    def error(self, message: str) -> Exception:
        """Make an error that the application takes for one of its database."""
        error: Exception = self.dialect.loaded_dbapi.OperationalError(message)
        return error

    def two_phase(self) -> Exception:
        """Make the error for what one real transaction cannot do."""
        return NotImplementedError(
            "Two-phase transactions cannot be had under savepoint isolation. Mark the test with "
            '@pytest.mark.dbparity(isolation="delete") or (isolation="clone").'
        )

    def note_level(self, level: str) -> None:
        """Keep in mind that a stricter level was asked for than one real transaction can have inside."""
        if any(word in level.lower() for word in _STRICT) and self.shared.driver.aborts:
            self.witness.note(
                f"{self.witness.who()} asks for {level}: inside the test's transaction it has no effect."
            )

    def _whole(
        self,
        transaction: Transaction,
        weight: Weight,
        statement: Statement,
        fill: Callable[[], int],
        is_many: bool,  # noqa: FBT001 - partial's
    ) -> None:
        """Execute a statement with the savepoint that it needs; nobody else gets in between."""
        shared = self.shared
        self._enter(transaction, weight, statement.tables)
        try:
            shared.is_executing = True
            try:
                met = fill()
            finally:
                shared.is_executing = False
        except BaseException:
            if shared.is_usable():
                self._say(shared.stack.fail(transaction, halfway=is_many))
                self._check_standing()
            raise
        if statement.counts and met == 0 and not is_many:
            shared.stack.spare(transaction)
        elif weight:
            self._check_standing()

    @contextmanager
    def _turn(self, transaction: Transaction, weight: Weight) -> Iterator[None]:
        """Have the turn of a statement, which is waited for where it is a first change."""
        if weight <= transaction.weight:
            yield
            return
        turns, look_round = self.shared.turns, partial(self._look_round, transaction)
        with turns.of(transaction, waits=self.dialect.is_async, meanwhile=look_round) as late:
            if late:
                self.witness.waited_in_vain(turns.seconds, late)
            yield

    def _look_round(self, transaction: Transaction) -> None:
        """See, while waiting, whether the test goes on, and undo what a closed connection has left."""
        self.check_open()
        if transaction.ended_with:
            raise self._ended(transaction)
        if self.shared.undo_later:
            self.run(self._undo_closed)

    def _enter(self, transaction: Transaction, weight: Weight, tables: frozenset[str]) -> None:
        self._undo_closed()
        self._say([*self.shared.begin(), *self.shared.stack.enter(transaction, weight, tables)])

    def _undo_closed(self) -> None:
        shared = self.shared
        while shared.undo_later:
            transaction = shared.undo_later.popleft()
            if others := shared.stack.conflicts(transaction):
                self.witness.conflict(f"A closed connection of {transaction.by}", others)
                shared.stack.commit(transaction)
            else:
                self._say(shared.stack.rollback(transaction))

    def _say(self, sql: list[str]) -> None:
        if sql:
            self.shared.driver.say(self.shared.raw, sql)

    def _check_standing(self) -> None:
        shared = self.shared
        if shared.driver.in_transaction(shared.raw):
            return
        shared.is_begun = False
        shared.stack.reset()
        self.witness.limit(
            f"{self.witness.who()} ended the test's real transaction: by a COMMIT or ROLLBACK among other statements "
            "of one text, or by ON CONFLICT ROLLBACK. What was done before may stay in the database."
        )

    def _take(self) -> Transaction | None:
        """Return the transaction and have none from now on; None also for one that its test's end has undone."""
        transaction, self._transaction = self._transaction, None
        self._explicit = False
        return None if transaction is None or transaction.ended_with else transaction

    def _current(self, weight: Weight) -> Transaction:
        transaction = self._transaction
        if transaction is None:
            transaction = self._transaction = Transaction()
        elif transaction.ended_with:
            raise self._ended(transaction)
        elif transaction.failed:
            raise self.shared.driver.refused(self.dialect)
        if weight and not transaction.by:
            transaction.by = self.witness.who()
        return transaction

    def _ended(self, transaction: Transaction) -> Exception:
        return self.error(
            f"The transaction of this connection was rolled back when {transaction.ended_with} ended. Close or "
            "roll back what a test opens before it ends."
        )

    def _is_once(self, statement: Statement) -> bool:
        """Whether a statement is a transaction of its own."""
        transaction = self._transaction
        if self._explicit:
            return False
        if self.autocommit:
            return transaction is None
        if self.shared.driver.family != "sqlite3" or statement.is_dml or statement.weight is not Weight.WRITE:
            return False
        # Python's sqlite3 begins a transaction before INSERT, UPDATE, DELETE and REPLACE only.
        return transaction is None or not (transaction.has_changed or transaction.levels[1:])

    def _roll_back(self, transaction: Transaction) -> None:
        stack = self.shared.stack
        if not transaction.has_changed:
            stack.commit(transaction)
        elif self.shared.is_mid_work:
            self.shared.undo_later.append(transaction)
        else:
            self.run(lambda: self._undo(transaction, partial(stack.rollback, transaction)))

    def _undo(self, transaction: Transaction, undo: Callable[[], list[str]], name: str = "") -> None:
        stack = self.shared.stack
        others = stack.conflicts(transaction, name)
        if others:
            if not name:
                stack.commit(transaction)
            raise self.witness.conflict(transaction.by, others)
        self._say(undo())

    def _commit_checked(self, transaction: Transaction) -> None:
        stack = self.shared.stack
        try:
            self.shared.driver.check_deferred(self.shared.raw)
        except Exception:
            self._undo(transaction, partial(stack.rollback, transaction))
            raise
        stack.commit(transaction)

    def _control_savepoint(self, kind: Kind, name: str) -> None:
        stack = self.shared.stack
        try:
            if kind is Kind.ROLLBACK_TO:
                transaction = self._transaction or Transaction()
                undo = partial(stack.rollback_to, transaction, name)
                self.run(lambda: self._undo(transaction, undo, name))
            elif kind is Kind.RELEASE:
                stack.release(self._current(Weight.NONE), name)
            else:
                stack.savepoint(self._current(Weight.NONE), name)
        except UnknownSavepointError as error:
            raise self.error(f'savepoint "{name}" does not exist') from error
