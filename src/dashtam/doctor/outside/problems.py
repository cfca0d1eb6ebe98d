"""Refusals as they look from outside: known by their type (RFC 9457)."""

import httpx2

from dashtam.core.problems import TYPE_PREFIX

_MEDIA_TYPE = "application/problem+json"


def is_problem(answer: httpx2.Response, status: int, slug: str) -> bool:
    """Whether this answer is that refusal, as the service writes it."""
    if answer.status_code != status or answer.headers.get("Content-Type") != _MEDIA_TYPE:
        return False
    try:
        return bool(answer.json()["type"] == TYPE_PREFIX + slug)
    except (ValueError, LookupError, TypeError):
        return False
