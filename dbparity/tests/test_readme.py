"""The README says what is true: its examples run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from dbparity.schema import Verdict

if TYPE_CHECKING:
    from dbparity.testing.postgres import PrivateCluster

README = (Path(__file__).parents[1] / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_every_example_runs(cluster: PrivateCluster) -> None:
    assert len(EXAMPLES) == 2
    for example in EXAMPLES:
        exec(compile(example, "README.md", "exec"), {})  # noqa: S102 - our own file


def test_every_verdict_is_explained_and_no_other() -> None:
    assert set(re.findall(r"^\| `([a-z-]+)` \|", README, re.MULTILINE)) == set(Verdict)
