"""`dbparity fingerprint`: what it collects of interpreter, machine, packages and variables, and what it never shows."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from planted import application, compared, installed, taken

from dbparity.cli import main
from dbparity.config import Config
from dbparity.fingerprint import Effect
from dbparity.fingerprint.machine import cpu_limit, file_system, memory_limit, usable_cpus
from dbparity.fingerprint.packages import Role, imported_packages, packages

if TYPE_CHECKING:
    import sqlalchemy as sa

RESULTS, TIMING, DURABILITY, NONE = map(str, Effect)
BARE = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"}


PREPARED = """
import os, resource, sys
os.umask(0o{mask})
{more}
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
CRAMPED = """
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
"""
"""One processor and few files."""


def printed(folder: Path, *python: str, mask: str = "022", more: str = "", **environment: str) -> None:
    """The fingerprint of a process of its own, as `<folder>.json`."""
    command = [*python, "-m", "dbparity.cli", "fingerprint", "--root", str(folder), "-o", f"{folder}.json"]
    prepared = PREPARED.format(mask=mask, more=more)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", prepared, *command],
        env=BARE | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


def test_what_a_process_is_started_with(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    printed(folder)
    printed(
        there,
        "-O",
        "-X",
        "dev",
        mask="027",
        more=CRAMPED,
        TZ="Asia/Tokyo",
        PYTHONHASHSEED="7",
        LC_ALL="C",
        CI="true",
        NOBODY_KNOWS="hush",
        GITHUB_SHA="abc",
        PYTHONINTMAXSTRDIGITS="5000",
    )
    code, found = compared(capsys, f"{folder}.json", f"{there}.json")
    expected: dict[str, Any] = {
        "environment/CI": ("not set", "set", RESULTS),
        "environment/GITHUB_SHA": ("not set", "set", NONE),
        "environment/NOBODY_KNOWS": ("not set", "set", RESULTS),
        "environment/PYTHONHASHSEED": ("not set", "set", RESULTS),
        "environment/PYTHONINTMAXSTRDIGITS": ("not set", "set", RESULTS),
        "machine/open_files": (resource.getrlimit(resource.RLIMIT_NOFILE)[0], 200, RESULTS),
        "process/locale/ctype": ("C.UTF-8", "C", RESULTS),
        "process/time_zone": ("UTC", "Asia/Tokyo", RESULTS),
        "process/umask": ("022", "027", RESULTS),
        "process/utc_offset": ("+0000", "+0900", RESULTS),
        "python/dev_mode": (False, True, RESULTS),
        "python/hash_seed": ("random", "7", RESULTS),
        "python/int_max_str_digits": (4300, 5000, RESULTS),
        "python/optimize": (0, 1, RESULTS),
        "python/utf8_mode": (False, True, RESULTS),
    }
    if (processors := usable_cpus()) != 1:
        expected["machine/cpus_usable"] = (processors, 1, TIMING)
    assert (code, found) == (1, expected)
    assert "hush" not in (tmp_path / "there.json").read_text()


def test_two_processes_that_are_started_alike_write_the_same(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "again").mkdir()
    printed(folder, PYTHONHASHSEED="1")
    printed(tmp_path / "again", PYTHONHASHSEED="2")
    files = f"{folder}.json", f"{tmp_path}/again.json"
    assert compared(capsys, *files) == (1, {"python/hash_seed": ("1", "2", RESULTS)})
    written = [Path(file).read_text().splitlines() for file in files]
    unlike = {one.split('"')[1] for one, other in zip(*written, strict=True) if one != other}
    assert unlike <= {"hash_seed", "made"}


@pytest.mark.parametrize(
    ("files", "processors", "memory"),
    [
        ({"cpu.max": "50000 100000\n", "memory.max": "1073741824\n"}, 0.5, 2**30),
        ({"cpu.max": "max 100000\n", "memory.max": "max\n"}, None, None),
        (
            {
                "cpu/cpu.cfs_quota_us": "150000",
                "cpu/cpu.cfs_period_us": "100000",
                "memory/memory.limit_in_bytes": "536870912",
            },
            1.5,
            2**29,
        ),
        (
            {
                "cpu/cpu.cfs_quota_us": "-1",
                "cpu/cpu.cfs_period_us": "100000",
                "memory/memory.limit_in_bytes": "9223372036854771712",
            },
            None,
            None,
        ),
        ({}, None, None),
    ],
    ids=["limited", "unlimited", "limited, first version", "unlimited, first version", "no cgroups"],
)
def test_the_limits_of_a_container(
    tmp_path: Path, files: dict[str, str], processors: float | None, memory: int | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert (cpu_limit(tmp_path), memory_limit(tmp_path)) == (processors, memory)


def test_the_file_system_is_that_of_the_closest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        f"/dev/a / ext4 rw 0 0\ntmpfs {tmp_path} tmpfs rw 0 0\nnone {tmp_path}x overlay rw 0 0\n"
    )
    assert file_system(tmp_path, mounts) == "tmpfs"
    assert file_system(tmp_path.parent, mounts) == "ext4"
    assert file_system(tmp_path, tmp_path / "nothing") == ""


PROJECT = """
[project]
name = "eshop"
version = "1"
dependencies = ["Needed_One[fast] >= 1 ; python_version > '3'"]
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A project that needs a package, which needs two more, of which one for an extra that is asked for."""
    path = tmp_path / "site"
    installed(path, "needed-one", "1.0", "deeper (>=1)", 'quick ; extra == "fast"', 'slow ; extra == "slow"')
    for name in ("deeper", "quick", "slow", "nobody-s", "imported-one", "spoken"):
        installed(path, name, "1.0")
    monkeypatch.syspath_prepend(path)
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    return Config(root=tmp_path)


def test_a_package_counts_by_who_needs_it(project: Config) -> None:
    found = packages(project, imported=["imported-one", "psycopg", "coverage"], drivers=["asyncpg"])
    roles = {name: each["role"] for name, each in found.items()}
    expected = {
        "needed-one": Role.APPLICATION,
        "deeper": Role.APPLICATION,
        "quick": Role.APPLICATION,
        "slow": Role.UNUSED,
        "nobody-s": Role.UNUSED,
        "imported-one": Role.IMPORTED,
        "asyncpg": Role.DRIVER,
        "psycopg": Role.DRIVER,
        "psycopg2-binary": Role.UNUSED,
        "sqlalchemy": Role.ORM,
        "pytest": Role.RUNNER,
        "pytest-xdist": Role.RUNNER,
        "coverage": Role.MEASURING,
        "ruff": Role.TOOL,
        "mypy": Role.TOOL,
    }
    assert {name: roles[name] for name in expected} == expected


def test_a_package_that_is_installed_in_part_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for info, record in (("ghost-1", "ghost_of_one.py,,\n"), ("~host-1", "")):
        (tmp_path / f"{info}.dist-info").mkdir()
        (tmp_path / f"{info}.dist-info" / "RECORD").write_text(record)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "ghost_of_one", sys)
    found = imported_packages()
    assert "pytest" in found
    assert not any("ghost" in name for name in (*found, *packages(Config(root=tmp_path))))


