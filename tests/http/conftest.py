"""The small application, called in process."""

import io
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from dashtam.core import logs
from tests.http.small_app import calling, made_app, made_settings


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the small application with default settings."""
    async with calling(made_app(made_settings(tmp_path))) as client:
        yield client


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What was logged so far, a parsed line each, at the most talkative level. Puts logging back afterwards."""
    root = logging.getLogger()
    names = ("dashtam", "uvicorn", "uvicorn.error", "uvicorn.access")
    before = root.handlers[:], root.level, {name: logging.getLogger(name).level for name in names}
    threads = logging.logThreads, logging.logProcesses, logging.logMultiprocessing
    stream = io.StringIO()
    logs.configure(made_settings(tmp_path, debug=True), stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().split("\n")[:-1]]
    root.handlers[:], root.level = before[0], before[1]
    for name, level in before[2].items():
        logging.getLogger(name).setLevel(level)
    logging.getLogger("uvicorn.access").disabled = False
    logging.logThreads, logging.logProcesses, logging.logMultiprocessing = threads
    logging.captureWarnings(capture=False)
