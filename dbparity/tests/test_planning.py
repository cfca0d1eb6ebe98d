"""Plans of real revisions on live databases: true to the run that follows, and nothing is touched."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from migrated import BEGUN, SYNC, Project
from sqlalchemy.ext.asyncio import create_async_engine

from dbparity.planning import Lock, MigrationsError, OldCode, Plan, PlanError, plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

HELD = {"migrated", "alembic_version"}


@pytest.fixture
def on_postgresql(tmp_path: Path, emptied: sa.URL) -> Project:
    url = emptied.set(drivername="postgresql+psycopg")
    return Project(tmp_path, url.render_as_string(hide_password=False)).usual()


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Project:
    return Project(tmp_path, f"sqlite:///{tmp_path}/app.db").usual()


@pytest.fixture(params=["sqlite", "postgresql"])
def project(request: pytest.FixtureRequest) -> Project:
    """Two revisions of two tables, not run yet."""
    found: Project = request.getfixturevalue(f"on_{request.param}")
    return found


def planned(project: Project, target: str = "head", **options: Any) -> Plan:
    with project.connection() as connection:
        return plan(connection, project.ini, target, **options)


def third(project: Project, *lines: str) -> Plan:
    """The plan of a third revision with this body, where the first two have been run."""
    project.alembic("alembic upgrade head")
    project.revision("r3", "\n    ".join(lines), "r2")
    return planned(project)


def on_bind(*statements: str) -> str:
    return "; ".join(f"op.get_bind().execute(sa.text({statement!r}))" for statement in statements)


@contextmanager
def executed() -> Iterator[list[str]]:
    """Every statement that SQLAlchemy executes in here."""
    said: list[str] = []

    def hear(_connection: object, _cursor: object, sql: str, *_: object) -> None:
        said.append(sql.strip())

    sa.event.listen(sa.Engine, "before_cursor_execute", hear)
    try:
        yield said
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", hear)


# ------------------------------------------------------------------------------ true to the run


def test_the_plan_has_the_very_statements_that_the_run_executes(project: Project) -> None:
    project.revision(
        "r3",
        "op.add_column('users', sa.Column('email', sa.String(50)))\n"
        "    op.create_index('ix', 'users', ['email'], unique=True)\n"
        "    op.bulk_insert(sa.table('users', sa.column('id'), sa.column('name')), [\n"
        "        {'id': 1, 'name': 'a'}, {'id': 2, 'name': 'b'}])\n"
        '    op.execute("UPDATE users SET email = name")\n'
        "    with op.batch_alter_table('posts') as batch:\n"
        "        batch.add_column(sa.Column('title', sa.Text, nullable=False, server_default=''))\n"
        "        batch.alter_column('author', type_=sa.BigInteger())",
        "r2",
    )
    found = planned(project)
    assert [each.id for each in found.revisions] == ["r1", "r2", "r3"]
    assert found.obstacles == ()
    with executed() as ran:
        project.alembic("alembic upgrade head")
    ours = [
        sql
        for sql in ran
        if not sql.upper().startswith(("SELECT", "PRAGMA", "SHOW")) and "alembic_version" not in sql
    ]
    assert [each.sql for each in found.statements] == ours
    assert [each.sets for each in found.statements if each.sql.startswith("INSERT INTO users")] == [2]
    assert planned(project).nothing_to_do


def test_a_database_at_head_has_nothing_to_do(project: Project) -> None:
    project.alembic("alembic upgrade head")
    found = planned(project)
    assert found.nothing_to_do
    assert found.render() == "Nothing to do: the database is at r2."


def test_a_plan_goes_as_far_as_it_is_asked(project: Project) -> None:
    assert [each.id for each in planned(project, "r1").revisions] == ["r1"]
    assert [each.id for each in planned(project, "+1").revisions] == ["r1"]


def test_a_plan_is_plain_data_and_says_the_same_in_words(project: Project) -> None:
    found = third(project, "op.drop_column('users', 'name')")
    data = json.loads(json.dumps(found.as_dict()))
    assert (data["current"], data["target"], data["old_code"]) == (["r2"], "head", "may break")
    assert [each["revision"] for each in data["revisions"]] == ["r3"]
    words = found.render()
    assert words.startswith("1 revision to run, from r2 to r3.")
    assert "MAY BREAK. Old code that reads or writes users.name fails." in " ".join(words.split())


# ------------------------------------------------------------------------------ nothing is touched


def test_planning_leaves_a_sqlite_file_as_it_is_byte_by_byte(on_sqlite: Project) -> None:
    on_sqlite.alembic("alembic upgrade r1")
    on_sqlite.execute("INSERT INTO users VALUES (1, 'ada')")
    file = on_sqlite.folder / "app.db"
    before = file.read_bytes(), sorted(on_sqlite.folder.iterdir())
    assert planned(on_sqlite).statements
    assert (file.read_bytes(), sorted(on_sqlite.folder.iterdir())) == before


CATALOGUE = sa.text("""
SELECT 'class', oid::text, relname::text, xmin::text FROM pg_class
UNION SELECT 'attribute', attrelid::text, attname::text, xmin::text FROM pg_attribute
UNION SELECT 'constraint', oid::text, conname::text, xmin::text FROM pg_constraint
UNION SELECT 'type', oid::text, typname::text, xmin::text FROM pg_type
UNION SELECT 'user', id::text, name::text, xmin::text FROM users ORDER BY 1, 2, 3
""")
LOCKED = sa.text("""
SELECT DISTINCT c.relname::text, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
WHERE l.pid = pg_backend_pid() AND c.relnamespace = 'public'::regnamespace
""")


def test_planning_changes_nothing_in_postgresql_and_writes_not_even_a_transaction_id(
    on_postgresql: Project,
) -> None:
    on_postgresql.alembic("alembic upgrade r1")
    on_postgresql.execute("INSERT INTO users VALUES (1, 'ada')")
    with on_postgresql.connection() as connection, on_postgresql.connection() as other:
        before = other.execute(CATALOGUE).all()
        other.rollback()
        connection.begin()
        assert plan(connection, on_postgresql.ini).statements
        assert {mode for _, mode in connection.execute(LOCKED)} <= {"AccessShareLock"}
        assert connection.scalar(sa.text("SELECT pg_current_xact_id_if_assigned()")) is None
        connection.commit()
        assert other.execute(CATALOGUE).all() == before


def test_the_connection_is_left_as_it_was(on_postgresql: Project) -> None:
    asked = sa.text("SELECT current_setting('lock_timeout'), current_setting('transaction_read_only')")
    with on_postgresql.connection() as connection:
        plan(connection, on_postgresql.ini)
        assert not connection.in_transaction()
        connection.execute(sa.text("SET LOCAL lock_timeout = '7s'"))
        plan(connection, on_postgresql.ini)
        assert connection.execute(asked).one() == ("7s", "off")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            on_bind("SELECT nextval('users_id_seq') FROM users"),
            "cannot execute nextval() in a read-only transaction",
        ),
        (on_bind("SELECT setval('users_id_seq', 99)"), ""),
        (on_bind("SELECT id FROM users FOR UPDATE"), ""),
        ("op.get_bind().commit(); op.get_bind().execute(sa.text('DELETE FROM users'))", ""),
        ("op.get_bind().rollback(); op.get_bind().execute(sa.text('DROP TABLE users CASCADE'))", ""),
        ("op.get_bind().begin_nested().commit(); op.drop_table('posts')", ""),
        (
            "op.get_bind().connection.commit(); op.get_bind().connection.cursor().execute('DELETE FROM users')",
            "",
        ),
        ("op.get_bind().close()", ""),
        (on_bind("SELECT 1; COMMIT; DROP TABLE posts"), ""),
        (on_bind("SHOW work_mem; COMMIT; DROP TABLE posts"), ""),
        (
            on_bind(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ),
            "",
        ),
    ],
)
def test_whatever_a_revision_does_with_its_connection_changes_nothing(
    on_postgresql: Project, line: str, said: str
) -> None:
    on_postgresql.alembic("alembic upgrade head")
    on_postgresql.execute("INSERT INTO users VALUES (1, 'ada')")
    on_postgresql.revision("r3", line, "r2")
    with on_postgresql.connection() as connection, on_postgresql.connection() as other:
        before = other.execute(CATALOGUE).all()
        found = plan(connection, on_postgresql.ini)
        assert said in " ".join(found.obstacles)
        connection.commit()
        other.rollback()
        assert other.execute(CATALOGUE).all() == before
        assert other.scalar(sa.text("SELECT last_value FROM users_id_seq")) == 1


def test_a_table_that_somebody_holds_is_not_waited_for_and_the_holder_is_named(
    on_postgresql: Project,
) -> None:
    on_postgresql.alembic("alembic upgrade head")
    on_postgresql.revision("r3", "op.add_column('users', sa.Column('x', sa.Text))", "r2")
    with on_postgresql.connection() as holder:
        holder.exec_driver_sql("SET application_name = 'forgotten'")
        pid = holder.scalar(sa.text("SELECT pg_backend_pid()"))
        holder.exec_driver_sql("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        found = planned(on_postgresql)
        assert time.monotonic() - began < 10
    assert [str(each) for each in found.statements[0].locks] == ["ACCESS EXCLUSIVE on users"]
    assert (
        f"users is held by process {pid} (forgotten) with ACCESS EXCLUSIVE at this moment" in found.notes[0]
    )


# ------------------------------------------------------------------------------ what cannot be planned


def test_a_revision_that_asks_first_is_answered_by_the_live_database(project: Project) -> None:
    project.execute("CREATE TABLE extra (id INTEGER)")
    found = third(
        project,
        "there = sa.inspect(op.get_bind()).has_table('extra')",
        "op.drop_table('extra') if there else op.drop_table('posts')",
    )
    assert [" ".join(each.sql.split()) for each in found.statements] == ["DROP TABLE extra"]


def test_a_revision_that_asks_after_a_statement_is_not_planned_on_postgresql_and_says_where(
    on_postgresql: Project,
) -> None:
    found = third(
        on_postgresql,
        "op.add_column('users', sa.Column('x', sa.Text))",
        "columns = sa.inspect(op.get_bind()).get_columns('users')",
        "op.drop_table('posts')",
    )
    assert len(found.statements) == 1
    assert found.obstacles[0].startswith("r3: r3.py:13 asks the database (SELECT ")
    assert "after statements of this plan that have not been run" in found.obstacles[0]
    assert found.old_code is OldCode.UNKNOWN
    assert str(found.estimate) == "unknown"
    assert "NO PLAN" in found.render()


def test_on_sqlite_it_is_planned_on_a_copy(on_sqlite: Project) -> None:
    found = third(
        on_sqlite,
        "op.add_column('users', sa.Column('x', sa.Text))",
        "columns = {each['name'] for each in sa.inspect(op.get_bind()).get_columns('users')}",
        "op.drop_table('posts') if 'x' in columns else None",
    )
    assert found.obstacles == ()
    assert len(found.statements) == 2


def test_a_timeout_that_is_set_first_stands_in_nobodys_way(on_postgresql: Project) -> None:
    found = third(
        on_postgresql,
        "op.execute(\"SET LOCAL lock_timeout = '5s'\")",
        "there = sa.inspect(op.get_bind()).has_table('posts')",
        "op.drop_table('posts') if there else None",
    )
    assert found.obstacles == ()
    assert len(found.statements) == 2


def test_a_revision_that_fails_is_named_by_file_line_and_error(project: Project) -> None:
    found = third(
        project, "op.add_column('users', sa.Column('x', sa.Text))", "raise KeyError('no such region')"
    )
    assert found.obstacles == ("r3: r3.py:13 does not run here: KeyError: 'no such region'",)


def test_rows_that_a_revision_reads_are_missed_on_the_empty_copy_of_sqlite(on_sqlite: Project) -> None:
    on_sqlite.alembic("alembic upgrade head")
    on_sqlite.execute("INSERT INTO users VALUES (1, 'ada')")
    found = third(
        on_sqlite,
        "for row in op.get_bind().execute(sa.text('SELECT id FROM users')).all():",
        "    op.execute(f'UPDATE users SET name = {row.id}')",
    )
    assert found.statements == ()
    assert "It reads rows (SELECT id FROM users)" in found.revisions[0].notes[0]
    assert "It reads rows" in found.render()


# ------------------------------------------------------------------------------ locks over time


def test_a_lock_is_held_through_all_the_work_that_follows_it(on_postgresql: Project) -> None:
    on_postgresql.alembic("alembic upgrade head")
    on_postgresql.execute("INSERT INTO users SELECT n, 'name' FROM generate_series(1, 20000) n", "ANALYZE")
    found = third(
        on_postgresql,
        "op.add_column('posts', sa.Column('x', sa.Text))",
        "op.execute('UPDATE users SET name = upper(name)')",
    )
    (held,) = found.held
    assert (held.lock.table, held.lock.mode) == ("posts", Lock.ACCESS_EXCLUSIVE)
    assert held.estimate == found.estimate != found.statements[0].estimate
    assert {each.table: each.rows for each in found.sizes} == {"posts": 0, "users": 20000}
    assert "posts (ACCESS EXCLUSIVE): nobody reads or writes for" in found.render()


def test_writers_may_wait_from_earlier_on_than_readers(on_postgresql: Project) -> None:
    found = third(
        on_postgresql,
        "op.create_index('ix', 'users', ['name'])",
        "op.execute('UPDATE users SET name = upper(name)')",
        "op.add_column('users', sa.Column('x', sa.Text))",
    )
    assert [str(each.lock) for each in found.held] == ["SHARE on users", "ACCESS EXCLUSIVE on users"]
    assert "users (SHARE): nobody writes for" in found.render()


def test_where_each_revision_commits_its_locks_end_with_it(on_postgresql: Project) -> None:
    on_postgresql.write_env(
        SYNC.replace(
            BEGUN,
            "        context.configure(connection=connection, transaction_per_migration=True)\n" + BEGUN,
        )
    )
    on_postgresql.alembic("alembic upgrade head")
    on_postgresql.execute("INSERT INTO users SELECT n, 'name' FROM generate_series(1, 20000) n", "ANALYZE")
    on_postgresql.revision("r3", "op.add_column('posts', sa.Column('x', sa.Text))", "r2")
    on_postgresql.revision("r4", "op.execute('UPDATE users SET name = upper(name)')", "r3")
    found = planned(on_postgresql)
    assert found.each_commits
    assert str(found.held[0].estimate) == "an instant"


def test_concurrently_needs_a_block_of_its_own_and_says_so_where_it_has_none(on_postgresql: Project) -> None:
    line = "op.create_index('ix', 'users', ['name'], postgresql_concurrently=True)"
    without = third(on_postgresql, line)
    (statement,) = without.statements
    assert (statement.outside, statement.alone, statement.waits) == (True, False, "nobody")
    assert "it needs autocommit_block()" in without.render()

    on_postgresql.revision("r3", f"with op.get_context().autocommit_block():\n        {line}", "r2")
    (statement,) = planned(on_postgresql).statements
    assert (statement.outside, statement.alone) == (True, True)
    assert "FAILS" not in planned(on_postgresql).render()


def test_not_null_without_a_default_fails_where_there_are_rows(on_postgresql: Project) -> None:
    on_postgresql.alembic("alembic upgrade head")
    on_postgresql.execute("INSERT INTO users VALUES (1, 'ada')", "ANALYZE")
    found = third(on_postgresql, "op.add_column('users', sa.Column('x', sa.Text, nullable=False))")
    assert found.statements[0].fails == "It fails if users has rows."
    assert found.old_code is OldCode.MAY_BREAK


def test_names_come_from_the_convention_that_is_handed_in(project: Project) -> None:
    metadata = sa.MetaData(naming_convention={"pk": "pk_%(table_name)s"})
    assert "CONSTRAINT pk_users PRIMARY KEY" in planned(project, metadata=metadata).statements[0].sql
    assert "CONSTRAINT" not in planned(project).statements[0].sql


# ------------------------------------------------------------------------------ drivers and mistakes


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
def test_every_driver_of_postgresql_gives_the_same_plan(on_postgresql: Project, driver: str) -> None:
    on_postgresql.alembic("alembic upgrade r1")
    url = sa.make_url(on_postgresql.url).set(drivername=f"postgresql+{driver}")
    found = by(url, lambda connection: plan(connection, on_postgresql.ini))
    assert found.as_dict() == planned(on_postgresql).as_dict()


def test_so_does_an_asynchronous_driver_of_sqlite(on_sqlite: Project) -> None:
    on_sqlite.alembic("alembic upgrade r1")
    found = by(
        sa.make_url(on_sqlite.url).set(drivername="sqlite+aiosqlite"), lambda each: plan(each, on_sqlite.ini)
    )
    assert found.as_dict() == planned(on_sqlite).as_dict()


def by(url: sa.URL, work: Callable[[Connection], Plan]) -> Plan:
    if not url.get_dialect().is_async:
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            return work(connection)

    async def run() -> Plan:
        engine = create_async_engine(url, poolclass=sa.NullPool)
        async with engine.connect() as connection:
            return await connection.run_sync(work)

    return asyncio.run(run())


def test_what_cannot_be_is_said_in_a_sentence(project: Project) -> None:
    with pytest.raises(PlanError, match="There is no way to r9 from nothing: Can't locate revision"):
        planned(project, "r9")
    project.revision("r2b", "pass", "r1")
    with pytest.raises(PlanError, match="Multiple head revisions"):
        planned(project)
    project.execute(
        "CREATE TABLE alembic_version (version_num VARCHAR(32))", "INSERT INTO alembic_version VALUES ('zz')"
    )
    with pytest.raises(PlanError, match="There is no way to r1 from zz"):
        planned(project, "r1")
    with project.connection() as connection, pytest.raises(MigrationsError, match="cannot be read"):
        plan(connection, project.folder / "nowhere.ini")


def test_a_connection_without_transactions_is_refused(on_postgresql: Project) -> None:
    engine = sa.create_engine(on_postgresql.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection, pytest.raises(PlanError, match="AUTOCOMMIT"):
        plan(connection, on_postgresql.ini)


def test_a_version_table_that_a_migration_holds_is_not_waited_for(on_postgresql: Project) -> None:
    on_postgresql.alembic("alembic upgrade r1")
    with on_postgresql.connection() as holder:
        holder.exec_driver_sql("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(PlanError, match="alembic_version is locked, as by a migration that is running"):
            planned(on_postgresql)


def test_other_databases_are_refused(on_sqlite: Project) -> None:
    with on_sqlite.connection() as connection:
        connection.dialect.name = "mysql"
        with pytest.raises(PlanError, match="not for mysql"):
            plan(connection, on_sqlite.ini)


def test_a_table_that_nobody_has_analyzed_is_not_taken_for_empty(on_postgresql: Project) -> None:
    on_postgresql.alembic("alembic upgrade head")
    on_postgresql.execute("INSERT INTO users SELECT n, 'name' FROM generate_series(1, 2000) n")
    on_postgresql.execute("SELECT pg_stat_reset()")
    on_postgresql.revision("r3", "op.alter_column('users', 'name', nullable=False)", "r2")
    found = planned(on_postgresql)
    assert 1000 < next(each.rows or 0 for each in found.sizes if each.table == "users") < 20_000


def test_a_password_in_a_statement_is_not_shown(on_postgresql: Project) -> None:
    on_postgresql.alembic("alembic upgrade head")
    on_postgresql.revision("r3", "op.execute(\"ALTER ROLE app WITH PASSWORD 'very secret'\")", "r2")
    found = planned(on_postgresql)
    assert "secret" not in found.render() + json.dumps(found.as_dict())
    assert "PASSWORD '***'" in found.render()
