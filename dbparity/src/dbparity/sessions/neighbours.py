"""Who else works on the database under test, as its server tells it."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from dbparity.sessions.statements import one_line

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

    from dbparity.watch import RunningTest

MOST = 4
WIDTH = 70
ACTIVITY = text(
    "SELECT pid, application_name, host(client_addr) AS client, backend_start, query FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' "
    "ORDER BY state_change DESC NULLS LAST"
)


def neighbours(test: RunningTest, own: Collection[int]) -> list[str]:
    """The connections to the database that are not this process' own, a line for each."""
    database = test.database
    if database is None or database.url.get_backend_name() != "postgresql":
        return ["SQLite does not tell who else has the file open: another test run, mostly"]
    found: list[Any] = []
    with suppress(Exception):  # evidence only: the server may be gone
        found = [each for each in database.observer.call(_asked) if each.pid not in own]
    ours = (database.run, f"pid {os.getpid()} ")
    found = [each for each in found if not any(name in f"{each.application_name} " for name in ours)]
    if not found:
        return ["nobody else is connected any more"]
    lines = [_line(each) for each in found[:MOST]]
    more = [f"and {len(found) - MOST} more"] if len(found) > MOST else []
    return [*lines, *more]


def _asked(connection: Connection) -> list[Any]:
    return list(connection.execute(ACTIVITY))


def _line(row: Any) -> str:  # noqa: ANN401 - a row
    program = f' "{row.application_name}"' if row.application_name else ""
    last = one_line(row.query)
    last = last if len(last) <= WIDTH else f"{last[: WIDTH - 1]}…"
    where = row.client or "a local socket"
    return f"also connected: pid {row.pid}{program} from {where} since {row.backend_start:%H:%M:%S}, last: {last}"
