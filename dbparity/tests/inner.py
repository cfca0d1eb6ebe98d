"""A small project of a user's, for the pytest runs that the tests of reports and crosschecks start."""

from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING, Any

# A run in this process forgets every module that it was the first to import, and some cannot be imported twice.
import aiosqlite  # noqa: F401
import asyncpg  # noqa: F401
import fastapi.testclient  # noqa: F401
import psycopg  # noqa: F401

import dbparity.plugin  # noqa: F401

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

OTHERS = ("anyio", "asyncio", "cacheprovider", "hypothesispytest", "randomly", "schemathesis")
QUICK = tuple(chain.from_iterable(("-p", f"no:{each}") for each in OTHERS))
"""Without the plugins that these projects do not need."""

CONFIGURED = """
[tool.dbparity]
metadata = "shop:Base.metadata"
database_url = "{url}"
schema = "create"
disposable = true

[tool.pytest.ini_options]
pythonpath = ["."]
addopts = ["--strict-markers", "--strict-config"]
filterwarnings = ["error"]
"""

SHOP = """
from datetime import datetime
from sqlalchemy import ForeignKey, create_engine, func
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

class Base(DeclarativeBase):
    pass

class Customer(Base):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id", deferrable=True, initially="DEFERRED"))

engine = create_engine("{url}")
Sessions = sessionmaker(engine)

def register(name):
    with Sessions() as session:
        customer = Customer(name=name)
        session.add(customer)
        session.commit()
        return customer.id
"""


ASYNC_SHOP = """
import asyncio
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import NullPool

class Base(DeclarativeBase):
    pass

class Customer(Base):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]

engine = create_async_engine("{url}", poolclass=NullPool)
Sessions = async_sessionmaker(engine)

def register(name):
    async def registering():
        async with Sessions.begin() as session:
            customer = Customer(name=name)
            session.add(customer)
            await session.flush()
            return customer.id
    return asyncio.run(registering())

def name_of(number):
    async def asking():
        async with Sessions() as session:
            return (await session.get(Customer, number)).name
    return asyncio.run(asking())
"""


def project(folder: Path, url: str, config: str = "", **tests: str) -> None:
    """Write the project down; each of `tests` becomes a file of its name."""
    (folder / "pyproject.toml").write_text(CONFIGURED.format(url=url) + config)
    (folder / "conftest.py").write_text("")
    for name, text in {"shop": SHOP, **tests}.items():
        (folder / f"{name}.py").write_text(text.replace("{url}", url))


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """One run of that project, in this process."""
    return pytester.runpytest_inprocess(*QUICK, *arguments)


def report(path: Path) -> dict[str, Any]:
    """What `--dbparity-report=json` wrote."""
    document: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return document
