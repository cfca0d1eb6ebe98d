"""Deployments of real processes, shared by the tests of a kind: accounts are apart, so the tests are."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from dashtam.core.db import Database
from tests.faults.nursery import Nursery
from tests.faults.site import Site

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "100"))
"""Rounds of a race. More at night."""

NewDatabase = Callable[[str], AbstractContextManager[tuple[str, Path]]]
NewSite = Callable[..., AbstractContextManager[Site]]


@pytest.fixture(scope="session")
def new_database(
    tmp_path_factory: pytest.TempPathFactory,
    base_url: Callable[[str], str],
    dbparity_lend: Callable[[str], AbstractContextManager[str]],
) -> NewDatabase:
    """Lends a migrated database of a kind ("sqlite", "postgresql"): its URL, and a folder of its own."""

    @contextmanager
    def lend(kind: str) -> Iterator[tuple[str, Path]]:
        with dbparity_lend(base_url(kind)) as url:
            yield url, tmp_path_factory.mktemp("site")

    return lend


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where the servers of this run come from."""
    with Nursery() as nursery:
        yield nursery


@pytest.fixture(scope="session")
def new_site(nursery: Nursery, new_database: NewDatabase) -> NewSite:
    """Lends a running deployment over a database of its own."""

    @contextmanager
    def lend(kind: str, **more: Any) -> Iterator[Site]:
        with new_database(kind) as (url, folder), Site(nursery, url, folder, **more) as site:
            yield site

    return lend


@pytest.fixture(
    scope="session",
    params=[("postgresql", 2), ("sqlite", 1), ("sqlite", 2)],
    ids=["postgresql-2-processes", "sqlite-1-process", "sqlite-2-processes"],
)
def site(request: pytest.FixtureRequest, new_site: NewSite) -> Iterator[Site]:
    """A deployment for races."""
    kind, processes = request.param
    with new_site(kind, processes=processes) as site:
        yield site


@pytest.fixture
def rounds(site: Site) -> int:
    """How often a race is run: in full on what is deployed, in part on what only must not break."""
    shares_a_file = site.processes > 1 and site.database_url.startswith("sqlite")
    return max(1, ROUNDS // 10) if shares_a_file else ROUNDS


@pytest.fixture
async def rows(site: Site) -> AsyncIterator[Database]:
    """The deployment's database, for looking at what is committed."""
    database = Database(site.database_url, pool_size=2)
    yield database
    await database.dispose()
