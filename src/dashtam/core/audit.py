"""The record of who did what: one row an operation, in the transaction of its effect."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from dashtam.core.tables import AuditEvent


@dataclass(frozen=True, slots=True)
class Client:
    """Who is asking: the address as trusted proxies tell it, the user agent, and the request's id."""

    ip: str | None = None
    user_agent: str | None = None
    request_id: str | None = None


def record(
    db: AsyncSession,
    kind: str,
    client: Client,
    now: datetime,
    *,
    user_id: UUID | None = None,
    session_id: UUID | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    """Add an audit row to this transaction. `detail` never holds a secret or an address."""
    db.add(
        AuditEvent(
            at=now,
            kind=kind,
            user_id=user_id,
            session_id=session_id,
            ip=client.ip,
            request_id=client.request_id,
            detail=detail,
        )
    )
