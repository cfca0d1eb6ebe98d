"""Plans on SQLite: what is copied and read, and what the tables in the old ones' places mean for old code."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from migrated import Project

from dbparity.planning import OldCode, Plan, live_sqlite, plan

if TYPE_CHECKING:
    from pathlib import Path

GOES_ON, MAY_BREAK = OldCode.GOES_ON, OldCode.MAY_BREAK

PEOPLE = """
CREATE TABLE people (id INTEGER PRIMARY KEY, name VARCHAR(30) NOT NULL, age INTEGER, note TEXT DEFAULT 'none' NOT NULL,
  org INTEGER REFERENCES orgs (id), CONSTRAINT ck_age CHECK (age > 0))
"""


def names(count: int) -> str:
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
    return f"{numbers} SELECT 'name ' || i FROM n"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with tables of all kinds."""
    folder = tmp_path_factory.mktemp("filled")
    project = Project(folder, f"sqlite:///{folder}/app.db").usual()
    project.alembic("alembic upgrade head")
    project.execute(
        "CREATE TABLE orgs (id INTEGER PRIMARY KEY, title TEXT)",
        PEOPLE,
        "CREATE UNIQUE INDEX ux_name ON people (name)",
        "CREATE INDEX ix_age ON people (age)",
        "CREATE VIEW titles AS SELECT title FROM orgs",
        """CREATE TRIGGER touch AFTER INSERT ON people
           BEGIN UPDATE people SET age = 1 WHERE id = NEW.id; DELETE FROM orgs; END""",
        "CREATE VIRTUAL TABLE words USING fts5(word)",
        "INSERT INTO people (id, name) VALUES (1, 'ada'), (2, 'bob'), (3, 'cy')",
    )
    return folder / "app.db"


@pytest.fixture
def project(tmp_path: Path, filled: Path) -> Project:
    shutil.copy(filled, tmp_path / "app.db")
    return Project(tmp_path, f"sqlite:///{tmp_path}/app.db").usual()


def planned(project: Project, body: str) -> Plan:
    project.revision("r3", body.replace("\n", "\n    "), "r2")
    with project.connection() as connection:
        found = plan(connection, project.ini)
    assert found.obstacles == ()
    return found


def batch(line: str, **options: object) -> str:
    given = "".join(f", {name}={value!r}" for name, value in options.items())
    return f"with op.batch_alter_table('people'{given}) as batch:\n    batch.{line}"


BATCHES = [
    ("add_column(sa.Column('x', sa.Text))", GOES_ON, ""),
    ("add_column(sa.Column('x', sa.Text, nullable=False, server_default=''))", GOES_ON, ""),
    ("add_column(sa.Column('x', sa.Text, nullable=False))", MAY_BREAK, "adds rows to people without x"),
    ("drop_column('note')", MAY_BREAK, "reads or writes people.note fails"),
    ("alter_column('note', new_column_name='remark')", MAY_BREAK, "reads or writes people.note fails"),
    ("alter_column('age', nullable=False)", MAY_BREAK, "leaves people.age empty fails"),
    ("alter_column('name', nullable=True)", GOES_ON, ""),
    ("alter_column('name', type_=sa.String(60))", GOES_ON, ""),
    ("alter_column('age', type_=sa.BigInteger())", GOES_ON, ""),
    ("alter_column('age', type_=sa.Text())", MAY_BREAK, "reads and writes people.age as integer"),
    ("alter_column('note', server_default=None)", MAY_BREAK, "adds rows to people without note"),
    ("create_check_constraint('ck_new', 'age < 200')", MAY_BREAK, "a check"),
    ("create_unique_constraint('uq_new', ['age'])", MAY_BREAK, "a unique on age"),
    ("create_foreign_key('fk_new', 'users', ['age'], ['id'])", MAY_BREAK, "a foreign key on age"),
    ("drop_constraint('ck_age', type_='check')", GOES_ON, ""),
]


@pytest.mark.parametrize(("line", "old_code", "reason"), BATCHES, ids=[each[0] for each in BATCHES])
def test_a_batch_copies_the_table_and_is_judged_by_what_takes_its_place(
    project: Project, line: str, old_code: OldCode, reason: str
) -> None:
    found = planned(project, batch(line, recreate="always"))
    assert found.rewrites == ("people",)
    assert found.old_code is old_code
    said = " ".join(each.reason for each in found.statements if each.old_code is old_code)
    assert reason in said
    assert {each.waits for each in found.statements} == {"writers"}
    assert [(each.table, each.rows) for each in found.sizes if each.table == "people"] == [("people", 3)]


