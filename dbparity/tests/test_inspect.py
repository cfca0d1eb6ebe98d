"""Models, tables and revision graph put together: which verdict, which way, which remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from migrated import MODELS, POSTS, SYNC, USERS, USERS_AND_POSTS, Project

from dbparity.schema import Kind, Report, Verdict, inspect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dbparity.testing.postgres import PrivateCluster


@pytest.fixture(scope="module")
def lent(request: pytest.FixtureRequest) -> Iterator[str]:
    """One database for all the tests that do not ask what happened in it before."""
    with request.getfixturevalue("cluster").database() as url:
        yield url.replace("+asyncpg", "+psycopg")


@pytest.fixture(params=["sqlite", "postgresql"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Project:
    if request.param == "sqlite":
        return Project(tmp_path, f"sqlite:///{tmp_path}/shop.db")
    return Project(tmp_path, request.getfixturevalue("lent")).cleared()


@pytest.fixture
def postgres(cluster: PrivateCluster, tmp_path: Path) -> Iterator[Project]:
    with cluster.database() as url:
        yield Project(tmp_path, url.replace("+asyncpg", "+psycopg"))


@pytest.fixture
def sqlite(tmp_path: Path) -> Project:
    return Project(tmp_path, f"sqlite:///{tmp_path}/shop.db")


def report_of(project: Project, models: sa.MetaData = MODELS, **options: object) -> Report:
    with project.connection() as connection:
        return inspect(connection, models, project.ini, **options)  # type: ignore[arg-type]


def numbers(report: Report) -> list[int]:
    return [way.number for way in report.ways]


def mended(project: Project, report: Report) -> Report:
    assert report.remedy is not None
    project.obey(report.remedy.commands)
    return report_of(project)


def test_without_migrations_no_revision_is_judged(project: Project) -> None:
    with project.usual().connection() as connection:
        empty = inspect(connection, MODELS)
        MODELS.create_all(connection)
        connection.commit()
        unversioned = inspect(connection, MODELS)
        with_migrations = inspect(connection, MODELS, project.ini)

    assert (empty.verdict, empty.available) == (Verdict.EMPTY, None)
    assert unversioned.verdict is Verdict.READY
    assert with_migrations.verdict is Verdict.UNVERSIONED


def test_a_newer_revision_is_pending(project: Project) -> None:
    project.usual().alembic("upgrade r1")
    report = report_of(project)

    assert (report.verdict, report.applied, report.available) == (Verdict.PENDING, ("r1",), ("r2",))
    assert report.pending == ("r2",)
    assert report.way is not None
    assert report.way.name == "newer revisions have not been applied yet"
    assert mended(project, report).true


def test_a_newer_revision_is_pending_also_where_each_migration_commits(postgres: Project) -> None:
    """Only an upgrade that was rolled back tells a broken one from one that nobody has run."""
    postgres.write_env(
        SYNC.replace("connection=connection,", "connection=connection, transaction_per_migration=True,")
    )
    postgres.usual().alembic("upgrade r1")
    report = report_of(postgres)

    assert (report.verdict, numbers(report)[0]) == (Verdict.PENDING, 0)


def test_another_script_location_than_the_one_that_migrated_it_has_no_revisions(project: Project) -> None:
    project.usual().alembic("upgrade head")
    elsewhere = project.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "env.py").write_text(SYNC)
    project.ini.write_text(project.ini.read_text().replace("%(here)s/migrations", "%(here)s/elsewhere"))
    report = report_of(project)

    assert (report.verdict, numbers(report)) == (Verdict.UNKNOWN_REVISION, [8, 18])
    assert report.ways[0].evidence == (f"{elsewhere}/versions does not exist",)


def test_a_search_path_that_leads_nowhere_is_the_wrong_schema(postgres: Project) -> None:
    postgres.usual().alembic("upgrade head")
    postgres.execute(f'ALTER DATABASE "{postgres.url.rpartition("/")[2]}" SET search_path TO nowhere')
    report = report_of(postgres)

    assert (report.verdict, numbers(report)) == (Verdict.WRONG_SCHEMA, [12])
    assert mended(postgres, report).true


def test_a_user_without_rights_is_told_no_less(postgres: Project) -> None:
    postgres.usual().alembic("stamp head")
    postgres.execute(
        "CREATE ROLE inspector LOGIN PASSWORD 'inspector'", "GRANT SELECT ON alembic_version TO inspector"
    )
    url = sa.make_url(postgres.url).set(username="inspector", password="inspector")
    humble = Project(postgres.folder, url.render_as_string(hide_password=False), script_url=postgres.url)
    try:
        stamped = report_of(humble)
        with postgres.connection() as other:
            other.exec_driver_sql("CREATE TABLE users (id int)")
            busy = report_of(humble)
            other.rollback()
    finally:
        postgres.execute("DROP OWNED BY inspector", "DROP ROLE inspector")

    assert (stamped.verdict, numbers(stamped)[0]) == (Verdict.STAMPED_BUT_EMPTY, 1)
    assert busy.verdict is Verdict.BUSY
    assert "may not be seen by this user" in busy.hint


def test_an_older_stamp_on_an_empty_database_is_no_pending_one(project: Project) -> None:
    project.usual().alembic("stamp r1")
    report = report_of(project)

    assert report.verdict is Verdict.STAMPED_BUT_EMPTY
    assert mended(project, report).true


def test_models_that_name_the_default_schema_are_found_in_revisions_that_do_not(postgres: Project) -> None:
    models = sa.MetaData(schema="public")
    for table in MODELS.tables.values():
        table.to_metadata(models, schema="public")
    postgres.usual().alembic("upgrade head")
    ready = report_of(postgres, models)
    postgres.execute("DROP TABLE posts", "UPDATE alembic_version SET version_num = 'r1'")
    pending = report_of(postgres, models)
    postgres.execute("DROP TABLE users", "CREATE TABLE posts (id int)")
    partly = report_of(postgres, models)

    assert ready.true
    assert pending.verdict is Verdict.PENDING
    assert partly.verdict is Verdict.PARTLY_APPLIED
    said = [sentence for way in partly.ways for sentence in way.evidence]
    assert "posts is there, which r2.py makes and is not noted" in said
    assert mended(postgres, partly).true


def test_a_database_that_nobody_migrated_is_told_so(postgres: Project) -> None:
    report = report_of(postgres.usual())

    assert report.verdict is Verdict.EMPTY
    assert report.way is not None
    assert (report.way.number, report.way.name) == (0, "nothing has been built here yet")
    assert 14 in numbers(report)
    assert mended(postgres, report).true


def test_a_model_without_a_revision_is_drift_and_says_which(project: Project) -> None:
    project.revision("r1", USERS)
    project.alembic("upgrade head")
    report = report_of(project)

    assert report.verdict is Verdict.DRIFT
    assert report.way is not None
    assert report.way.evidence == ("no revision makes posts",)
    assert mended(project, report).true


def test_an_empty_revision_in_place_of_what_the_models_gained(project: Project) -> None:
    project.usual(second="pass").alembic("upgrade head")
    report = report_of(project)

    assert (report.verdict, numbers(report)[0]) == (Verdict.EMPTY_MIGRATION, 3)
    assert report.way is not None
    assert report.way.evidence == ("r2.py:11: upgrade() does nothing", "no revision makes posts")
    assert mended(project, report).true


def test_an_empty_revision_for_a_column_that_the_models_gained(project: Project) -> None:
    models = sa.MetaData()
    for table in MODELS.tables.values():
        table.to_metadata(models)
    models.tables["users"].append_column(sa.Column("nickname", sa.String(30)))
    project.usual().revision("r3", '"""For nicknames."""', "r2")
    project.alembic("upgrade head")
    report = report_of(project, models)

    assert [each.kind for each in report.differences] == [Kind.COLUMN_MISSING]
    assert report.verdict is Verdict.EMPTY_MIGRATION
    assert "users.nickname" in report.hint
    assert report_of(project).true


def test_a_revision_that_only_merges_is_not_an_empty_one(project: Project) -> None:
    project.revision("r1", USERS)
    project.revision("a", POSTS, "r1")
    project.revision("b", 'op.execute("SELECT 1")', "r1")
    merge = project.revision("m", "pass")
    merge.write_text(merge.read_text().replace("down_revision = None", 'down_revision = ("a", "b")'))
    project.alembic("upgrade head")
    ready = report_of(project)
    project.execute("DROP TABLE posts")

    assert ready.true
    assert report_of(project).verdict is Verdict.PARTLY_APPLIED


def test_a_table_that_somebody_dropped_leaves_it_partly_applied(project: Project) -> None:
    project.usual().alembic("upgrade head")
    project.execute("DROP TABLE posts")
    report = report_of(project)

    assert (report.verdict, numbers(report)[0]) == (Verdict.PARTLY_APPLIED, 2)
    assert report.remedy is not None
    assert report.remedy.loses == "every row in this database"
    assert mended(project, report).true


def test_tables_changed_by_hand_are_drift(project: Project) -> None:
    project.usual().alembic("upgrade head")
    project.execute("ALTER TABLE users ADD COLUMN shoe INTEGER")
    report = report_of(project)

    assert (report.verdict, report.way and report.way.name) == (
        Verdict.DRIFT,
        "the tables were changed by hand, or by revisions of another version",
    )


def test_tables_that_are_ahead_of_the_revision_are_named(project: Project) -> None:
    project.usual().alembic("upgrade r1")
    with project.connection() as connection:
        MODELS.create_all(connection)
        connection.commit()
    report = report_of(project)

    assert report.verdict is Verdict.PARTLY_APPLIED
    assert "posts is there, which r2.py makes and is not noted" in report.ways[0].evidence
    assert 19 in numbers(report)
    assert mended(project, report).true


def test_a_stamp_that_alembic_cannot_work_on_is_mended(project: Project) -> None:
    project.usual().alembic("upgrade head")
    project.execute("INSERT INTO alembic_version VALUES ('r1')")
    report = report_of(project)

    assert report.verdict is Verdict.MULTIPLE_HEADS
    assert "one of them follows the other" in report.hint
    assert mended(project, report).true


def test_the_true_way_is_among_those_named_where_the_traces_are_gone(postgres: Project) -> None:
    postgres.usual().alembic("upgrade head")
    with postgres.connection() as connection:
        MODELS.drop_all(connection)
        connection.commit()
    postgres.execute("SELECT pg_stat_reset()")
    report = report_of(postgres)

    assert report.verdict is Verdict.STAMPED_BUT_EMPTY
    assert {1, 2, 10} <= set(numbers(report))
    assert report.way is not None
    assert report.way.evidence == ()


def test_a_type_that_was_left_behind_is_dropped_by_the_remedy(postgres: Project) -> None:
    colour = """colours = sa.Enum("red", "blue", name="colour")
    op.create_table("paints", sa.Column("id", sa.Integer, primary_key=True), sa.Column("colour", colours))"""
    models = sa.MetaData()
    sa.Table(
        "paints",
        models,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("colour", sa.Enum("red", "blue", name="colour")),
    )
    postgres.revision("r1", colour)
    postgres.alembic("upgrade head")
    ready = report_of(postgres, models)
    postgres.execute("DROP TABLE paints")
    report = report_of(postgres, models)

    assert ready.true
    assert "type colour is still there" in report.ways[0].evidence
    assert report.remedy is not None
    assert report.remedy.commands[0] == 'DROP TYPE "colour";'
    postgres.obey(report.remedy.commands)
    assert report_of(postgres, models).true


def test_a_revision_in_plain_sql_is_no_empty_one(project: Project) -> None:
    project.revision("r1", f"{USERS}\n    op.execute('CREATE TABLE posts (id INTEGER PRIMARY KEY)')")
    project.alembic("upgrade head")
    project.execute("DROP TABLE posts")

    assert report_of(project).verdict is Verdict.PARTLY_APPLIED


def test_sqlite_keeps_the_tables_of_an_upgrade_that_lost_its_stamp(sqlite: Project) -> None:
    """Way 4 there: CREATE TABLE commits by itself, the row in the version table is rolled back."""
    sqlite.revision("r1", USERS_AND_POSTS)
    sqlite.write_env(
        SYNC.replace(
            "        context.configure(connection=connection",
            '        connection.execute(text("SELECT 1"))\n        context.configure(connection=connection',
        )
    )
    sqlite.alembic("upgrade head")
    report = report_of(sqlite)

    assert (report.verdict, numbers(report)[0]) == (Verdict.UNVERSIONED, 4)
