"""The service about itself: is it well, and which keys sign its tokens."""

import asyncio
import logging
from time import monotonic
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from dashtam import __version__
from dashtam.core.problems import NOT_READY
from dashtam.core.service import Service
from dashtam.core.tables import Table
from dashtam.http import Now, Services, answers
from dbparity import schema

READINESS_SECONDS = 0.5
"""How long "ready" is good for: finding out reads the catalogue of the database."""

_KEYS_SECONDS = 300

router = APIRouter(tags=["system"])
_log = logging.getLogger(__name__)


class Health(BaseModel):
    """That the service runs; outside prod also which version, and where."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "healthy"}]})

    status: Literal["healthy"] = "healthy"
    version: str | None = Field(None, examples=[__version__])
    environment: str | None = Field(None, examples=["dev"])


class Ready(BaseModel):
    """That the service can do its work."""

    model_config = ConfigDict(
        json_schema_serialization_defaults_required=True,
        json_schema_extra={"examples": [{"status": "ready"}]},
    )

    status: Literal["ready"] = "ready"


class PublicKeys(BaseModel):
    """The keys that access tokens are verified with (RFC 7517)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "keys": [
                        {
                            "kty": "EC",
                            "crv": "P-256",
                            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
                            "use": "sig",
                            "alg": "ES256",
                            "kid": "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U",
                        }
                    ]
                }
            ]
        }
    )

    keys: list[dict[str, str]]


class _Readiness:
    """Finds out about readiness, once at a time, and remembers for a moment that all was well."""

    def __init__(self) -> None:
        self._well_until = 0.0
        self._asking = asyncio.Lock()

    async def why_not(self, service: Service) -> str | None:
        async with self._asking:
            if monotonic() < self._well_until:
                return None
            reason = await why_not_ready(service)
            if reason is None:
                self._well_until = monotonic() + READINESS_SECONDS
            return reason


async def why_not_ready(service: Service) -> str | None:
    """Why the service cannot do its work now, in plain words, or None. In prod without names of tables."""
    try:
        async with service.database.connect() as connection:
            report = await connection.run_sync(_compare)
    except Exception as error:  # noqa: BLE001  whatever it is, the database cannot be used
        _log.warning("not ready: the database cannot be used", exc_info=error)
        return "The database cannot be used now; the log says why."
    if report.obstacles:
        _log.warning("not ready: %s", report.summary())
        known = "" if service.settings.environment == "prod" else f" ({report.summary()})"
        return f"The tables are not what this version needs{known}; `dashtam migrate up` mends it, or says what to do."
    if service.keys.loaded_at is None:
        return "The signing keys are not loaded yet; if this lasts, the log says why."
    return None


def _compare(connection: Connection) -> schema.Report:
    return schema.compare(connection, Table.metadata)


@router.get("/health", response_model_exclude_none=True, responses=answers())
async def get_health(service: Services) -> Health:
    """The process serves. Says nothing of the database: see /health/ready."""
    if service.settings.environment == "prod":
        return Health()
    return Health(version=__version__, environment=service.settings.environment)


@router.get("/health/live", response_model_exclude_none=True, responses=answers())
async def get_live() -> Health:
    """The process serves; restart it when this does not answer."""
    return Health()


@router.get("/health/ready", responses=answers(NOT_READY))
async def get_ready(request: Request, service: Services) -> Ready:
    """The database answers, its tables are what the models say, and the signing keys are loaded."""
    state = request.app.state
    if not hasattr(state, "readiness"):
        state.readiness = _Readiness()
    reason = await state.readiness.why_not(service)
    if reason is not None:
        raise NOT_READY(reason, headers={"Retry-After": "1"})
    return Ready()


@router.get("/.well-known/jwks.json", responses=answers())
async def get_jwks(service: Services, now: Now, response: Response) -> PublicKeys:
    """The public keys that verify access tokens: upcoming, active, and retired while a token may live."""
    response.headers["Cache-Control"] = f"public, max-age={_KEYS_SECONDS}"
    return PublicKeys.model_validate(service.keys.jwks(now))
