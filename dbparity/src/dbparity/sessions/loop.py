"""The event loop that runs in this thread, asked for cheaply."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Task


def loop_here() -> AbstractEventLoop | None:
    """The loop that runs in this thread; None where none does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def task_here() -> Task[Any] | None:
    """The task that runs in this thread; None where none does."""
    loop = loop_here()
    return asyncio.current_task(loop) if loop is not None else None
