"""What a child of the supervisor says of itself while it cannot be used."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from wfplatform.bootstrap.processes import Child, ChildState
from wfplatform.bootstrap.spec import ChildSpec

SILENT = "import sys; print('waiting for what never comes', flush=True); sys.stdin.read()"


def silent(folder: Path, patience_s: float | None) -> Child:
    """A child that runs and never says that it can be used."""
    spec = ChildSpec(name="silent", argv=(sys.executable, "-c", SILENT), tells_ready=True, start_patience_s=patience_s)
    return Child(spec, log_path=folder / f"{patience_s}.log")


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Child]]:
    """One that may take no time to start, one that may take a minute, one that may take as long as it likes."""
    children = [silent(tmp_path, 0.0), silent(tmp_path, 60.0), silent(tmp_path, None)]
    for child in children:
        child.step(may_start=True)
    yield children
    for child in children:
        child.stop()


def test_one_that_does_not_get_ready_in_time_is_a_problem_with_its_last_words(started: list[Child]) -> None:
    deadline_s = time.monotonic() + 30
    while "what never comes" not in started[0].problem:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    said = started[0].problem
    assert re.fullmatch(r"silent was started \d+ s ago and cannot be used yet\. Its last words:\n.*", said)
    assert [child.problem for child in started[1:]] == ["", ""]
    assert {child.state for child in started} == {ChildState.STARTING}
    started[0].stop()
    assert started[0].problem == ""
