"""Which kind of slate a URL has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbparity.isolation.slate_postgres import PostgresSlate
from dbparity.isolation.slate_sqlite import SqliteSlate

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from dbparity.isolation.slate import Slate


def slate_of(url: URL) -> Slate:
    """The slate of the database at this URL."""
    return SqliteSlate(url) if url.get_backend_name() == "sqlite" else PostgresSlate(url)
