"""The fingerprint of a schema: the same for the same sources in any process, another for any that differ."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from migrated import MODELS, Project

from dbparity.config import Schema
from dbparity.provision.fingerprint import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable

ELSEWHERE = """
import sys
from migrated import MODELS
from dbparity.config import Schema
from dbparity.provision.fingerprint import fingerprint

print(fingerprint(MODELS, sys.argv[1], Schema.MIGRATE))
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, "sqlite://").usual()


def taken(project: Project) -> str:
    return fingerprint(MODELS, project.ini, Schema.MIGRATE)


def test_it_is_short_and_the_same_in_every_process(project: Project) -> None:
    here = taken(project)
    assert len(here) == 16
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", ELSEWHERE, str(project.ini)]
        assert subprocess.check_output(command, env=environment, text=True).strip() == here


def test_it_is_not_changed_by_running_the_migrations(project: Project, tmp_path: Path) -> None:
    before = taken(project)
    project.write_ini(f"sqlite:///{tmp_path}/app.db")
    written = taken(project)
    project.alembic("upgrade head")
    assert taken(project) == written != before


@pytest.mark.parametrize(
    "change",
    [
        lambda project: project.revision("r3", "pass", "r2"),
        lambda project: project.revision("r2", "pass", "r1"),
        lambda project: project.write_env(project.env + "\n# another\n"),
        lambda project: (project.folder / "migrations" / "seed.sql").write_text("SELECT 1"),
        lambda project: (project.versions / "r2.py").rename(project.versions / "r2_again.py"),
    ],
    ids=["a revision more", "another body", "another env.py", "a file beside", "another name"],
)
def test_it_changes_with_the_migrations(project: Project, change: Callable[[Project], object]) -> None:
    before = taken(project)
    change(project)
    assert taken(project) != before


def table(*more: sa.schema.SchemaItem, name: str = "users") -> sa.MetaData:
    metadata = sa.MetaData()
    sa.Table(
        name, metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("kind", sa.String(9)), *more
    )
    return metadata


def test_it_changes_with_the_models() -> None:
    def made(metadata: sa.MetaData) -> str:
        return fingerprint(metadata, "", Schema.CREATE)

    colours = table(sa.Column("colour", sa.Enum("red", name="colour")))
    more = table(sa.Column("colour", sa.Enum("red", "blue", name="colour")))
    listened = table()
    ddl: Any = sa.DDL  # its constructor has no types
    sa.event.listen(
        listened.tables["users"], "after_create", ddl("CREATE VIEW everybody AS SELECT * FROM users")
    )
    different = [
        table(),
        table(name="people"),
        table(sa.Index("by_kind", "kind")),
        table(sa.CheckConstraint("kind <> ''", name="kind_said")),
        colours,
        more,
        listened,
    ]
    assert len({made(metadata) for metadata in different}) == len(different)
    assert made(table()) == made(table())


def test_it_changes_with_dialect_and_way_of_building(project: Project) -> None:
    prints = {
        taken(project),
        fingerprint(MODELS, project.ini, Schema.MIGRATE, dialect="sqlite"),
        fingerprint(MODELS, project.ini, Schema.CREATE),
    }
    assert len(prints) == 3


def test_a_type_that_the_dialect_does_not_have_is_no_obstacle() -> None:
    from sqlalchemy.dialects.postgresql import INT4RANGE  # noqa: PLC0415 - of this case alone

    metadata = table(sa.Column("ages", INT4RANGE()))
    assert fingerprint(metadata, "", Schema.CREATE, dialect="sqlite") != fingerprint(
        table(), "", Schema.CREATE, dialect="sqlite"
    )
