"""The ways to a false schema, each built by real runs of Alembic: named, told with evidence, and mended."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from migrated import MODELS, SYNC, Project
from mistakes import (
    COMMITS_EACH,
    EARLY,
    EARLY_COMMITTED,
    NOT_BEGUN,
    NOT_BEGUN_BY_ALEMBIC,
    SHARED,
    SHARED_BEGUN,
    both_heads,
    create_all_then_stamp,
    create_all_then_upgrade,
    delete_all,
    downgrade,
    downgrade_and_return,
    drop_all,
    fail,
    fail_apart,
    forget_the_empty_one,
    generate,
    generate_from_nothing,
    guard,
    mend_second,
    mended_env,
    nothing_more,
    nothing_to_run,
    print_and_run,
    print_only,
    stamp,
    stay,
    switch_back,
    switch_branch,
    truncate_all,
    truncate_models,
    two_heads,
    unguard,
    unguarded,
    upgrade_after_ensure_version,
    upgrade_shared,
    upgraded,
    upgraded_with,
)

from dbparity.schema import Report, Verdict, inspect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dbparity.testing.postgres import PrivateCluster


@dataclass
class Way:
    """How to get there, what must be said of it, what a person does about it, and how it is done rightly."""

    number: int
    fault: Callable[[Project], None]
    verdict: Verdict
    evidence: str
    """What one of the sentences for the way must match; empty where nothing can be seen of it."""

    remedy: str
    first: Callable[[Project], None] = nothing_more
    sound: Callable[[Project], None] = upgraded
    loses: str = ""
    on: tuple[str, ...] = ("postgresql",)


BOTH = ("postgresql", "sqlite")
REBUILD = "alembic stamp --purge base && alembic upgrade head"


WAYS = {
    "1 stamp head": Way(
        1, stamp, Verdict.STAMPED_BUT_EMPTY, "nothing but the version table was ever made", REBUILD, on=BOTH
    ),
    "2 drop_all": Way(2, drop_all, Verdict.STAMPED_BUT_EMPTY, "2 tables were dropped", REBUILD, on=BOTH),
    "3 revision generated without models": Way(
        3,
        generate_from_nothing,
        Verdict.EMPTY_MIGRATION,
        r"_tables\.py:\d+: upgrade\(\) does nothing",
        'alembic stamp --purge base && alembic revision --autogenerate -m "what was missing" && alembic upgrade head',
        first=forget_the_empty_one,
        sound=generate,
        on=BOTH,
    ),
    "4 statement before configure": Way(
        4,
        upgraded_with(EARLY),
        Verdict.EMPTY,
        r"env\.py line 21 runs a statement before line 22",
        "alembic upgrade head",
        first=mended_env,
        sound=upgraded_with(EARLY_COMMITTED),
    ),
    "5 no begin_transaction": Way(
        5,
        upgraded_with(NOT_BEGUN),
        Verdict.EMPTY,
        r"env\.py line 22 runs the migrations outside",
        "alembic upgrade head",
        first=mended_env,
        sound=upgraded_with(NOT_BEGUN_BY_ALEMBIC),
    ),
    "6 way 4 after ensure_version": Way(
        6,
        upgrade_after_ensure_version(EARLY),
        Verdict.VERSION_EMPTY,
        r"env\.py line 21 runs a statement",
        "alembic upgrade head",
        first=mended_env,
        sound=upgrade_after_ensure_version(SYNC),
    ),
    "6 way 5 after ensure_version": Way(
        6,
        upgrade_after_ensure_version(NOT_BEGUN),
        Verdict.VERSION_EMPTY,
        r"env\.py line 22 runs the migrations outside",
        "alembic upgrade head",
        first=mended_env,
        sound=upgrade_after_ensure_version(NOT_BEGUN_BY_ALEMBIC),
    ),
    "7 shared async connection": Way(
        7,
        upgrade_shared(SHARED),
        Verdict.EMPTY,
        r"env\.py line \d+ runs a statement before line \d+ hands the connection",
        "alembic upgrade head",
        first=lambda project: project.write_env(SHARED_BEGUN),
        sound=upgrade_shared(SHARED_BEGUN),
    ),
    "8 no revisions": Way(
        8,
        nothing_to_run,
        Verdict.VERSION_EMPTY,
        r"migrations/versions holds no revision",
        "alembic upgrade head",
        first=mend_second,
        on=BOTH,
    ),
    "9 downgrade base": Way(
        9,
        downgrade,
        Verdict.VERSION_EMPTY,
        "2 tables were dropped",
        "alembic upgrade head",
        sound=downgrade_and_return,
        on=BOTH,
    ),
    "10 guarded body": Way(
        10,
        guard,
        Verdict.STAMPED_BUT_EMPTY,
        r"r1\.py:\d+ makes it depend: if not os\.getenv\('SHOP_TABLES'\)",
        REBUILD,
        first=unguard,
        sound=unguarded,
        on=BOTH,
    ),
    "14 upgrade --sql": Way(
        14,
        print_only,
        Verdict.EMPTY,
        "upgrade.sql is what such an upgrade printed",
        "alembic upgrade head",
        sound=print_and_run,
    ),
    "15 failure in one transaction": Way(
        15,
        fail,
        Verdict.EMPTY,
        r"3 tables were made here in a transaction that was rolled back",
        "alembic upgrade head",
        first=mend_second,
    ),
    "15 failure after a committed migration": Way(
        15,
        fail_apart,
        Verdict.PARTLY_APPLIED,
        r"1 table was made here in a transaction that was rolled back",
        "alembic upgrade head",
        first=mend_second,
        sound=upgraded_with(COMMITS_EACH),
    ),
    "15 failure where nothing is rolled back": Way(
        15,
        fail,
        Verdict.PARTLY_APPLIED,
        r"posts is there, which r2\.py makes and is not noted",
        "DROP TABLE posts; && alembic upgrade head",
        first=mend_second,
        loses="the rows of posts",
        on=("sqlite",),
    ),
    "17 two heads": Way(
        17,
        two_heads,
        Verdict.MULTIPLE_HEADS,
        r"r2b is in r2b\.py",
        'alembic merge heads -m "merge" && alembic upgrade head',
        sound=both_heads,
        on=BOTH,
    ),
    "18 unknown revision": Way(
        18,
        switch_branch,
        Verdict.UNKNOWN_REVISION,
        r"r3\.cpython.*\.pyc is left in __pycache__",
        "",
        first=switch_back,
        sound=stay,
        loses="every row in this database",
        on=BOTH,
    ),
    "19 TRUNCATE of every table": Way(
        19,
        truncate_all,
        Verdict.UNVERSIONED,
        "emptied by TRUNCATE",
        "alembic stamp head",
        sound=truncate_models,
    ),
    "19 DELETE from every table": Way(
        19,
        delete_all,
        Verdict.UNVERSIONED,
        "the version table is empty",
        "alembic stamp head",
        sound=upgraded,
        on=BOTH,
    ),
    "19 create_all before upgrade": Way(
        19,
        create_all_then_upgrade,
        Verdict.UNVERSIONED,
        "there is no version table",
        "alembic stamp head",
        sound=create_all_then_stamp,
    ),
}
CASES = [pytest.param(way, kind, id=f"{name} on {kind}") for name, way in WAYS.items() for kind in way.on]


@pytest.fixture(scope="module")
def lent(request: pytest.FixtureRequest) -> Iterator[str]:
    """One database for all the tests that do not ask what happened in it before."""
    with request.getfixturevalue("cluster").database() as url:
        yield url.replace("+asyncpg", "+psycopg")


TWINS = [
    pytest.param(sound, kind, id=f"{name.removeprefix('1 ')} on {kind}")
    for (sound, kind), name in {
        (way.sound, kind): name for name, way in WAYS.items() for kind in way.on
    }.items()
]


@pytest.fixture
def project(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Project]:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)  # compiled revisions are evidence
    if kind == "sqlite":
        yield Project(tmp_path, f"sqlite:///{tmp_path}/shop.db")
        return
    cluster: PrivateCluster = request.getfixturevalue("cluster")
    with cluster.database() as url:
        yield Project(tmp_path, url.replace("+asyncpg", "+psycopg"))


def report_of(project: Project) -> Report:
    with project.connection() as connection:
        return inspect(connection, MODELS, project.ini)


@pytest.mark.parametrize(("way", "kind"), CASES)
def test_a_way_is_named_with_its_evidence_and_its_remedy_mends_it(way: Way, project: Project) -> None:
    way.fault(project)
    report = report_of(project)

    assert report.verdict is way.verdict, report.render()
    assert report.way is not None
    assert report.way.number == way.number, report.render()
    assert re.search(way.evidence, "\n".join(report.way.evidence)), report.render()
    assert report.remedy is not None
    assert (report.remedy.loses, not way.remedy or " && ".join(report.remedy.commands)) == (
        way.loses,
        not way.remedy or way.remedy,
    )
    way.first(project)
    if way.remedy:
        project.obey(report.remedy.commands)
    assert report_of(project).verdict is Verdict.READY, report_of(project).render()


@pytest.mark.parametrize(("sound", "kind"), TWINS)
def test_the_sound_twin_of_a_way_is_ready(
    sound: Callable[[Project], None], kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if kind == "sqlite":
        project = Project(tmp_path, f"sqlite:///{tmp_path}/shop.db")
    else:
        project = Project(tmp_path, request.getfixturevalue("lent")).cleared()
    sound(project)
    report = report_of(project)

    assert report.verdict is Verdict.READY, report.render()
    assert (report.ways, report.remedy, report.pending) == ((), None, ())
    assert report.applied == report.available
