"""A deployment made of real processes over one database, and what a test does to it and sees of it."""

import asyncio
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dashtam.core.mail import MaildirTransport
from dashtam.journey.mailbox import Mail, read_token
from tests.faults.nursery import Nursery, ServerProcess
from tests.faults.wire import Answer, Line, Request, Volley
from tests.makers import API, NAME, PASSWORD, new_email

STOP_SECONDS = 15
MAIL_SECONDS = 15
AT_ONCE = 32
SECRET = "w8Tq2Lr6Yx1Vn5Kd9Bz3Hs7Pc4Mf0Jg-site"
_NO_LIMIT = "1000000/1h"
_RATES = (
    "rate_login_per_account",
    "rate_login_account_total",
    "rate_login_per_source",
    "rate_register_per_source",
    "rate_mail_per_address",
    "rate_mail_per_source",
)


@dataclass
class Site:
    """`processes` servers over one database, with one secret and one development mailbox."""

    nursery: Nursery
    database_url: str
    var_dir: Path
    processes: int = 1
    plant: str | None = None
    slow_commit: float = 0
    ahead: float = 0
    settings: dict[str, object] = field(default_factory=dict)
    ports: list[int] = field(default_factory=list, init=False)
    _running: list[ServerProcess] = field(default_factory=list, init=False)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Start the servers, all at once, and wait until each answers."""
        try:
            self.ports = [self._start_one(number) for number in range(self.processes)]
            for port in self.ports:
                self._wait_for(port)
        except BaseException:
            self.stop()
            raise
        return self

    def kill(self) -> None:
        """End the servers with SIGKILL: nothing of theirs runs any more."""
        for process in self._running:
            process.send(signal.SIGKILL)
        self._reap()

    def stop(self) -> None:
        """End the servers in good order."""
        for process in self._running:
            process.send(signal.SIGTERM)
        self._reap()

    @property
    def url(self) -> str:
        """The base URL of the first server."""
        return f"http://127.0.0.1:{self.ports[0]}"

    @contextmanager
    def volley(self, size: int = AT_ONCE) -> Iterator[Volley]:
        """So many connections, spread over the servers."""
        with Volley(self.ports, size) as volley:
            yield volley

    @contextmanager
    def line(self) -> Iterator[Line]:
        """One connection, to the first server."""
        with Line(self.ports[0]) as line:
            yield line

    def log(self) -> str:
        """What the servers have said."""
        return "".join(path.read_text() for path in sorted(self.var_dir.glob("server-*.log")))

    async def token(self, to: str, page: str) -> str:
        """The token of the newest mail to this address that leads to this page, once it is delivered."""
        deadline = time.monotonic() + MAIL_SECONDS
        mailbox = MaildirTransport(self.var_dir / "mailbox")
        while time.monotonic() < deadline:
            for mail in await mailbox.delivered(to):
                found = Mail(mail.id, mail.to, mail.subject, mail.text, mail.html, mail.sent_at.isoformat())
                if token := read_token(found, to, page):
                    return token
            await asyncio.sleep(0.01)
        raise AssertionError(f"no mail with a /{page} link came to {to}; the servers said:\n{self.log()}")

    async def tokens(self, addresses: Sequence[str], page: str) -> list[str]:
        """The mailed token of each address."""
        return [await self.token(address, page) for address in addresses]

    async def registered(self, count: int) -> list[str]:
        """So many new addresses, registered."""
        addresses = [new_email() for _ in range(count)]
        forms = [{"email": email, "password": PASSWORD, "name": NAME} for email in addresses]
        assert {answer.status for answer in self.each("/auth/register", forms)} == {201}
        return addresses

    async def verified(self, count: int) -> list[str]:
        """So many new addresses, registered and verified."""
        addresses = await self.registered(count)
        forms = [{"token": token} for token in await self.tokens(addresses, "verify-email")]
        assert {answer.status for answer in self.each("/auth/verify-email", forms)} == {200}
        return addresses

    def log_in(self, line: Line, email: str, password: str = PASSWORD) -> Answer:
        """Try to log in."""
        return line.post("/auth/login", {"email": email, "password": password})

    def each(self, path: str, bodies: Sequence[dict[str, Any]]) -> list[Answer]:
        """POST every body, many at once."""
        answers: list[Answer] = []
        with self.volley() as volley:
            for start in range(0, len(bodies), AT_ONCE):
                answers += volley.post(path, bodies[start : start + AT_ONCE])
        return answers

    def _start_one(self, number: int) -> int:
        orders = {
            "settings": self._settings(),
            "plant": self.plant,
            "slow_commit": self.slow_commit,
            "ahead": self.ahead,
        }
        with (
            socket.create_server(("127.0.0.1", 0), backlog=256) as listener,
            (self.var_dir / f"server-{number}.log").open("ab") as log,
        ):
            self._running.append(self.nursery.start(listener, log, orders))
            port: int = listener.getsockname()[1]
        return port

    def _settings(self) -> dict[str, object]:
        return {
            "environment": "test",
            "database_url": self.database_url,
            "secret_key": SECRET,
            "var_dir": str(self.var_dir),
            "public_url": "http://127.0.0.1",
            "mail_transport": "mailbox",
            "log_level": "warning",
            "hash_queue": 1000,
            **dict.fromkeys(_RATES, _NO_LIMIT),
            **self.settings,
        }

    def _wait_for(self, port: int) -> None:
        """The socket is open already, so the first answer tells that the server behind it stands."""
        try:
            with Line(port) as line:
                alive = line.call("GET", "/health/live").status
        except OSError as error:
            raise AssertionError(f"a server did not start: {error}; it said:\n{self.log()}") from None
        assert alive == 200, self.log()

    def _reap(self) -> None:
        for process in self._running:
            if not process.ends_within(STOP_SECONDS):
                process.send(signal.SIGKILL)
            process.close()
        self._running.clear()


def me(access_token: str) -> Request:
    """The request for one's own profile."""
    return ("GET", f"{API}/auth/me", None, access_token)
