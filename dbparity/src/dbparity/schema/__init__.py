"""Schema truth: whether the tables that are really there match the models and the migrations.

`compare(connection, metadata)` reads the live tables, never the version table's word about them, and knows
nothing of Alembic. `inspect(connection, metadata, migrations)` puts the revision graph beside them, and tells how
a false state came about and what mends it.
"""

from dbparity.schema.check import compare
from dbparity.schema.graph import MigrationsError
from dbparity.schema.inspection import inspect
from dbparity.schema.live import UnsupportedDatabaseError
from dbparity.schema.report import Difference, Kind, Remedy, Report, Verdict, Way

__all__ = [
    "Difference",
    "Kind",
    "MigrationsError",
    "Remedy",
    "Report",
    "UnsupportedDatabaseError",
    "Verdict",
    "Way",
    "compare",
    "inspect",
]
