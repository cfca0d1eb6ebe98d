"""What the mail tests share: a mail part of a deployment, transports that misbehave, and a recording SMTP server."""

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlmodel import select

from dashtam.core.clock import Clock
from dashtam.core.db import Database
from dashtam.core.mail import (
    Delivery,
    MailDeferredError,
    MailRefusedError,
    MemoryTransport,
    Outbox,
    Prepare,
    Transport,
)
from dashtam.core.mail.delivery import SEND_SECONDS
from dashtam.core.mail.transports import recipient
from dashtam.core.sealing import SecretKey
from dashtam.core.tables import OutboxMail
from dashtam.settings import Settings

TOKEN = "dot1_" + "Zq7" * 14 + "x"
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass
class HandClock(Clock):
    """Stands still until it is moved."""

    at: datetime = START

    def now(self) -> datetime:
        return self.at

    def move(self, by: timedelta) -> None:
        self.at += by


class Misbehaving(MemoryTransport):
    """Keeps mail, but for local parts that say otherwise: `hang…`, `refuse…`, `defer…`, `break…`."""

    def __init__(self) -> None:
        super().__init__()
        self.tries: list[str] = []
        self.hanging = 0
        self.released = asyncio.Event()
        self.changed = asyncio.Condition()

    async def send(self, message: EmailMessage) -> None:
        to = recipient(message)
        async with self.changed:
            self.tries.append(to)
            self.hanging += to.startswith("hang")
            self.changed.notify_all()
        if to.startswith("hang"):
            await self.released.wait()
            raise MailDeferredError("nothing was heard of it")
        if to.startswith("refuse"):
            raise MailRefusedError("550 no such user")
        if to.startswith("defer"):
            raise MailDeferredError("451 come back later")
        if to.startswith("break"):
            raise RuntimeError(message.as_string())
        await super().send(message)
        async with self.changed:
            self.changed.notify_all()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(20), self.changed:
            await self.changed.wait_for(holds)

    def recipients(self) -> list[str]:
        return sorted(recipient(message) for message in self.messages)


@dataclass
class Rig:
    """The mail part of a deployment."""

    settings: Settings
    database: Database
    outbox: Outbox
    clock: HandClock

    async def queue(self, to: str, template: str = "verify-email", **values: str) -> None:
        if template in {"verify-email", "password-reset", "confirm-email", "resend-verification"}:
            values.setdefault("token", TOKEN)
        async with self.database.write() as db:
            self.outbox.queue(db, template, to, self.clock.now(), **values)

    async def rows(self) -> list[OutboxMail]:
        async with self.database.read() as db:
            return list((await db.exec(select(OutboxMail).order_by(OutboxMail.to))).all())

    async def row(self) -> OutboxMail:
        (row,) = await self.rows()
        return row

    def delivery(
        self, transport: Transport, *, send_seconds: float = SEND_SECONDS, **prepare: Prepare
    ) -> Delivery:
        named = {name.replace("_", "-"): one for name, one in prepare.items()}
        return Delivery(
            self.database, self.outbox, transport, self.clock, prepare=named, send_seconds=send_seconds
        )


def outbox_of(settings: Settings) -> Outbox:
    return Outbox(SecretKey(settings.secret_key.get_secret_value().encode()), settings)


@asynccontextmanager
async def rigged(settings: Settings) -> AsyncIterator[Rig]:
    database = Database(settings.database)
    try:
        yield Rig(settings, database, outbox_of(settings), HandClock())
    finally:
        await database.dispose()


@asynccontextmanager
async def running(delivery: Delivery, transport: Misbehaving) -> AsyncIterator[None]:
    """The delivery, running while the block does."""
    task = asyncio.create_task(delivery.run())
    try:
        yield
    finally:
        transport.released.set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Ask until it holds: for what has no event of its own, such as a row."""
    async with asyncio.timeout(20):
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@dataclass
class SmtpServer:
    """A small SMTP server that says what it is told to, and records every byte that it is sent."""

    offers: tuple[bytes, ...] = ()
    replies: dict[bytes, bytes] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    implicit_tls: bool = False
    port: int = 0
    received: list[bytes] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    in_the_clear: list[bytes] = field(default_factory=list)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["SmtpServer"]:
        tasks: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                await self._talk(reader, writer)
            except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(
            serve, "127.0.0.1", 0, ssl=self.tls if self.implicit_tls else None
        )
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        encrypted = self.implicit_tls
        await self._say(writer, self.replies.get(b"CONNECT", b"220 ready"))
        while line := await reader.readline():
            self.received.append(line)
            if not encrypted:
                self.in_the_clear.append(line.split()[0])
            verb = line[:4].upper().strip()
            reply = self.replies.get(verb)
            if reply == b"HANG":
                await asyncio.Event().wait()
            elif verb == b"STAR" and self.tls is not None:
                await self._say(writer, b"220 go ahead")
                await writer.start_tls(self.tls)
                encrypted = True
            elif verb == b"EHLO" and reply is None:
                offers = [
                    b"recorder",
                    *(offer for offer in self.offers if not (encrypted and offer == b"STARTTLS")),
                ]
                await self._say(writer, *(b"250-" + offer for offer in offers[:-1]), b"250 " + offers[-1])
            elif verb == b"DATA" and reply is None:
                await self._data(reader, writer)
            else:
                await self._say(writer, reply or self._default(verb))
            if verb == b"QUIT":
                return

    async def _data(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._say(writer, b"354 go on")
        content = await reader.readuntil(b"\r\n.\r\n")
        self.received.append(content)
        self.messages.append(content[: -len(b".\r\n")])
        await self._say(writer, self.replies.get(b"DONE", b"250 taken"))

    @staticmethod
    def _default(verb: bytes) -> bytes:
        return {b"QUIT": b"221 bye", b"AUTH": b"235 welcome"}.get(verb, b"250 fine")

    @staticmethod
    async def _say(writer: asyncio.StreamWriter, *lines: bytes) -> None:
        writer.write(b"".join(line + b"\r\n" for line in lines))
        await writer.drain()

    def lines(self, verb: bytes) -> list[bytes]:
        return [line for line in self.received if line.upper().startswith(verb)]


def certificate(folder: Path, name: str = "127.0.0.1") -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context with a certificate it made itself, and the file that lets a client trust it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=90))
        .add_extension(x509.SubjectAlternativeName([_general_name(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / f"{name}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(built.public_bytes(serialization.Encoding.PEM) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context, pem


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