def test_what_is_not_known_to_be_unused_is_not_called_so(tmp_path: Path, project: Config) -> None:
    roles = packages(Config(root=tmp_path / "elsewhere"))
    assert roles["nobody-s"]["role"] == Role.UNKNOWN
    assert roles["ruff"]["role"] == Role.TOOL


def test_a_linter_s_version_changes_nothing_and_a_driver_s_does(
    tmp_path: Path, project: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file.db").touch()
    url = f"sqlite+aiosqlite:///{tmp_path}/file.db"
    taken(tmp_path / "a.json", tmp_path, url)
    for name in ("ruff", "aiosqlite", "slow", "quick", "pytest-randomly"):
        installed(tmp_path / "newer", name, "99")
    monkeypatch.syspath_prepend(tmp_path / "newer")
    code, found = compared(capsys, tmp_path / "a.json", "--root", tmp_path, "--url", url)
    assert code == 1
    assert {name: (b, effect) for name, (_, b, effect) in found.items()} == {
        "packages/aiosqlite": ("99", RESULTS),
        "packages/pytest-randomly": ("99", RESULTS),
        "packages/quick": ("99", RESULTS),
        "packages/ruff": ("99", NONE),
        "packages/slow": ("99", NONE),
    }


CONTRACT = """
[environments]
test = ".env.test"

[variables.SHOP_TITLE]
type = "string"
default = "Shop"
about = "What stands above each page."

[variables.SHOP_KEY]
type = "string"
secret = true
about = "What is signed with."
"""


def test_values_are_shown_of_declared_variables_that_are_no_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "contract.toml").write_text(CONTRACT)
    (tmp_path / "pyproject.toml").write_text('[tool.dbparity]\nenv_contract = "contract.toml"\n')
    monkeypatch.setenv("SHOP_TITLE", "Shop")
    taken(tmp_path / "a.json", tmp_path)
    monkeypatch.delenv("SHOP_TITLE")  # its default is the same
    assert compared(capsys, tmp_path / "a.json", "--root", tmp_path) == (0, {})
    monkeypatch.setenv("SHOP_TITLE", "postgresql://ada:lovelace@host/name")
    monkeypatch.setenv("SHOP_KEY", "very secret indeed")
    monkeypatch.setenv("SHOP_UNDECLARED", "not for the world")
    taken(tmp_path / "b.json", tmp_path)
    code, found = compared(capsys, tmp_path / "a.json", tmp_path / "b.json")
    assert (code, found) == (
        1,
        {
            "environment/SHOP_KEY": ("not set", "set", RESULTS),
            "environment/SHOP_TITLE": ("Shop", "postgresql://ada:***@host/name", RESULTS),
            "environment/SHOP_UNDECLARED": ("not set", "set", NONE),
        },
    )
    text = (tmp_path / "b.json").read_text()
    assert [each for each in ("very secret", "not for the world", "lovelace") if each in text] == []


