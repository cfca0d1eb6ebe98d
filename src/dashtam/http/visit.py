"""What the front door knows of a request and hands inward with it: who asks, and under which id."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KEY = "dashtam.visit"


@dataclass(frozen=True, slots=True)
class Visit:
    """One request, as the front door has seen it."""

    request_id: str
    ip: str | None


def visit_of(scope: Mapping[str, Any]) -> Visit:
    """The visit that this request's scope belongs to."""
    visit: Visit = scope[KEY]
    return visit
