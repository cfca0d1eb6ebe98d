"""How a session was made, compared with how the application makes its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbparity.origin import Origin

COMPARED = ("expire_on_commit", "autoflush", "autobegin", "twophase")
TEST_FILE = re.compile(r"conftest\.py$|test_[^/\\]*\.py$|[^/\\]*_test\.py$")
TEST_FOLDERS = frozenset({"tests", "test"})


@dataclass(frozen=True)
class Options:
    """What a session's maker has decided about it."""

    kind: type[Session]
    values: tuple[tuple[str, object], ...]

    @classmethod
    def of(cls, session: Session) -> Options:
        """As this session has them."""
        return cls(_declared(type(session)), tuple((name, getattr(session, name, None)) for name in COMPARED))

    @classmethod
    def made_by(cls, factory: Any) -> Options:  # noqa: ANN401 - sync or async, scoped or not
        """As the application's factory gives them: seen on a session that it makes and nobody uses."""
        made = getattr(factory, "session_factory", factory)()
        return cls.of(made.sync_session if isinstance(made, AsyncSession) else made)

    def unlike(self, own: Options) -> Iterator[str]:
        """What differs from the application's own, a phrase each."""
        if self.kind is not own.kind and not issubclass(self.kind, own.kind):
            yield f"it is a {_name(self.kind)}, the application's are {_name(own.kind)}"
        for (name, value), (_, expected) in zip(self.values, own.values, strict=True):
            if value != expected:
                yield f"{name}={value}, the application's have {name}={expected}"


def joins_wrongly(session: Session) -> str:
    """What is wrong with how a session takes part in a transaction that was begun outside of it; else empty."""
    mode = getattr(session, "join_transaction_mode", "")
    if not isinstance(session.bind, Connection) or mode in {"create_savepoint", ""}:
        return ""
    return (
        f"join_transaction_mode={mode!r} on a connection with a transaction of the test's: the application's "
        "rollback() undoes what the test has prepared, and what it commits afterwards may stay"
    )


def is_test_code(origin: Origin | None) -> bool:
    """Whether a line belongs to tests, as their files and folders are called everywhere."""
    if origin is None:
        return False
    path = PurePath(origin.file)
    return bool(TEST_FILE.match(path.name)) or not TEST_FOLDERS.isdisjoint(path.parts[-4:-1])


def _declared(kind: type[Session]) -> type[Session]:
    """The class that somebody wrote: a sessionmaker derives one of the same name from it, in SQLAlchemy's module."""
    while kind is not Session and kind.__module__ == Session.__module__:
        kind = kind.__mro__[1]
    return kind


def _name(kind: type[Session]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
