"""What README.md and getting-started.md show is what happens: `dashtam up` is run, and the walk is walked."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dashtam.journey import STEPS
from dashtam.settings import Settings
from tests.cli.running import free_port
from tests.docs.reading import ROOT, blocks

README = (ROOT / "README.md").read_text("utf-8")
WALK = (
    (ROOT / "docs" / "getting-started.md").read_text("utf-8").split("## A first account")[1].split("\n## ")[0]
)
LAST_LINE = "Ctrl-C stops the server."


@dataclass(frozen=True)
class Up:
    """A server that `dashtam up` runs, and what it said before it was ready to be used."""

    port: int
    said: str


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """`dashtam up` on a free port and an empty folder."""
    port = free_port()
    environment = {
        key: value for key, value in os.environ.items() if key.lower() not in Settings.model_fields
    }
    environment |= {"VAR_DIR": str(tmp_path_factory.mktemp("var")), "PYTHONIOENCODING": "utf-8"}
    process = subprocess.Popen(
        [sys.executable, "-m", "dashtam", "up", "--port", str(port)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8", env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if line.strip() == LAST_LINE:
            break
    try:
        yield Up(port, "".join(said))
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def timeless(text: str) -> list[str]:
    """The lines without what differs from run to run: times, the port, the address, remarks on slowness."""
    text = re.sub(r"journey-[0-9a-f]{16}@", "journey-…@", text)
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:…", text)
    text = re.sub(r" +\d+ ms( +slow, budget \d+ ms)?", " … ms", text)
    return text.splitlines()


def documents(text: str) -> list[dict[str, Any]]:
    """The JSON documents that stand one after the other in this text."""
    found, decoder = [], json.JSONDecoder()
    while text := text.lstrip():
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:]
    return found


def test_the_picture_in_the_readme_names_the_steps_of_the_journey() -> None:
    picture = blocks(README, "text")[0].text
    drawn = re.findall(r"^ ?(\d+) ✓ (.+?) +\d+ ms", picture, re.MULTILINE)
    assert drawn == [(str(step.number), step.name) for step in STEPS]


def test_the_picture_in_the_readme_is_what_up_says(up: Up) -> None:
    assert timeless(up.said) == timeless(blocks(README, "text")[0].text)


@pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("bash")), reason="the walk needs curl and bash"
)
def test_the_first_account_works_as_it_is_written(up: Up, tmp_path: Path) -> None:
    script = "\n".join(block.text for block in blocks(WALK, "sh")).replace(
        "127.0.0.1:8000", f"127.0.0.1:{up.port}"
    )
    walked = subprocess.run(
        ["bash", "-euc", script], capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path
    )
    assert walked.returncode == 0, walked.stderr
    answers = documents(walked.stdout)
    shown = [json.loads(block.text) for block in blocks(WALK, "json")]
    assert answers[0] == shown[0]
    assert answers[-1] | {"detail": "…", "request_id": "…"} == shown[-1]
    assert [set(answer) & {"message", "email", "type"} for answer in answers] == [
        {"message"}, {"message"}, {"email"}, {"message"}, {"type"},
    ]  # fmt: skip
