"""The only place where the parts are joined: settings in, a running application out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from dashtam import features
from dashtam.core import logs, upkeep
from dashtam.core import service as parts
from dashtam.core.clock import Clock
from dashtam.core.mail import Delivery, Transport, transport_for
from dashtam.core.passwords import HashCost
from dashtam.http import assemble
from dashtam.settings import Settings, load


def create_app(
    settings: Settings,
    *,
    clock: Clock | None = None,
    transport: Transport | None = None,
    hash_cost: HashCost | None = None,
) -> FastAPI:
    """The application of these settings. Nothing is opened or started before its lifespan begins."""
    service = parts.build(settings, clock or Clock(), hash_cost)
    carrier = transport or transport_for(settings)
    delivery = Delivery(
        service.database, service.outbox, carrier, service.clock, prepare=features.mail_preparers(service)
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await upkeep.load_keys(service)
        work = [
            asyncio.create_task(task)
            for task in (delivery.run(), upkeep.keep_keys(service), upkeep.keep_purging(service))
        ]
        try:
            yield
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            service.passwords.close()
            await service.database.dispose()

    app = assemble(service, features.routers(settings), lifespan)
    app.state.transport = carrier
    return app


def from_environment() -> FastAPI:
    """The application of this process's environment; what `dashtam serve` runs in every worker."""
    settings = load()
    logs.configure(settings)
    return create_app(settings)
