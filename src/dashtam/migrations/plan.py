"""What `migrate up` would do to this database, found out without touching it."""

from dataclasses import dataclass
from typing import Any

from alembic.config import Config
from sqlalchemy import create_engine
from sqlalchemy.engine import Connection

from dashtam.core.tables import Table
from dashtam.migrations.state import Status
from dbparity.planning import Plan, plan

_APART = (
    "`dashtam migrate up` runs everything in one transaction, and this plan has a statement that PostgreSQL"
    " refuses there: run it by hand before, and let the revision find it done."
)


@dataclass(frozen=True, slots=True)
class Planned:
    """The state of a database, and the plan from there."""

    status: Status
    plan: Plan

    @property
    def obstacles(self) -> tuple[str, ...]:
        """Why a revision cannot be planned, or `migrate up` would not get through."""
        apart = any(each.outside or each.alone for each in self.plan.statements)
        return (*self.plan.obstacles, *([_APART] if apart else []))

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {"verdict": self.status.verdict, "obstacles": self.obstacles, **self.plan.as_dict()}

    def render(self) -> str:
        """For people."""
        apart = [each for each in self.obstacles if each not in self.plan.obstacles]
        return "\n\n".join((self.plan.render(), *apart))


def plan_from(connection: Connection, config: Config, revision: str, status: Status) -> Planned:
    """Plan the way from a sound state; raises dbparity's PlanError if there is none to that revision."""
    return Planned(status, plan(connection, config, revision, metadata=Table.metadata))


def plan_from_nothing(config: Config, revision: str, status: Status) -> Planned:
    """The same where the SQLite file is not there yet, and is not to be made."""
    engine = create_engine("sqlite://")
    try:
        with engine.connect() as connection:
            return plan_from(connection, config, revision, status)
    finally:
        engine.dispose()
