"""What cannot be read at all, told by file and place: no verdict can be given on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class BadEnvironmentError(ValueError):
    """A file or a contract that says nothing that could be checked."""


class BadEnvFileError(BadEnvironmentError):
    """An environment file that programs would read differently, or not at all; a line for each fault."""

    def __init__(self, path: Path, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.path = path


class BadContractError(BadEnvironmentError):
    """A contract that cannot be read, or contradicts itself; a line for each fault."""

    def __init__(self, path: Path, faults: Sequence[str]) -> None:
        super().__init__("\n".join(f"{path}: {fault}" for fault in faults))
        self.path = path
