"""Waiting in a task for what another thread does."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Future


async def done(future: Future[Any]) -> None:
    """Wait for another thread's future without cancelling it, or minding that this loop may end first."""
    loop = asyncio.get_running_loop()
    mine = loop.create_future()

    def settle() -> None:
        if not mine.done():
            mine.set_result(None)

    def tell(_: object) -> None:
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle)

    future.add_done_callback(tell)
    await mine
