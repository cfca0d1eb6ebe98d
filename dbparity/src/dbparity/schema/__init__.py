"""Schema truth: whether the tables that are really there match the models.

`compare(connection, metadata)` reads the live tables, never the version table's word about them.
"""

from dbparity.schema.check import compare
from dbparity.schema.live import UnsupportedDatabaseError
from dbparity.schema.report import Difference, Kind, Report, Verdict

__all__ = ["Difference", "Kind", "Report", "UnsupportedDatabaseError", "Verdict", "compare"]
