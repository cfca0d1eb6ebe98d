"""The engine, and how sessions are made."""

import os

from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.pool import NullPool

engine = create_async_engine(
    os.environ.get("DATABASE_URL", "sqlite+aiosqlite:///notes.db"),
    poolclass=NullPool,  # tests have an event loop each, and a pooled connection belongs to one
)
sessions = async_sessionmaker(engine, expire_on_commit=False)
