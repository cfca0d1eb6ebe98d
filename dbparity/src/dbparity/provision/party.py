"""Who works on a database: this run as others see it, and others as this run sees them.

A connection of dbparity tells who it belongs to in its application name, and at more length in a comment in its
last statement, which pg_stat_activity shows while the connection is idle.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

MARK = "dbparity"
NAME_BYTES = 63
"""What PostgreSQL keeps of an application name."""
STATEMENT_SHOWN = 200


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


@dataclass(frozen=True)
class Party:
    """A process of a test run, as it is told to others."""

    run: str = field(default_factory=lambda: secrets.token_hex(4))
    """The same in all workers of a run."""
    checkout: str = field(default_factory=lambda: str(Path.cwd()))
    pid: int = field(default_factory=os.getpid)
    host: str = field(default_factory=socket.gethostname)
    since: str = field(default_factory=_now)

    def application(self, role: str) -> str:
        """An application name: the role, the run, the process, and of the checkout what there is room for."""
        name = f"{MARK} {role} {self.run} pid {self.pid} "
        checkout = self.checkout[-max(0, NAME_BYTES - len(name)) :] if len(name) < NAME_BYTES else ""
        return (name + checkout).encode("ascii", "replace").decode()[:NAME_BYTES].rstrip()

    def json(self) -> str:
        """Everything, for a lock file."""
        return json.dumps(asdict(self))

    def comment(self) -> str:
        """Everything, as a comment for SQL that no driver takes for a parameter."""
        text = self.json()
        for taken in ("*/", "/*", "%", "?", "$"):
            text = text.replace(taken, "_")
        return f"/* {MARK} {text} */"

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Find one in a lock file's text or in a statement; None where there is none."""
        try:
            said = json.loads(text[text.index("{") : text.rindex("}") + 1])
            return cls(**{name: said[name] for name in ("run", "checkout", "pid", "host", "since")})
        except (KeyError, TypeError, ValueError):
            return None

    def __str__(self) -> str:
        """Fit for a sentence."""
        return f"run {self.run} of {self.checkout}, process {self.pid} on {self.host}, since {self.since}"


@dataclass(frozen=True)
class Holder:
    """Somebody else's connection on a PostgreSQL server."""

    pid: int
    application: str
    address: str
    state: str
    seconds: float
    """Since it came to that state."""
    statement: str

    @property
    def party(self) -> Party | None:
        """The run it belongs to, if it is dbparity's."""
        return Party.read(self.statement) if f"/* {MARK}" in self.statement else None

    def __str__(self) -> str:
        """Fit for a sentence: pid, application, address, since when, what it did last."""
        address = self.address or "the server itself"
        if self.party:
            return f"{self.party} (backend {self.pid}, from {address})"
        named = f'"{self.application}"' if self.application else "without an application name"
        who = f"backend {self.pid} {named} from {address}"
        state = f"{self.state or 'state unknown'} for {self.seconds:.0f} s"
        statement = " ".join(self.statement.split())[:STATEMENT_SHOWN]
        return f"{who}, {state}, last statement: {statement or 'unknown'}"

    @classmethod
    def of(cls, row: Any) -> Self:  # noqa: ANN401 - a row of COLUMNS
        """Read a row of the columns below."""
        return cls(row[0], row[1] or "", row[2] or "", row[3] or "", float(row[4] or 0), row[5] or "")


COLUMNS = """
  a.pid, a.application_name, host(a.client_addr), a.state,
  CAST(extract(epoch FROM clock_timestamp() - a.state_change) AS float8), a.query
"""
"""What a Holder is read from, of a pg_stat_activity called `a`."""
