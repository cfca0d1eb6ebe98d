"""An application on a database, with the savepoint isolation of its tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from isolated import USERS, Suite
from sqlalchemy.orm import Session

from dbparity.isolation.savepoint import SavepointIsolation

if TYPE_CHECKING:
    from pathlib import Path


class Place:
    """A suite and its savepoint isolation on one driver."""

    def __init__(self, url: sa.URL, folder: Path) -> None:
        self.suite = Suite(url, folder)
        self._running = self.suite.running()
        self._running.__enter__()
        self.url = url
        self.engine: Any = self.suite.application.engine
        self.isolation = SavepointIsolation(self.suite.database, self.suite.router, self.suite.watch)

    def test(self) -> Any:
        return self.suite.test(self.isolation)

    def count(self) -> int:
        with Session(self.engine) as session:
            return session.scalar(sa.select(sa.func.count()).select_from(USERS)) or 0

    def close(self) -> None:
        self.isolation.close()
        self._running.__exit__(None, None, None)


def user(email: str) -> sa.Insert:
    return USERS.insert().values(email=email)