def test_no_password_of_a_url_is_written(
    emptied: sa.URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = emptied.set(drivername="postgresql+psycopg").update_query_dict({"connect_timeout": "7"})
    whole = url.render_as_string(hide_password=False)
    monkeypatch.setenv("THE_URL", whole)
    engine = 'sessions = sessionmaker(create_engine("{url}", pool_size=3))'
    found = taken(tmp_path / "a.json", application(tmp_path, "secretive", whole, engine), "env:THE_URL")
    assert str(url.password) not in (tmp_path / "a.json").read_text()
    assert found["databases"]["postgresql"]["url_options"] == ["connect_timeout"]
    assert found["sessions"]["engine"]["pool"]["size"] == 3


def test_it_is_printed_where_no_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fingerprint", "--root", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["format"]) == ("dbparity fingerprint", 1)
    assert found["python"]["version"] == sys.version.partition(" ")[0]


WRONG = [
    (["fingerprint", "--url", "env:NOT_SET_AT_ALL"], 2, "The variable NOT_SET_AT_ALL is not set."),
    (["fingerprint", "--url", "postgresql+nodriver://ada:lovelace@host/name"], 2, "URL cannot be used"),
    (["fingerprint", "--url", "postgresql+psycopg://ada@host:lovelace/name"], 2, "port is no number"),
    (["fingerprint", "--url", "postgresql+psycopg://ada:lovelace@127.0.0.1:1/name"], 3, "does not answer"),
    (["fingerprint", "--url", "postgresql+asyncpg://ada:lovelace@127.0.0.1:1/name"], 3, "does not answer"),
    (["fingerprint", "--url", "sqlite:///nowhere.db"], 3, "There is no file nowhere.db."),
    (["fingerprint", "-o", "no/such/folder/a.json"], 2, "cannot be written"),
    (["compare", "nothing.json"], 2, "nothing.json cannot be read: No such file"),
    (["compare", "text.json"], 2, "text.json is not JSON."),
    (
        ["compare", "list.json"],
        2,
        "list.json is no fingerprint. One is made by: dbparity fingerprint -o list.json",
    ),
    (["compare", "later.json"], 2, "later.json has the format 99, and this dbparity reads 1"),
    (["compare", "damaged.json"], 2, "damaged.json is damaged: python should be a table of facts."),
    (["compare", "sound.json", "sound.json", "--url", "sqlite://"], 2, "goes with one"),
    (["compare", "sound.json", "sound.json", "--", "-q"], 2, "goes with one"),
    (["compare", "sound.json", "--url", "sqlite:///nowhere.db"], 3, "There is no file nowhere.db."),
    (["compare", "sound.json", "torn.json"], 2, "one of the two is damaged, and cannot be compared"),
    (["compare", "odd.json", "sound.json"], 2, "one of the two is damaged, and cannot be compared"),
    (["compare", "deep.json"], 2, "deep.json is not JSON."),
    (["compare"], 2, "required: A"),
]


@pytest.mark.parametrize(
    ("words", "code", "said"), WRONG, ids=lambda each: " ".join(each) if isinstance(each, list) else ""
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    sound = {"kind": "dbparity fingerprint", "format": 1, "python": {}, "packages": {"one": {"version": "1"}}}
    (tmp_path / "text.json").write_text("hello")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    for name, document in {
        "list": [1],
        "later": sound | {"format": 99},
        "damaged": sound | {"python": 3},
        "odd": sound | {"run": {"order": {"main": 3}}},
        "torn": sound | {"packages": {"one": 3}},
        "sound": sound,
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    assert main(words) == code
    told = capsys.readouterr()
    assert said in told.err
    assert "lovelace" not in told.err + told.out
    assert "Traceback" not in told.err


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "def sessions():\n    raise RuntimeError('no settings')",
            "broken:sessions makes no session: no settings",
        ),
        ("sessions = dict", "broken:sessions makes a dict, and a session is needed."),
        ("", "'broken:sessions' cannot be imported"),
    ],
)
def test_a_factory_that_makes_no_session_is_a_mistake_of_the_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, code: str, said: str
) -> None:
    monkeypatch.delitem(sys.modules, "broken", raising=False)
    root = application(tmp_path, "broken", "sqlite://", code)
    assert main(["fingerprint", "--root", str(root)]) == 2
    assert said in capsys.readouterr().err


def test_a_mistake_is_told_to_programs_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--json", str(tmp_path / "nothing.json")]) == 2
    assert "cannot be read" in json.loads(capsys.readouterr().out)["error"]
