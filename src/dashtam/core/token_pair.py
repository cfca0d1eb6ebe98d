"""The token pair that a login or a refresh is answered with."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from dashtam.core.service import Service
from dashtam.core.tables import Session


class TokenPair(BaseModel):
    """An access token for the next minutes and the refresh token to get another with; times in seconds."""

    model_config = ConfigDict(
        json_schema_serialization_defaults_required=True,
        json_schema_extra={
            "examples": [
                {
                    "access_token": "eyJhbGciOiJFUzI1NiIsImtpZCI6Ii4uLiIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiIuLi4ifQ.c2ln",
                    "refresh_token": "dsr1_AZgKL28cfT6aUTwvDotdZAAAAAB3b3JkcyB0aGF0IGFyZSBub3QgYSB0YWcgYXQgYWxs",
                    "token_type": "bearer",
                    "expires_in": 600,
                    "refresh_expires_in": 1209600,
                }
            ]
        },
    )

    access_token: str
    refresh_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  the name of a scheme (RFC 6750)
    expires_in: int
    refresh_expires_in: int


def pair_of(service: Service, session: Session, now: datetime) -> TokenPair:
    """The tokens of the session's present generation."""
    access = service.access_tokens.issue(
        user_id=session.user_id, session_id=session.id, auth_time=session.created_at, amr=session.amr, now=now
    )
    ends_at = min(session.expires_at, now + service.lifetimes.idle)
    return TokenPair(
        access_token=access,
        refresh_token=service.refresh_tokens.mint(session),
        expires_in=service.settings.access_token_seconds,
        refresh_expires_in=int((ends_at - now).total_seconds()),
    )
