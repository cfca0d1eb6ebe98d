"""Environments that differ in a way that a test plants: databases, applications and packages, all of them real."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dbparity.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

APPLICATION = """
from sqlalchemy import create_engine, event
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker
from sqlalchemy.pool import NullPool, StaticPool

class Base(DeclarativeBase):
    pass

class Customer(Base):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]

"""
PROJECT = """
[project]
name = "{name}"
version = "1"
dependencies = ["sqlalchemy", "{needs}"]

[tool.dbparity]
metadata = "{name}:Base.metadata"
database_url = "{url}"
sessionmaker = "{name}:sessions"
schema = "create"
"""
METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"


def application(folder: Path, name: str, url: str, code: str, *, needs: str = "alembic") -> Path:
    """A project whose `sessions` and engine are what `code` says."""
    root = folder / name
    root.mkdir()
    (root / f"{name}.py").write_text(APPLICATION + code.replace("{url}", url))
    (root / "pyproject.toml").write_text(PROJECT.format(name=name, url=url, needs=needs))
    return root


def installed(folder: Path, name: str, version: str, *requires: str) -> None:
    """A package of that version, as an installer leaves it in a folder of the path."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    needed = "".join(f"Requires-Dist: {each}\n" for each in requires)
    (info / "METADATA").write_text(METADATA.format(name=name, version=version) + needed)


def taken(file: Path, root: Path, *urls: str) -> dict[str, Any]:
    """`dbparity fingerprint`, and what it wrote."""
    said = [word for url in urls for word in ("--url", url)]
    assert main(["fingerprint", "--root", str(root), "-o", str(file), *said]) == 0
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found


def compared(
    capsys: pytest.CaptureFixture[str], *words: object
) -> tuple[int, dict[str, tuple[Any, Any, str]]]:
    """`dbparity compare`: its exit code, and each fact that differs with both values and the rating."""
    capsys.readouterr()
    code = main(["compare", "--json", *map(str, words)])
    found = json.loads(capsys.readouterr().out)
    assert found["differences"] is not None, found
    return code, {each["fact"]: (each["a"], each["b"], each["effect"]) for each in found["differences"]}
