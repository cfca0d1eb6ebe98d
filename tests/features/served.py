"""The application behind a real server and a real socket, for those who speak HTTP themselves."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI

from dashtam.app import create_app
from dashtam.core.mail import MemoryTransport
from dashtam.core.passwords import HashCost
from dashtam.settings import Settings

CHEAP = HashCost(memory_kib=8, time_cost=1)


@dataclass(frozen=True)
class Served:
    """A server that runs: where, and what it is made of."""

    url: str
    app: FastAPI
    transport: MemoryTransport


@contextmanager
def served(settings: Settings) -> Iterator[Served]:
    """The service of these settings, hashing cheaply, served from a thread of its own until the block ends."""
    transport = MemoryTransport()
    app = create_app(settings, transport=transport, hash_cost=CHEAP)
    server = uvicorn.Server(
        uvicorn.Config(app, http="httptools", loop="asyncio", log_config=None, access_log=False)
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        thread.start()
        try:
            yield Served(f"http://127.0.0.1:{listener.getsockname()[1]}", app, transport)
        finally:
            server.should_exit = True
            thread.join(timeout=20)
