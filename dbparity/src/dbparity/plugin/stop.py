"""Ending a run before its first test, with words instead of a traceback."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from dbparity.config import BadConfigError
from dbparity.provision.errors import ProvisionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbparity.plugin.run import Run

EXIT_CODE = 3
"""Neither "tests failed" (1) nor "usage error" (4): the database is not what the tests need."""


@contextmanager
def stopping(run: Run) -> Iterator[None]:
    """Stop the whole run where the block finds the database false or unknown."""
    try:
        yield
    except (ProvisionError, BadConfigError) as error:
        if run.worker != "main":  # xdist takes a worker that exits for one that has crashed
            pytest.fail(f"dbparity: {error}", pytrace=False)
        pytest.exit(f"dbparity: nothing was run.\n{error}", returncode=EXIT_CODE)


def prove(run: Run) -> None:
    """Prove the configured database before the first test, or stop."""
    with suppress(pytest.fail.Exception), stopping(run):  # in a worker each test will say it
        run.say(run.prepare().built)


@contextmanager
def refusing() -> Iterator[None]:
    """Fail the test that asks for what there is not, in words instead of a traceback."""
    try:
        yield
    except BadConfigError as error:
        pytest.fail(str(error), pytrace=False)


@contextmanager
def naming_what_is_wrong() -> Iterator[None]:
    """A configuration that cannot be read is a usage error, told without a traceback."""
    try:
        yield
    except BadConfigError as error:
        raise pytest.UsageError(str(error)) from error
