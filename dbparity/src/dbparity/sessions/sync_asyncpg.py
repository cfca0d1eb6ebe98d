"""asyncpg for a sync session, where every connection is a part in the test's one (savepoint isolation).

That one lives on dbparity's own event loop and is waited for like a sync driver's. So nothing is left that would
need SQLAlchemy's greenlets, but for what the dialect itself does with a new connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.pool import QueuePool
from sqlalchemy.util import greenlet_spawn

from dbparity.observer import background_loop

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import URL
    from sqlalchemy.pool import Pool

DRIVERNAME = "postgresql+dbparity_asyncpg"


class SyncAsyncpg(PGDialect_asyncpg):
    """Says of itself that it is sync; its connections come from `dbparity.isolation.savepoint`."""

    is_async = False
    supports_statement_cache = True

    @classmethod
    def get_pool_class(cls, url: URL) -> type[Pool]:  # noqa: ARG003 - SQLAlchemy's signature
        """Any sync pool."""
        return QueuePool

    def on_connect(self) -> Callable[[Any], None] | None:
        """Set codecs, which asyncpg does asynchronously."""
        prepare = super().on_connect()  # type: ignore[no-untyped-call]
        if prepare is None:
            return None

        def connected(connection: Any) -> None:  # noqa: ANN401 - a facade
            background_loop().run(greenlet_spawn(prepare, connection))

        return connected


registry.register("postgresql.dbparity_asyncpg", __name__, SyncAsyncpg.__name__)
