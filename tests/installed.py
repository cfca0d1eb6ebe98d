"""A plugin for runs that test the installed packages: `pytest -p tests.installed`. scripts/wheels.py loads it.

Each test of such a run fails if our packages were not imported from where packages are installed. It is asked in the
process that runs the test, which may be a worker of pytest-xdist.
"""

import sys
import sysconfig
from pathlib import Path

import pytest

OURS = ("dashtam", "dbparity")
INSTALLED = Path(sysconfig.get_path("purelib"))


def strays() -> list[str]:
    """Which of our packages were not imported from where packages are installed, and from where they were."""
    files = {name: sys.modules[name].__file__ or "" for name in OURS if name in sys.modules}
    found = [f"{name} is {file}" for name, file in files.items() if not Path(file).is_relative_to(INSTALLED)]
    return found if files else ["neither was imported"]


def pytest_report_header() -> str:
    """Say what is tested."""
    return f"tested: the packages in {INSTALLED}"


def pytest_runtest_setup() -> None:
    """Let no test pass that would tell about other code than that of the wheels."""
    found = strays()
    if found:
        pytest.fail(f"NOT THE INSTALLED PACKAGES ARE TESTED: {', '.join(found)}", pytrace=False)
