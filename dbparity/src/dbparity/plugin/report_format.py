"""The keys of `--dbparity-report=json`, which programs may rely on. Keys are added within a format, never changed.

Times are ISO 8601 in UTC, durations seconds. No password is ever in it: see `dbparity.veil`.
"""

from __future__ import annotations

from typing import Any, TypedDict

FORMAT = 1
"""Raised when a key goes away or changes its meaning."""


class Database(TypedDict):
    """The database under test of one process."""

    backend: str
    name: str
    """Host, port and database, or the file; without user and password."""
    worker_database: str
    """The one that this process really worked on: a worker's own, or the same."""
    built: str
    """What was built and from where, in one line."""
    verdict: str
    """The schema's verdict and its summary, at the last test that had it proven again, or before the first."""


class Phase(TypedDict):
    """Set-up, call or tear-down."""

    when: str
    """"setup", "call", "teardown", or "crash" where the process ended."""
    outcome: str
    duration: float


class Failure(TypedDict):
    """Why a phase failed."""

    when: str
    type: str
    """The exception's class, with its module; empty for a crash."""
    message: str
    sqlstate: str
    """PostgreSQL's five characters; empty where there are none."""
    at: str
    """File and line where it was raised."""
    traceback: str


class Section(TypedDict):
    """What dbparity prints below a test: schema, findings, timeline, open sessions, the way into a kept clone."""

    when: str
    title: str
    text: str


class Test(TypedDict):
    """One test."""

    nodeid: str
    outcome: str
    """passed, failed, error (in set-up or tear-down), skipped, xfailed, xpassed, crashed, or unfinished."""
    duration: float
    worker: str
    isolation: str
    """savepoint, delete or clone; empty where it has no database."""
    attempts: int
    """More than 1 where another plugin ran it again; the rest is about the last time."""
    ci_sensitive: str | None
    """The reason of the marker; None without one."""
    phases: list[Phase]
    failures: list[Failure]
    findings: list[dict[str, Any]]
    sections: list[Section]
    """Of failing and ci_sensitive tests, and of all with --dbparity-timeline."""
    kept: list[str]
    """The way into its database, where that was kept."""
    timeline: list[dict[str, Any]]
    """The same tests': what the sessions did, oldest first."""
    observed: dict[str, Any] | None
    """What `dbparity crosscheck` has the run record; None elsewhere."""


class NotCollected(TypedDict):
    """A file whose tests pytest could not find."""

    nodeid: str
    traceback: str


class Run(TypedDict):
    """The whole run."""

    id: str
    started: str
    duration: float
    exit_status: int
    stopped: str
    """Why the run ended before its last test; empty where it did not."""
    versions: dict[str, str]
    """python, pytest, sqlalchemy, alembic, dbparity, and the drivers that are loaded."""
    schema: str
    """How the tables come to be: migrate, create or verify."""
    migrations: str
    isolation: str
    """For tests that do not say."""
    guesses: list[str]
    """What the project did not configure, and what was taken for it."""
    workers: list[str]
    databases: dict[str, Database]
    """By worker; "main" without xdist."""


class Document(TypedDict):
    """The report."""

    format: int
    run: Run
    totals: dict[str, int]
    """How many tests had which outcome."""
    tests: list[Test]
    findings: list[dict[str, Any]]
    not_collected: list[NotCollected]
    notices: list[str]
    """Lines of the summary that are no findings: clones that were kept, databases that were collected."""
    order: dict[str, list[str]]
    """The tests in the order in which each worker ran them."""
