"""What the doctor examines on this machine: the environment, its settings, and the parts made from them."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from dashtam.core.clock import Clock
from dashtam.core.db import Database
from dashtam.core.service import Service, build
from dashtam.settings import BadSettingsError, Settings, look

T = TypeVar("T")

DOCTOR = "dashtam doctor"
"""How PostgreSQL's list of connections tells ours from those of a node."""

_POOL_SIZE = 4


@dataclass(frozen=True)
class Local:
    """The deployment that this environment describes. Without `settings`, `faults` says what is wrong with them."""

    environ: Mapping[str, str] = field(repr=False)
    clock: Clock
    faults: tuple[tuple[str, str], ...] = ()
    parts: Service | None = None
    _found: dict[Callable[["Local"], Awaitable[Any]], "asyncio.Future[Any]"] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def service(self) -> Service:
        """The parts of the service; for checks that need "settings.valid"."""
        if self.parts is None:
            raise BadSettingsError(list(self.faults))
        return self.parts

    @property
    def settings(self) -> Settings:
        """The settings; for checks that need "settings.valid"."""
        return self.service.settings

    async def once(self, find: Callable[["Local"], Awaitable[T]]) -> T:
        """What `find` finds about this deployment: found once, for all the checks that ask for it."""
        self.begin(find)
        found: T = await asyncio.shield(self._found[find])  # who runs out of time ends for itself alone
        return found

    def begin(self, find: Callable[["Local"], Awaitable[Any]]) -> None:
        """Begin to find that, for those who will ask: over a slow link it is better waited for beside others."""
        if find not in self._found:
            self._found[find] = asyncio.ensure_future(find(self))

    async def forget(self) -> None:
        """End what is still being found, so that all is found anew when asked for."""
        for finding in self._found.values():
            finding.cancel()
        await asyncio.gather(*self._found.values(), return_exceptions=True)
        self._found.clear()

    async def close(self) -> None:
        """Close every connection."""
        await self.forget()
        if self.parts is not None:
            self.parts.passwords.close()
            await self.parts.database.dispose()


@asynccontextmanager
async def local(
    clock: Clock | None = None, settings: Settings | None = None, environ: Mapping[str, str] = os.environ
) -> AsyncIterator[Local]:
    """Look at the deployment of this environment. Nothing is made, and nothing is changed."""
    clock = clock or Clock()
    try:
        service = _few_connections(build(settings or look(), clock))
    except BadSettingsError as error:
        yield Local(environ, clock, faults=tuple(error.faults))
        return
    here = Local(environ, clock, parts=service)
    try:
        yield here
    finally:
        await here.close()


def _few_connections(service: Service) -> Service:
    """The service with a database of the doctor's own: he may come when there are hardly any left."""
    own = Database(service.settings.database, pool_size=_POOL_SIZE, name=DOCTOR, as_found=True)
    return replace(service, database=own)