STATEMENTS = [
    ("op.add_column('people', sa.Column('x', sa.Text))", GOES_ON, (), ()),
    (
        'op.execute("ALTER TABLE people ADD COLUMN x INTEGER DEFAULT 1 CHECK (x > 0)")',
        GOES_ON,
        (),
        ("people",),
    ),
    ("op.drop_column('people', 'note')", MAY_BREAK, ("people",), ()),
    ("op.alter_column('people', 'note', new_column_name='remark')", MAY_BREAK, (), ()),
    ("op.rename_table('people', 'folk')", MAY_BREAK, (), ()),
    ("op.create_index('ix_new', 'people', ['age'])", GOES_ON, (), ("people",)),
    ("op.create_index('ux_new', 'people', ['age'], unique=True)", MAY_BREAK, (), ("people",)),
    ("op.drop_index('ix_age')", GOES_ON, (), ()),
    ("op.drop_index('ux_name')", MAY_BREAK, (), ()),
    ("op.drop_table('orgs')", MAY_BREAK, (), ()),
    ("op.create_table('new', sa.Column('id', sa.Integer, primary_key=True))", GOES_ON, (), ()),
    ("op.execute('UPDATE people SET age = 1')", GOES_ON, (), ("people",)),
    ("op.execute('DELETE FROM people WHERE age > 1')", MAY_BREAK, (), ("people",)),
    ("op.execute(\"INSERT OR REPLACE INTO people (id, name) VALUES (1, 'a')\")", GOES_ON, (), ()),
    ("op.execute('CREATE VIRTUAL TABLE more USING fts5(word)')", GOES_ON, (), ()),
]


@pytest.mark.parametrize(
    ("body", "old_code", "rewrites", "scans"), STATEMENTS, ids=[each[0] for each in STATEMENTS]
)
def test_a_statement_is_told_as_sqlite_runs_it(
    project: Project, body: str, old_code: OldCode, rewrites: tuple[str, ...], scans: tuple[str, ...]
) -> None:
    found = planned(project, body)
    (statement,) = found.statements
    assert (statement.old_code, statement.rewrites, statement.scans) == (old_code, rewrites, scans)
    assert statement.write_lock
    assert statement.locks == ()
    assert statement.known
    assert "CONCURRENTLY" not in statement.hint
    assert not statement.outside


def test_dropping_a_column_does_rewrite_the_table_and_adding_one_does_not(project: Project) -> None:
    """Seen by the pages that change: one for the schema where nothing is rewritten."""
    project.execute(f"INSERT INTO people (name) {names(3000)}")
    file = project.folder / "app.db"

    def changed(sql: str) -> int:
        before = file.read_bytes()
        project.execute(sql)
        after = file.read_bytes()
        size = 4096
        return sum(before[at : at + size] != after[at : at + size] for at in range(0, len(after), size))

    assert changed("ALTER TABLE people ADD COLUMN x TEXT") <= 3
    assert changed("ALTER TABLE people DROP COLUMN note") > 10


@pytest.mark.parametrize(("mode", "readers"), [("wal", "readers go on"), ("delete", "readers wait too")])
def test_who_waits_depends_on_the_journal(project: Project, mode: str, readers: str) -> None:
    project.execute(f"PRAGMA journal_mode = {mode}")
    assert readers in planned(project, "op.drop_table('orgs')").notes[0]


def test_a_large_table_is_not_counted_to_its_end(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_sqlite, "COUNTED", 2)
    project.execute("DELETE FROM people WHERE id < 3", "UPDATE people SET id = 1000")
    project.execute("INSERT INTO people (name) VALUES ('x'), ('y')")
    (size,) = planned(project, "op.execute('UPDATE people SET age = 1')").sizes
    assert (size.rows, size.estimated) == (1002, True)


def test_an_estimate_grows_with_the_rows(project: Project) -> None:
    body = batch("drop_column('note')", recreate="always")
    few = planned(project, body).estimate
    project.execute(f"INSERT INTO people (name) {names(20000)}")
    many = planned(project, body).estimate
    assert few.high is not None
    assert many.high is not None
    assert many.high > 100 * few.high


def test_a_table_that_a_batch_has_made_new_is_known_by_its_new_columns_afterwards(project: Project) -> None:
    body = (
        batch("alter_column('note', nullable=True)", recreate="always") + "\nop.drop_column('people', 'note')"
    )
    found = planned(project, body)
    assert found.statements[-1].rewrites == ("people",)
    assert found.statements[-1].reason == "Old code that reads or writes people.note fails."


def test_the_copy_has_every_table_view_index_and_trigger_and_no_row(project: Project) -> None:
    asked = sa.text("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY 1, 2")
    with project.connection() as connection:
        engine = live_sqlite.copy_of(connection, "alembic_version", ["r2"])
        with engine.connect() as copy:
            assert copy.execute(asked).all() == connection.execute(asked).all()
            assert copy.scalar(sa.text("SELECT count(*) FROM people")) == 0
            assert copy.scalar(sa.text("SELECT version_num FROM alembic_version")) == "r2"
        engine.dispose()


def test_names_in_other_letters_are_the_same_tables(project: Project) -> None:
    project.execute('CREATE TABLE "People2" ("Id" INTEGER PRIMARY KEY, "Note" TEXT)')
    project.execute("INSERT INTO people2 (note) VALUES (1)")
    found = planned(project, "with op.batch_alter_table('People2') as batch:\n    batch.drop_column('Note')")
    assert found.old_code is MAY_BREAK
    assert "Old code that reads or writes people2.note fails." in {each.reason for each in found.statements}
    assert {each.table: each.rows for each in found.sizes} == {"people2": 1}
    assert found.rewrites == ("people2",)
