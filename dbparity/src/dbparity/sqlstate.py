"""What went wrong, by the five characters that a PostgreSQL server has for it: each driver keeps them elsewhere."""

from __future__ import annotations

LOCK_NOT_AVAILABLE = "55P03"


def sqlstate(error: BaseException | None) -> str:
    """The server's code of an error, the driver's own or SQLAlchemy's; empty where there is none."""
    original = getattr(error, "orig", None) or error
    for name in ("sqlstate", "pgcode"):  # psycopg2 has the other one
        found = getattr(original, name, None)
        if found:
            return str(found)
    return ""


def is_locked_out(error: BaseException) -> bool:
    """Whether a lock was not to be had in time; SQLite says it in words."""
    original = getattr(error, "orig", None) or error
    return sqlstate(error) == LOCK_NOT_AVAILABLE or "database is locked" in str(original)
