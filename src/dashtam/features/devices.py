"""The devices that are logged in: seeing them, and ending one or all others."""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict
from sqlmodel.ext.asyncio.session import AsyncSession

from dashtam.core import audit, sessions
from dashtam.core.problems import NOT_FOUND, SESSION_INVALID
from dashtam.core.sessions import Current
from dashtam.core.tables import Session
from dashtam.http import Client, CurrentSession, Db, Message, Now, Services, answers

OTHERS_ENDED = "Every other device is logged out."

router = APIRouter(prefix="/auth/sessions", tags=["devices"])


class Device(BaseModel):
    """A session as its owner sees it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "01980a2f-7a40-7c11-8b02-5d1e9f3a6c27",
                    "current": True,
                    "created_at": "2026-11-22T20:00:00Z",
                    "last_seen_at": "2026-11-22T20:10:00Z",
                    "expires_at": "2026-12-22T20:00:00Z",
                    "ip": "203.0.113.7",
                    "user_agent": "Mozilla/5.0",
                }
            ]
        }
    )

    id: UUID
    current: bool
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    ip: str | None
    user_agent: str | None


def device_of(session: Session, current: Current) -> Device:
    """What the owner sees of one session."""
    return Device(
        id=session.id,
        current=session.id == current.session_id,
        created_at=session.created_at,
        last_seen_at=session.last_seen_at,
        expires_at=session.expires_at,
        ip=session.ip,
        user_agent=session.user_agent,
    )


async def end(
    db: AsyncSession, current: Current, session_id: UUID, client: audit.Client, now: datetime
) -> None:
    """End one of the owner's sessions. Somebody else's is as unknown as one that never was."""
    if not await sessions.revoke(db, current.user_id, session_id, "ended-by-owner", now):
        raise NOT_FOUND()
    audit.record(db, "session-ended", client, now, user_id=current.user_id, session_id=session_id)


async def end_others(db: AsyncSession, current: Current, client: audit.Client, now: datetime) -> None:
    """End every session of the owner but the one that asks."""
    ended = await sessions.revoke_all(db, current.user_id, "ended-by-owner", now, keep=current.session_id)
    audit.record(
        db,
        "other-sessions-ended",
        client,
        now,
        user_id=current.user_id,
        session_id=current.session_id,
        detail={"ended": ended},
    )


@router.get("", responses=answers(SESSION_INVALID))
async def get_sessions(current: CurrentSession, service: Services, now: Now) -> list[Device]:
    """The devices that are logged in, newest first."""
    async with service.database.read() as db:
        mine = await sessions.live(db, current.user_id, now, service.lifetimes.idle)
    return [device_of(session, current) for session in mine]


@router.delete("/{session_id:uuid}", status_code=204, responses=answers(SESSION_INVALID, NOT_FOUND))
async def delete_session(session_id: UUID, current: CurrentSession, db: Db, client: Client, now: Now) -> None:
    """Log one device out."""
    await end(db, current, session_id, client, now)


@router.post("/revoke-others", responses=answers(SESSION_INVALID))
async def post_revoke_others(current: CurrentSession, db: Db, client: Client, now: Now) -> Message:
    """Log every other device out."""
    await end_others(db, current, client, now)
    return Message(message=OTHERS_ENDED)
