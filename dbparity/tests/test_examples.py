"""The examples' own suites, run as their readers run them: by a pytest of their own, in a copy of the folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from dbparity.testing.postgres import PrivateCluster

EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/pyproject.toml"))
UNWANTED = ("-p", "no:hypothesispytest", "-p", "no:schemathesis")
"""Plugins that are installed here for other tests; they take a second to load."""


def suite(folder: Path, example: str, *options: str, url: str = "") -> str:
    """Run a copy of an example; what it printed."""
    copy = folder / example
    shutil.copytree(EXAMPLES / example, copy, ignore=shutil.ignore_patterns("*.db", "__pycache__", ".*"))
    environment = {name: value for name, value in os.environ.items() if not name.endswith("DATABASE_URL")}
    if url:
        environment["DATABASE_URL"] = url
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *UNWANTED, *options],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
    assert "==== dbparity ====" not in done.stdout, done.stdout  # no findings
    return done.stdout


def test_there_are_the_examples_that_the_table_names() -> None:
    told = (EXAMPLES / "README.md").read_text()
    assert [f"`{name}`" in told for name in NAMES] == [True] * 3


@pytest.mark.parametrize("example", NAMES)
def test_an_example_passes_as_it_is(tmp_path: Path, example: str) -> None:
    said = suite(tmp_path, example)
    assert "in a database that was made for it" in said


def test_workers_have_a_database_each(tmp_path: Path) -> None:
    said = suite(tmp_path, "sync_sqlmodel", "-n", "2")
    assert "2 workers" in said


@pytest.mark.parametrize(
    ("example", "isolation"),
    [("plain_sqlalchemy", "savepoint"), ("sync_sqlmodel", "delete"), ("async_fastapi", "clone")],
)
def test_an_example_passes_under_another_isolation(tmp_path: Path, example: str, isolation: str) -> None:
    said = suite(tmp_path, example, f"--dbparity-isolation={isolation}")
    assert f"isolation {isolation}" in said


@pytest.mark.parametrize(
    ("example", "driver", "built"),
    [
        ("sync_sqlmodel", "psycopg", "migrated to 0001 (1 revision in alembic.ini)"),
        ("async_fastapi", "asyncpg", "created 2 tables from the models"),
    ],
)
def test_an_example_passes_on_postgresql(
    tmp_path: Path, cluster: PrivateCluster, example: str, driver: str, built: str
) -> None:
    name = f"{example}_test"
    try:
        assert built in suite(tmp_path, example, url=cluster.url(name, driver))
    finally:
        cluster.drop_database(name)
