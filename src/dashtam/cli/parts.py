"""The parts of the service for commands that work on its database, without a server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from dashtam.cli.trouble import refuse_missing_file
from dashtam.settings import load

if TYPE_CHECKING:
    from dashtam.core.service import Service


@asynccontextmanager
async def service() -> "AsyncIterator[Service]":
    """The service of this environment's settings; closed at the end."""
    settings = load()
    refuse_missing_file(settings)

    from dashtam.core.clock import Clock
    from dashtam.core.service import build

    parts = build(settings, Clock())
    try:
        yield parts
    finally:
        parts.passwords.close()
        await parts.database.dispose()
