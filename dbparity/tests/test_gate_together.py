"""Several processes at the gate of one database: workers, two checkouts, one that is killed half-way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from migrated import POSTS, Project

from dbparity.observer import Observer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbparity.testing.postgres import PrivateCluster

SECONDS = 60
# Says what it waits for and what came of it, a line of JSON each; begins when it is told to.
GATE = """
import json, sys
from pathlib import Path

from migrated import MODELS
from dbparity.config import Config, Schema
from dbparity.observer import close_background_loop
from dbparity.provision.gate import GateError, open_gate
from dbparity.provision.party import Party
from dbparity.provision.patience import Patience

url, folder, how, seconds = sys.argv[1:]

def tell(**what):
    print(json.dumps(what), flush=True)

config = Config(root=Path(folder), migrations="alembic.ini", schema=Schema(how))
tell(ready=True)
sys.stdin.readline()
try:
    result = open_gate(
        url, MODELS, config, say=lambda line: tell(said=line),
        party=Party(checkout=folder), patience=Patience(lock=float(seconds), table=5.0),
    )
    tell(did=result.did, line=result.line)
except GateError as error:
    tell(failed=str(error))
close_background_loop()
"""
STOPS = """Path(os.environ["STOP"], "here").touch()
    open(Path(os.environ["STOP"], "go")).close()  # a pipe: somebody must open its other end
    """


@dataclass
class Builder:
    process: subprocess.Popen[str]

    @classmethod
    def start(cls, url: str, folder: Path, how: str = "migrate", seconds: float = SECONDS) -> Builder:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "STOP": str(folder)}
        command = [sys.executable, "-c", GATE, url, str(folder), how, str(seconds)]
        builder = cls(
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=folder
            )
        )
        assert builder.hear() == {"ready": True}
        return builder

    def hear(self) -> Any:
        assert self.process.stdout
        return json.loads(self.process.stdout.readline() or '{"ended": true}')

    def go(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def result(self) -> dict[str, str]:
        while "said" in (heard := self.hear()):
            pass
        self.process.communicate(timeout=SECONDS)
        assert isinstance(heard, dict)
        return heard


@pytest.fixture(params=["sqlite", "postgresql+asyncpg"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'app.db'}"
    else:
        cluster: PrivateCluster = request.getfixturevalue("cluster")
        with cluster.database() as url:
            yield url


@pytest.fixture
def builders() -> Iterator[list[Builder]]:
    started: list[Builder] = []
    yield started
    for each in started:
        each.process.kill()
        each.process.communicate(timeout=SECONDS)


def checkout(folder: Path, url: str, *, stops: bool = False) -> Path:
    folder.mkdir()
    project = Project(folder, url.replace("asyncpg", "psycopg")).usual()
    if stops:
        path = project.revision("r2", STOPS + POSTS, "r1")
        path.write_text(path.read_text().replace("import os", "import os\nfrom pathlib import Path"))
        os.mkfifo(folder / "go")
    return folder


def rows(url: str, statement: str) -> list[Any]:
    observer = Observer(url.replace("asyncpg", "psycopg"), pooled=False)
    found = observer.call(lambda connection: connection.execute(sa.text(statement)).scalars().all())
    observer.close()
    return list(found)


@pytest.mark.parametrize(
    ("url", "how"),
    [("sqlite", "migrate"), ("postgresql+asyncpg", "migrate"), ("postgresql+asyncpg", "create")],
    indirect=["url"],
)
def test_of_four_at_once_one_builds_and_the_others_find(
    url: str, tmp_path: Path, how: str, builders: list[Builder]
) -> None:
    folders = [checkout(tmp_path / name, url) for name in ("one", "two")]
    builders += [Builder.start(url, folder, how) for folder in folders for _ in range(2)]
    for each in builders:
        each.go()
    results = [each.result() for each in builders]
    assert sorted(result["did"] for result in results) == ["built", "found", "found", "found"]
    assert rows(url, "SELECT count(*) FROM posts") == [0]
    if how == "migrate":
        assert rows(url, "SELECT version_num FROM alembic_version") == ["r2"]


@pytest.mark.parametrize("url", ["postgresql+asyncpg"], indirect=True)
def test_of_two_at_once_in_a_false_database_one_mends_and_the_other_finds(
    url: str, tmp_path: Path, builders: list[Builder]
) -> None:
    folder = checkout(tmp_path / "one", url)
    Project(folder, url.replace("asyncpg", "psycopg")).alembic("stamp head")
    builders += [Builder.start(url, folder) for _ in range(2)]
    for each in builders:
        each.go()
    assert sorted(each.result()["did"] for each in builders) == ["found", "mended"]


def until_there(path: Path, process: subprocess.Popen[Any]) -> None:
    while not path.exists():
        assert process.poll() is None


def begun(folder: Path, builder: Builder) -> None:
    """The builder is in the middle of its migrations, and stays there until its pipe is opened."""
    builder.go()
    until_there(folder / "here", builder.process)


def test_who_comes_later_waits_says_for_whom_and_finds_it_done(
    url: str, tmp_path: Path, builders: list[Builder]
) -> None:
    folder = checkout(tmp_path / "one", url, stops=True)
    builders += [first := Builder.start(url, folder), second := Builder.start(url, folder)]
    begun(folder, first)
    second.go()
    waiting = second.hear()["said"]
    assert "waiting for another builder of" in waiting
    assert f"of {folder}, process {first.process.pid} on" in waiting
    (folder / "go").open("w").close()
    assert first.result()["did"] == "built"
    found = second.result()
    assert found["did"] == "found"
    assert "built by another process: 2 tables" in found["line"]


@pytest.mark.parametrize("url", ["postgresql+asyncpg"], indirect=True)
def test_who_waits_too_long_is_told_who_holds_it(url: str, tmp_path: Path, builders: list[Builder]) -> None:
    folder = checkout(tmp_path / "one", url, stops=True)
    builders += [first := Builder.start(url, folder), second := Builder.start(url, folder, seconds=0.5)]
    begun(folder, first)
    second.go()
    failed = second.result()["failed"]
    assert "was not free within 0.5 s" in failed
    assert f"process {first.process.pid} on" in failed
    assert "end it (SELECT pg_terminate_backend(" in failed or "end that process" in failed


def test_a_builder_that_is_killed_leaves_the_lock_and_nothing_that_stops_the_next(
    url: str, tmp_path: Path, builders: list[Builder]
) -> None:
    folder = checkout(tmp_path / "one", url, stops=True)
    sound = checkout(tmp_path / "two", url)
    builders += [first := Builder.start(url, folder), second := Builder.start(url, sound)]
    begun(folder, first)
    second.go()
    assert "waiting for another builder" in second.hear()["said"]
    first.process.kill()
    assert second.result()["did"] in {"built", "mended"}
    assert rows(url, "SELECT count(*) FROM posts") == [0]


@pytest.mark.parametrize("url", ["postgresql+asyncpg"], indirect=True)
def test_a_migration_that_somebody_else_runs_by_alembic_alone_is_waited_for(
    url: str, tmp_path: Path, builders: list[Builder]
) -> None:
    folder = checkout(tmp_path / "one", url, stops=True)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "STOP": str(folder)}
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    with subprocess.Popen(command, env=environment, cwd=folder, stderr=subprocess.DEVNULL) as alembic:
        until_there(folder / "here", alembic)
        builders.append(waiting := Builder.start(url, folder))
        waiting.go()
        said = waiting.hear()["said"]
        (folder / "go").open("w").close()
    assert "the schema is being changed elsewhere" in said
    assert alembic.returncode == 0
    assert waiting.result()["did"] == "found"
