"""The wheels are the same bytes each time and whole, and a run on them is one on nothing else."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from scripts import wheels

ROOT = wheels.ROOT


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both wheels, just built."""
    folder = tmp_path_factory.mktemp("dist")
    wheels.build(folder)
    return folder


def test_another_build_makes_the_same_bytes(dist: Path, tmp_path: Path) -> None:
    done = command(
        "scripts/wheels.py", "build", "--dist", str(tmp_path), SOURCE_DATE_EPOCH="86400", TZ="Asia/Tokyo"
    )
    assert done.returncode == 0, done.stderr
    assert {one.name: one.read_bytes() for one in wheels.wheels(dist)} == {
        one.name: one.read_bytes() for one in wheels.wheels(tmp_path)
    }


@pytest.mark.parametrize("package", [ROOT / "src" / "dashtam", ROOT / "dbparity" / "src" / "dbparity"])
def test_every_file_of_a_package_is_in_its_wheel_and_nothing_that_was_made(dist: Path, package: Path) -> None:
    (wheel,) = dist.glob(f"{package.name}-*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    there = {file.relative_to(package.parent).as_posix() for file in package.rglob("*") if file.is_file()}
    assert held == {name for name in there if "__pycache__" not in name} | brought(package.parents[1])
    assert f"{package.name}/py.typed" in held


def brought(project: Path) -> set[str]:
    """What a package holds that lies elsewhere in the tree."""
    build = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]
    return set(build["targets"]["wheel"].get("force-include", {}).values())


def test_what_is_not_the_two_wheels_is_not_tested(dist: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"it holds none\. Build them: make wheels"):
        wheels.test(tmp_path, ["tests/smoke"])
    for one in (*dist.glob("*.whl"), Path("dashtam-0.0.1-py3-none-any.whl")):
        (tmp_path / one.name).touch()
    with pytest.raises(SystemExit, match=r"it holds dashtam-0\.0\.1-py3-none-any\.whl, dashtam-"):
        wheels.test(tmp_path, ["tests/smoke"])


def test_the_two_suites_are_run_apart() -> None:
    assert wheels.suites([]) == [["dbparity/tests"], ["tests"]]
    assert wheels.suites(["tests/smoke", "dbparity/tests/test_a.py", "tests/core"]) == [
        ["dbparity/tests/test_a.py"], ["tests/smoke", "tests/core"],
    ]  # fmt: skip


def run_on(path: Path, test: Path, workers: int = 0) -> subprocess.CompletedProcess[str]:
    """A run that says that it tests what is installed, with this on its path."""
    options = [
        "-p",
        "tests.installed",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:dbparity",
        "-n",
        str(workers),
        str(test),
    ]
    return command(
        "-m", "pytest", "-c", os.devnull, "--rootdir", str(test.parent), *options, PYTHONPATH=str(path)
    )


@pytest.fixture
def uses_dbparity(tmp_path: Path) -> Path:
    """A test that passes, wherever the package is."""
    file = tmp_path / "test_it.py"
    file.write_text("import dbparity\n\n\ndef test_it():\n    assert dbparity.__name__ == 'dbparity'\n")
    return file


def test_a_run_on_the_tree_is_not_taken_for_one_on_the_wheels(uses_dbparity: Path) -> None:
    tree = ROOT / "dbparity" / "src"
    done = run_on(tree, uses_dbparity, workers=1)
    assert done.returncode == 1
    assert f"NOT THE INSTALLED PACKAGES ARE TESTED: dbparity is {tree}/dbparity/__init__.py" in done.stdout


def test_a_run_that_imports_neither_package_tests_nothing(tmp_path: Path) -> None:
    file = tmp_path / "test_it.py"
    file.write_text("def test_it():\n    pass\n")
    assert "NOT THE INSTALLED PACKAGES ARE TESTED: neither was imported" in run_on(tmp_path, file).stdout
