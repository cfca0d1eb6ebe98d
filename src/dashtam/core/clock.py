"""The one door to time: everything that needs "now" is handed a clock, or the moment itself."""

from datetime import UTC, datetime


class Clock:
    """The wall clock of this machine. Tests hand the application one that they move by hand."""

    def now(self) -> datetime:
        """The present moment, timezone-aware, in UTC."""
        return datetime.now(UTC)
