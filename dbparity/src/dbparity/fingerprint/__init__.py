"""What there is in an environment that tests could notice, written down, and compared with another one's."""

from __future__ import annotations

from dbparity.fingerprint.collecting import collect
from dbparity.fingerprint.comparing import Comparison, Difference, compare
from dbparity.fingerprint.file import FORMAT, BadFingerprintError, read, written
from dbparity.fingerprint.rating import Effect

__all__ = [
    "FORMAT",
    "BadFingerprintError",
    "Comparison",
    "Difference",
    "Effect",
    "collect",
    "compare",
    "read",
    "written",
]
