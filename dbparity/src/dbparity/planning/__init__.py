"""Migration plans: what the pending revisions will do to a live database, before anything is touched.

`plan(connection, script_location)` says for each statement which locks it takes, what it rewrites and scans, for
about how long, and whether the code from before goes on working meanwhile.
"""

from dbparity.planning.effect import OldCode
from dbparity.planning.locks import Lock, TableLock
from dbparity.planning.planner import PlanError, plan
from dbparity.planning.rates import Estimate
from dbparity.planning.report import Held, Plan, PlannedRevision, PlannedStatement
from dbparity.schema.graph import MigrationsError

__all__ = [
    "Estimate",
    "Held",
    "Lock",
    "MigrationsError",
    "OldCode",
    "Plan",
    "PlanError",
    "PlannedRevision",
    "PlannedStatement",
    "TableLock",
    "plan",
]
