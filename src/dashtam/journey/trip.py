"""What one journey carries from step to step: its account, its tokens, its last exchange with the server."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx2

from dashtam.journey.redact import Redactor

if TYPE_CHECKING:
    from dashtam.journey.expect import TokenPair
    from dashtam.journey.mailbox import Mailbox


class Wire:
    """Sends a journey's requests below the API prefix and remembers the last one."""

    def __init__(self, client: httpx2.AsyncClient, prefix: str) -> None:
        self.client = client
        self.prefix = f"/{prefix.strip('/')}" if prefix.strip("/") else ""
        self.request: httpx2.Request | None = None
        self.response: httpx2.Response | None = None

    async def call(
        self, method: str, path: str, body: Mapping[str, str] | None = None, *, bearer: str | None = None
    ) -> httpx2.Response:
        """Send one request; redirects are not followed, because the contract has none."""
        headers = {"Accept": "application/json"}
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer}"
        self.response = None
        self.request = self.client.build_request(method, f"{self.prefix}{path}", json=body, headers=headers)
        self.response = await self.client.send(self.request, follow_redirects=False)
        return self.response

    def forget(self) -> None:
        """Drop the last exchange, so that a step cannot be blamed for the one before it."""
        self.request = self.response = None


@dataclass(repr=False)
class Trip:
    """One synthetic account on its way through the service."""

    wire: Wire
    mailbox: Mailbox
    patience: float
    email: str
    password: str
    new_password: str
    redactor: Redactor
    name: str = "Journey Traveller"
    new_name: str = "Journey Traveller the Second"
    pairs: list[TokenPair] = field(default_factory=list)
    verification_token: str = ""
    reset_token: str = ""
    asked_to_register: bool = False
    registered: bool = False
    reset_sent: bool = False

    @property
    def pair(self) -> TokenPair:
        """The newest token pair."""
        return self.pairs[-1]

    def keep(self, pair: TokenPair) -> TokenPair:
        """Remember a token pair; later steps prove that it is dead."""
        self.pairs.append(pair)
        self.redactor.learn(pair.access)
        self.redactor.learn(pair.refresh)
        return pair

    @property
    def likely_passwords(self) -> tuple[str, ...]:
        """Passwords the account may have now, the likeliest first; a reset may have failed half-way."""
        return (self.new_password, self.password) if self.reset_sent else (self.password,)


def set_out(wire: Wire, mailbox: Mailbox, *, domain: str, patience: float) -> Trip:
    """Pack for a journey: an address nobody has, and two strong passwords."""
    password, new_password = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    return Trip(
        wire=wire,
        mailbox=mailbox,
        patience=patience,
        email=f"journey-{secrets.token_hex(8)}@{domain}",
        password=password,
        new_password=new_password,
        redactor=Redactor((password, new_password)),
    )
