"""Refreshing: one conditional UPDATE moves the session to its next generation.

The generation just spent, replayed within the window, is answered with the same successor (a lost answer, two
tabs, a retry); anything older, or later, is theft: the session ends and its owner is told (RFC 9700 section 4.14).
"""

from datetime import datetime

from fastapi import APIRouter
from sqlmodel.ext.asyncio.session import AsyncSession

from dashtam.core import audit, sessions, users
from dashtam.core.problems import SESSION_INVALID, Problem
from dashtam.core.service import Service
from dashtam.core.sessions import RefreshToken
from dashtam.core.tables import Session
from dashtam.core.token_pair import TokenPair, pair_of
from dashtam.http import Client, Db, Form, Now, Refusal, Services, TokenText, answers, refusal

REFUSED = "The refresh token is unknown, expired, revoked, or was spent before: log in again."

router = APIRouter(prefix="/auth", tags=["login"])


class Refresh(Form):
    """A refresh token to be exchanged."""

    refresh_token: TokenText


async def refresh(
    db: AsyncSession, service: Service, text: str, client: audit.Client, now: datetime
) -> TokenPair | Problem:
    """Exchange a refresh token. A returned problem keeps its writes: the session that reuse has ended."""
    token = sessions.parse(text)
    if token is None:
        raise SESSION_INVALID(REFUSED)
    session = await sessions.advance(db, token, now, service.lifetimes.idle)
    if session is None:
        return await _replayed(db, service, token, client, now)
    if not service.refresh_tokens.is_genuine(token, session.nonce):
        raise SESSION_INVALID(REFUSED)  # and the advance is rolled back
    return pair_of(service, session, now)


async def _replayed(
    db: AsyncSession, service: Service, token: RefreshToken, client: audit.Client, now: datetime
) -> TokenPair | Problem:
    """What to make of a token that is not of the current generation, or whose session is over."""
    session = await sessions.get(db, token.session_id)
    if session is None or not service.refresh_tokens.is_genuine(token, session.nonce):
        raise SESSION_INVALID(REFUSED)
    if not sessions.stands(session, now, service.lifetimes.idle):
        raise SESSION_INVALID(REFUSED)
    just_spent = token.generation == session.generation - 1
    if just_spent and abs(now - session.rotated_at) <= service.lifetimes.replay:  # whichever clock is ahead
        return pair_of(service, session, now)
    await _end_reused(db, service, session, client, now)
    return SESSION_INVALID(REFUSED)


async def _end_reused(
    db: AsyncSession, service: Service, session: Session, client: audit.Client, now: datetime
) -> None:
    if not await sessions.revoke(db, session.user_id, session.id, "refresh-reuse", now):
        return
    audit.record(db, "refresh-reuse", client, now, user_id=session.user_id, session_id=session.id)
    owner = await users.get(db, session.user_id)
    if owner is not None:
        service.outbox.queue(db, "refresh-reuse", owner.email, now)


@router.post("/refresh", response_model=TokenPair, responses=answers(SESSION_INVALID))
async def post_refresh(
    form: Refresh, db: Db, service: Services, client: Client, now: Now
) -> TokenPair | Refusal:
    """Exchange a refresh token for the next pair. Safe to repeat within a few seconds."""
    outcome = await refresh(db, service, form.refresh_token, client, now)
    return refusal(outcome, client) if isinstance(outcome, Problem) else outcome
