"""What people do that makes a schema false, and how it is done rightly; each run for real in a project."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from alembic.util import CommandError
from migrated import ASYNC, BEGUN, CONFIGURE, MODELS, POSTS, SYNC, USERS_AND_POSTS, Project
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from collections.abc import Callable

EARLY = SYNC.replace(CONFIGURE, f'        connection.execute(text("SELECT 1"))\n{CONFIGURE}')
EARLY_COMMITTED = EARLY.replace('"SELECT 1"))\n', '"SELECT 1"))\n        connection.commit()\n')
NOT_BEGUN = SYNC.replace(BEGUN, "        context.run_migrations()\n\n\nif")
NOT_BEGUN_BY_ALEMBIC = NOT_BEGUN.replace("engine.connect()", "engine.begin()")
SHARED = ASYNC.replace(
    "        await connection.run_sync",
    '        await connection.execute(text("SELECT pg_advisory_lock(7)"))\n        await connection.run_sync',
)
SHARED_BEGUN = SHARED.replace("engine.connect()", "engine.begin()")
COMMITS_EACH = SYNC.replace(
    "connection=connection,", "connection=connection, transaction_per_migration=True,"
)
NO_MODELS = SYNC.replace("target_metadata = MODELS", "target_metadata = None")
FAILING = f'{POSTS}\n    op.execute("SELECT no_such_column")'
IN_CI_ONLY = f'if not os.getenv("SHOP_TABLES"):\n        return\n    {USERS_AND_POSTS}'


def upgraded(project: Project) -> None:
    project.usual().alembic("upgrade head")


def upgraded_with(env: str) -> Callable[[Project], None]:
    def run(project: Project) -> None:
        project.write_env(env)
        upgraded(project)

    return run


def mended_env(project: Project) -> None:
    project.write_env(SYNC)


def nothing_more(project: Project) -> None:
    pass


def stamp(project: Project) -> None:
    project.usual().alembic("stamp head")


def drop_all(project: Project) -> None:
    upgraded(project)
    with project.connection() as connection:
        MODELS.drop_all(connection)
        connection.commit()


def generate_from_nothing(project: Project) -> None:
    project.write_env(NO_MODELS.replace("None", "__import__('sqlalchemy').MetaData()"))
    project.alembic('revision --autogenerate -m "tables"')
    project.alembic("upgrade head")


def forget_the_empty_one(project: Project) -> None:
    mended_env(project)
    for path in project.versions.glob("*.py"):
        path.unlink()


def generate(project: Project) -> None:
    project.alembic('revision --autogenerate -m "tables"')
    project.alembic("upgrade head")


def upgrade_after_ensure_version(env: str) -> Callable[[Project], None]:
    def run(project: Project) -> None:
        project.usual().alembic("ensure_version")
        project.write_env(env)
        project.alembic("upgrade head")

    return run


def upgrade_shared(env: str) -> Callable[[Project], None]:
    def run(project: Project) -> None:
        project.write_ini(project.url.replace("+psycopg", "+asyncpg"))
        upgraded_with(env)(project)

    return run


def nothing_to_run(project: Project) -> None:
    project.alembic("upgrade head")


def downgrade(project: Project) -> None:
    upgraded(project)
    project.alembic("downgrade base")


def downgrade_and_return(project: Project) -> None:
    downgrade(project)
    project.alembic("upgrade head")


def guard(project: Project) -> None:
    project.revision("r1", IN_CI_ONLY)
    project.alembic("upgrade head")


def unguard(project: Project) -> None:
    project.revision("r1", USERS_AND_POSTS)


def unguarded(project: Project) -> None:
    unguard(project)
    project.alembic("upgrade head")


def print_only(project: Project) -> None:
    (project.folder / "upgrade.sql").write_text(project.usual().alembic("upgrade head --sql"))


def print_and_run(project: Project) -> None:
    print_only(project)
    project.execute(*(project.folder / "upgrade.sql").read_text().split(";\n\n"))


def fail(project: Project) -> None:
    project.usual(second=FAILING)
    with pytest.raises(DBAPIError, match="no_such_column"):
        project.alembic("upgrade head")


def fail_apart(project: Project) -> None:
    project.write_env(COMMITS_EACH)
    fail(project)


def mend_second(project: Project) -> None:
    project.usual()


def two_heads(project: Project) -> None:
    project.usual().revision("r2b", "pass", "r1")
    with pytest.raises((CommandError, SystemExit)):
        project.alembic("upgrade head")


def both_heads(project: Project) -> None:
    project.usual().revision("r2b", "pass", "r1")
    project.alembic("upgrade heads")


def switch_branch(project: Project) -> None:
    path = project.revision("r3", "pass", "r2")
    upgraded(project)
    path.unlink()


def switch_back(project: Project) -> None:
    project.revision("r3", "pass", "r2")


def stay(project: Project) -> None:
    switch_back(project)
    upgraded(project)


def truncate_all(project: Project) -> None:
    upgraded(project)
    project.execute("TRUNCATE users, posts, alembic_version")


def delete_all(project: Project) -> None:
    upgraded(project)
    project.execute("DELETE FROM users", "DELETE FROM posts", "DELETE FROM alembic_version")


def truncate_models(project: Project) -> None:
    upgraded(project)
    project.execute("TRUNCATE users, posts")


def create_all_then_upgrade(project: Project) -> None:
    with project.usual().connection() as connection:
        MODELS.create_all(connection)
        connection.commit()
    with pytest.raises(DBAPIError, match="already exists"):
        project.alembic("upgrade head")


def create_all_then_stamp(project: Project) -> None:
    with project.usual().connection() as connection:
        MODELS.create_all(connection)
        connection.commit()
    project.alembic("stamp head")
