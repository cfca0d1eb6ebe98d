"""How a detector looks at what is committed, beside whatever the test's sessions do, and without waiting for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from dbparity.watch import RunningTest

T = TypeVar("T")

PATIENCE_MS = 500
"""How long a look at the database waits for another's lock."""


def look(test: RunningTest, work: Callable[[Connection], T]) -> T | None:
    """Run `work` where the committed rows of this test are read; None where they cannot be.

    Under savepoint isolation "committed" is what the test's own transaction has: only its isolation can look.
    """
    fresh: Any = getattr(test.isolation, "fresh", None)
    if fresh is not None:
        answer: T = fresh(work)
        return answer
    database = test.database
    if database is None or database.identity.is_memory or getattr(test.isolation, "name", "") == "savepoint":
        return None

    def patiently(connection: Connection) -> T:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {PATIENCE_MS}")
        elif connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{PATIENCE_MS}ms'")
        return work(connection)

    return database.observer.call(patiently)
