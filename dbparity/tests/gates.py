"""A project with migrations and its database, as the gate meets them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from migrated import Project

from dbparity.config import Config, Schema
from dbparity.observer import Observer

if TYPE_CHECKING:
    from pathlib import Path


def project_at(url: str, folder: Path) -> Project:
    sync = url.replace("+aiosqlite", "").replace("+asyncpg", "+psycopg")
    return Project(folder, sync, script_url="driver://somewhere/else").usual()


def migrating(folder: Path, **said: Any) -> Config:
    return replace(Config(root=folder, migrations="alembic.ini", schema=Schema.MIGRATE), **said)


def tables(url: str) -> set[str]:
    observer = Observer(url, pooled=False)
    try:
        return set(observer.call(lambda connection: sa.inspect(connection).get_table_names()))
    finally:
        observer.close()


def execute(url: str, *statements: str) -> None:
    def run(connection: sa.Connection) -> None:
        for statement in statements:
            connection.exec_driver_sql(statement)
        connection.commit()

    observer = Observer(url, pooled=False)
    observer.call(run)
    observer.close()
