"""A wire to PostgreSQL on which what the server says of itself is changed: for servers that cannot be had here."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from sqlalchemy.engine import make_url

_CHUNK = 65_536


@asynccontextmanager
async def lying(url: str, words: Mapping[str, str]) -> AsyncIterator[str]:
    """The URL of the same database over a wire that puts other words, as long, in the place of these."""
    assert all(len(told) == len(true) for true, told in words.items())
    server = make_url(url)
    open_: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, change: bool) -> None:
        with suppress(ConnectionError):
            while chunk := await reader.read(_CHUNK):
                for true, told in words.items() if change else ():
                    chunk = chunk.replace(true.encode(), told.encode())
                writer.write(chunk)
                await writer.drain()
        writer.close()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to_there = await asyncio.open_connection(server.host, server.port)
        for task in (carry(reader, to_there, change=False), carry(there, writer, change=True)):
            open_.add(asyncio.create_task(task))

    listener = await asyncio.start_server(meet, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        yield server.set(port=port).render_as_string(hide_password=False)
    await asyncio.gather(*open_)
