"""From an empty folder: a FastAPI + SQLModel + Alembic project, the built wheel, four lines of configuration."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCE = Path(__file__).parents[1]
FOUR_LINES = """
[tool.dbparity]
metadata = "blog.models:SQLModel.metadata"
database_url = "env:DATABASE_URL=sqlite:///blog_test.db"
migrations = "alembic.ini"
"""
PROJECT = {
    "pyproject.toml": """
[project]
name = "blog"
version = "2.3"

[tool.pytest.ini_options]
pythonpath = ["."]
""",
    "blog/__init__.py": "",
    "blog/models.py": """
from sqlmodel import Field, SQLModel

class Post(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    title: str = Field(unique=True)
""",
    "blog/api.py": """
import os
from typing import Annotated

from fastapi import Depends, FastAPI
from sqlmodel import Session, create_engine, func, select

from blog.models import Post

engine = create_engine(os.environ.get("DATABASE_URL", "sqlite:///blog.db"))
app = FastAPI()

def opened():
    with Session(engine) as session:
        yield session

@app.post("/posts")
def write(post: Post, session: Annotated[Session, Depends(opened, scope="function")]) -> Post:
    session.add(post)
    session.commit()
    session.refresh(post)
    return post

@app.get("/posts")
def count(session: Annotated[Session, Depends(opened, scope="function")]) -> int:
    return session.exec(select(func.count()).select_from(Post)).one()
""",
    "tests/test_blog.py": """
import dbparity
import pytest
from blog.api import app
from fastapi.testclient import TestClient

def test_this_is_the_wheel():
    print("dbparity is", dbparity.__file__)

@pytest.mark.parametrize("time", ["first", "second"])
def test_a_post_is_the_only_one(time):
    with TestClient(app) as client:
        assert client.post("/posts", json={"title": "Hello"}).status_code == 200
        assert client.get("/posts").json() == 1
""",
}


def called(
    command: Sequence[str | Path], folder: Path, wheel: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command as the project's people would, with their copy of dbparity and without ours."""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("DATABASE_URL")}
    environment["PYTHONPATH"] = os.pathsep.join(map(str, [wheel, folder] if wheel else [folder]))
    return subprocess.run(
        [str(each) for each in command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def python(*arguments: str | Path) -> list[str | Path]:
    return [sys.executable, *arguments]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the built wheel is installed."""
    wheels, target = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("installed")
    built = called(python("-m", "hatchling", "build", "-t", "wheel", "-d", wheels), SOURCE)
    assert built.returncode == 0, built.stderr
    (wheel,) = wheels.glob("dbparity-*.whl")
    pip: list[str | Path] = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        target,
        wheel,
    ]
    done = called(python(*pip), wheels)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as it was before, migrations and all, made by Alembic's own commands."""
    folder = tmp_path_factory.mktemp("blog")
    for name, text in PROJECT.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    done = called(python("-m", "alembic", "init", "migrations"), folder)
    assert done.returncode == 0, done.stderr
    env = folder / "migrations" / "env.py"
    env.write_text(
        env.read_text()
        .replace(
            "target_metadata = None", "from blog.models import SQLModel\ntarget_metadata = SQLModel.metadata"
        )
        .replace("# from myapp import mymodel\n", "")
        .replace(
            "config = context.config",
            "import os\n\nconfig = context.config\n"
            'config.set_main_option("sqlalchemy.url", os.environ.get("DATABASE_URL", "sqlite:///blog.db"))',
            1,
        )
    )
    mako = folder / "migrations" / "script.py.mako"
    mako.write_text(
        mako.read_text().replace("import sqlalchemy as sa", "import sqlalchemy as sa\nimport sqlmodel")
    )
    for arguments in (["revision", "--autogenerate", "-m", "posts"], ["upgrade", "head"]):
        done = called(python("-m", "alembic", *arguments), folder)
        assert done.returncode == 0, done.stderr
    return folder


def suite(project: Path, wheel: Path, *options: str) -> subprocess.CompletedProcess[str]:
    quick = ("-p", "no:hypothesispytest", "-p", "no:schemathesis", "-p", "no:cacheprovider")
    return called(python("-m", "pytest", *quick, *options), project, wheel)


def rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        count: int = connection.execute("SELECT count(*) FROM post").fetchone()[0]
        return count


def test_four_lines_make_the_suite_isolated_with_the_gate_on(project: Path, installed: Path) -> None:
    (project / "pyproject.toml").write_text(PROJECT["pyproject.toml"])
    (project / "blog_test.db").unlink(missing_ok=True)
    without = suite(project, installed)
    assert "dbparity:" not in without.stdout
    assert "1 failed, 2 passed" in without.stdout, without.stdout  # the second post meets the first
    (project / "pyproject.toml").write_text(PROJECT["pyproject.toml"] + FOUR_LINES)
    for line in ("migrated to * (1 revision in alembic.ini)", "1 table* as the models say, at "):
        done = suite(project, installed, "-rP")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "3 passed" in done.stdout
        assert f"dbparity is {installed / 'dbparity' / '__init__.py'}" in done.stdout
        assert (
            f"dbparity: database {project / 'blog_test.db'}, schema migrate from alembic.ini" in done.stdout
        )
        said = next(each for each in done.stdout.splitlines() if each.startswith(f"dbparity: {project}"))
        assert all(part in said for part in line.split("*"))
    assert rows(project / "blog_test.db") == 0
    assert rows(project / "blog.db") == 1  # of the run without


def test_the_wheel_has_the_command_too(project: Path, installed: Path) -> None:
    (project / "pyproject.toml").write_text(PROJECT["pyproject.toml"] + FOUR_LINES)
    assert suite(project, installed, "-k", "wheel").returncode == 0  # which builds the schema
    done = called([installed / "bin" / "dbparity", "schema", "--json"], project, installed)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"] == "ready"
