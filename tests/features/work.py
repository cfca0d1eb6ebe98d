"""Sees the work that requests cause: the SQL statements of each, and the password hashes computed for it."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import Any

import httpx2
from sqlalchemy import event

from dashtam.core import logs
from dashtam.core.passwords import HashCost
from tests.makers import Deployment


class CountingPool(ThreadPoolExecutor):
    """The hashing threads, and the cost of every hash that they were given."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.hashes: list[HashCost] = []

    def submit(self, work: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        recipe = getattr(work, "__self__", None)
        if recipe is not None:
            self.hashes.append(recipe.cost)
        return super().submit(work, *args, **named)


class Work:
    """What a deployment has done, request by request."""

    def __init__(self, deployment: Deployment) -> None:
        self.statements: dict[str | None, list[str]] = defaultdict(list)
        self.pool = CountingPool(deployment.service.passwords._threads)  # noqa: SLF001
        database = deployment.service.database
        for engine in {database.writer, database.reader} if database.is_sqlite else {database.writer}:
            event.listen(engine.sync_engine, "before_cursor_execute", self._see)

    def _see(self, _connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        self.statements[logs.request_id.get()].append(statement)

    def of(self, answer: httpx2.Response) -> list[str]:
        """The statements of the request that was answered so, in order."""
        return self.statements[answer.headers["x-request-id"]]


@contextmanager
def watched(deployment: Deployment) -> Iterator[Work]:
    """Watch this deployment. Its hashing goes through threads that count."""
    work = Work(deployment)
    passwords = deployment.service.passwords
    own, passwords._pool = passwords._pool, work.pool  # noqa: SLF001
    try:
        yield work
    finally:
        passwords._pool = own  # noqa: SLF001
        work.pool.shutdown()


@contextmanager
def hashing_held(deployment: Deployment) -> Iterator[None]:
    """Keep every hashing thread busy until the block ends: what has to hash, waits."""
    passwords, release = deployment.service.passwords, Event()
    for _ in range(passwords._threads):  # noqa: SLF001
        passwords._pool.submit(release.wait)  # noqa: SLF001
    try:
        yield
    finally:
        release.set()


def public_face(answer: httpx2.Response) -> tuple[int, str, list[tuple[str, str]]]:
    """All that a stranger sees of an answer, but for the id of the request."""
    own = answer.headers["x-request-id"]
    headers = [(name, value.replace(own, "…")) for name, value in answer.headers.multi_items()]
    return answer.status_code, answer.text.replace(own, "…"), headers
