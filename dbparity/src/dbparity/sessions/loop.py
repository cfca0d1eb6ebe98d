"""The event loop that runs in this thread, asked for cheaply."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Task


def loop_here() -> AbstractEventLoop | None:
    """The loop that runs in this thread; None where none does."""
    return asyncio._get_running_loop()  # noqa: SLF001 - documented, and never raises


def task_here() -> Task[Any] | None:
    """The task that runs in this thread; None where none does."""
    loop = loop_here()
    return asyncio.current_task(loop) if loop is not None else None
