"""A small project with Alembic migrations, written to a folder and run for real."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import alembic
import sqlalchemy as sa
from alembic.config import main as alembic_command

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).parent

MODELS = sa.MetaData()
sa.Table(
    "users",
    MODELS,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(30), nullable=False),
)
sa.Table(
    "posts",
    MODELS,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("author", sa.ForeignKey("users.id"), nullable=False),
)

INI = """
[alembic]
script_location = %(here)s/migrations
prepend_sys_path = .
path_separator = os
sqlalchemy.url = {url}
"""
SYNC = """
from alembic import context
from migrated import MODELS
from sqlalchemy import create_engine, pool, text

config = context.config
target_metadata = MODELS


def run_migrations_offline():
    context.configure(
        url=config.get_main_option("sqlalchemy.url"), target_metadata=target_metadata, literal_binds=True
    )
    with context.begin_transaction():
        context.run_migrations()


def run_migrations_online():
    engine = create_engine(config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=target_metadata)
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    run_migrations_offline()
else:
    run_migrations_online()
"""
ASYNC = """
import asyncio

from alembic import context
from migrated import MODELS
from sqlalchemy import pool, text
from sqlalchemy.ext.asyncio import create_async_engine

config = context.config


def do_run_migrations(connection):
    context.configure(connection=connection, target_metadata=MODELS)
    with context.begin_transaction():
        context.run_migrations()


async def run_async_migrations():
    engine = create_async_engine(config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(do_run_migrations)
    await engine.dispose()


asyncio.run(run_async_migrations())
"""
CONFIGURE = "        context.configure(connection=connection, target_metadata=target_metadata)\n"
BEGUN = """        with context.begin_transaction():
            context.run_migrations()


if"""

REVISION = '''"""{id}"""
import os

import sqlalchemy as sa
from alembic import op

revision = "{id}"
down_revision = {down!r}


def upgrade():
    {upgrade}


def downgrade():
    {downgrade}
'''
USERS = """op.create_table(
        "users",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(30), nullable=False),
    )"""
POSTS = """op.create_table(
        "posts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("author", sa.Integer, sa.ForeignKey("users.id"), nullable=False),
    )"""
USERS_AND_POSTS = f"{USERS}\n    {POSTS}"


@dataclass
class Project:
    """alembic.ini, env.py and revisions in a folder; its commands run in this process."""

    folder: Path
    url: str
    """The database, through a synchronous driver."""

    env: str = SYNC
    script_url: str = field(default="")
    """What alembic.ini says, if it is not that."""

    def __post_init__(self) -> None:
        self.versions.mkdir(parents=True, exist_ok=True)
        self.write_env(self.env)
        self.write_ini(self.script_url or self.url)
        template = Path(alembic.__file__).parent / "templates" / "generic" / "script.py.mako"
        shutil.copy(template, self.folder / "migrations")

    @property
    def ini(self) -> Path:
        return self.folder / "alembic.ini"

    @property
    def versions(self) -> Path:
        return self.folder / "migrations" / "versions"

    def write_ini(self, url: str) -> None:
        self.ini.write_text(INI.format(url=url))

    def write_env(self, env: str) -> None:
        (self.folder / "migrations" / "env.py").write_text(env)

    def revision(self, name: str, upgrade: str, down: str | None = None, downgrade: str = "pass") -> Path:
        path = self.versions / f"{name}.py"
        path.write_text(REVISION.format(id=name, down=down, upgrade=upgrade, downgrade=downgrade))
        return path

    def usual(self, *, second: str = POSTS) -> Project:
        """Two revisions that make one table each."""
        self.revision("r1", USERS, None, 'op.drop_table("users")')
        self.revision("r2", second, "r1", 'op.drop_table("posts")')
        return self

    def alembic(self, command: str) -> str:
        """Run a command of Alembic as one types it in the project's folder; what it printed."""
        printed = io.StringIO()
        words = shlex.split(command.removeprefix("alembic "))
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(printed):
            alembic_command(argv=words, prog="alembic")
        return printed.getvalue()

    @contextlib.contextmanager
    def connection(self) -> Iterator[sa.Connection]:
        engine = sa.create_engine(self.url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            yield connection

    def execute(self, *statements: str) -> None:
        with self.connection() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
            connection.commit()

    def cleared(self) -> Project:
        """Empty a database of PostgreSQL; only what its statistics remember stays."""
        with self.connection() as connection:
            named = "nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'"
            schemas = connection.scalars(sa.text(f"SELECT nspname FROM pg_namespace WHERE {named}"))
            for schema in schemas.all():
                connection.exec_driver_sql(f"DROP SCHEMA {schema} CASCADE")
            connection.exec_driver_sql("CREATE SCHEMA public")
            connection.commit()
        return self

    def obey(self, commands: tuple[str, ...]) -> None:
        """Do what a remedy says: Alembic's commands, SQL, or the removal of a file."""
        for command in commands:
            if command.endswith(";"):
                self.execute(*(part for part in command.split(";") if part.strip()))
            elif command.startswith("rm "):
                os.unlink(command.removeprefix("rm "))  # noqa: PTH108 - as the shell would
            else:
                self.alembic(command)
