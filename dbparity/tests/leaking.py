"""Tests that begin and end under a watch, for the tests of what they leave behind."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from dbparity.watch import RunningTest, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbparity.findings import Finding

INSERT = text("INSERT INTO item (name) VALUES ('a')")


@contextmanager
def running(watch: Watch, nodeid: str = "test_a.py::test_it", **options: Any) -> Iterator[RunningTest]:
    test = RunningTest(nodeid, **options)
    watch.begin_test(test)
    yield test
    watch.end_test()
    watch.forget_test()


def only(watch: Watch) -> Finding:
    [finding] = watch.findings
    return finding
