"""The server that the fault tests start as processes: the product, hashing cheaply, on a socket it is handed.

Orders are JSON: {"settings": {...}, "plant": name or null, "slow_commit": seconds, "ahead": seconds}. The
product has no switch for any of this; the plants are in `plants`, and whoever starts the processes in `nursery`.
"""

import asyncio
import signal
import socket
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import uvicorn
from fastapi import FastAPI
from sqlalchemy import event
from sqlalchemy.util import await_only
from typing_extensions import override

from dashtam.app import create_app
from dashtam.core import logs
from dashtam.core.clock import Clock
from dashtam.core.passwords import HashCost
from dashtam.core.service import Service
from dashtam.settings import load
from tests.faults import plants

CHEAP = HashCost(memory_kib=8, time_cost=1)


class ClockOff(Clock):
    """The wall clock, so many seconds ahead: what a restart later would see, or a node whose clock is wrong."""

    def __init__(self, seconds: float) -> None:
        self._ahead = timedelta(seconds=seconds)

    @override
    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead


def slow_down_commits(service: Service, seconds: float) -> None:
    """Let every COMMIT take so much longer, while the event loop goes on: what a busy disk would do."""

    def dawdle(_connection: object) -> None:
        await_only(asyncio.sleep(seconds))

    event.listen(service.database.writer.sync_engine, "commit", dawdle)


def application(orders: dict[str, Any]) -> FastAPI:
    """The application as ordered."""
    if orders["plant"]:
        plants.PLANTS[orders["plant"]]()
    settings = load(**orders["settings"])
    logs.configure(settings)
    app = create_app(settings, clock=ClockOff(orders["ahead"]), hash_cost=CHEAP)
    if orders["slow_commit"]:
        slow_down_commits(app.state.service, orders["slow_commit"])
    return app


def serve(listener: socket.socket, orders: dict[str, Any]) -> None:
    """Serve until stopped, as `dashtam serve` does with one worker."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises it again when it has stopped
    config = uvicorn.Config(
        application(orders),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=5,
    )
    uvicorn.Server(config).run(sockets=[listener])
