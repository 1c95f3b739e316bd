"""Two lanes a worker: CPU-bound nodes one at a time, nodes that wait beside them and beside each other."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.integration import workload
from tests.integration.running import PATIENCE_S, lines, until
from wfplatform import node, workflow
from wfplatform.bootstrap.platform import EmbeddedPlatform

pytestmark = pytest.mark.xdist_group("platform")

type Spell = tuple[int, float, float]
"""(process, began, ended)"""


def most_at_once(spells: list[Spell]) -> dict[int, int]:
    """Process -> the largest number of spells that overlapped there."""
    found: dict[int, int] = defaultdict(int)
    for pid, began_s, _ in spells:
        beside = sum(1 for other, b, e in spells if other == pid and b <= began_s < e)
        found[pid] = max(found[pid], beside)
    return found


def test_cpu_nodes_run_one_at_a_time_in_a_worker(platform: EmbeddedPlatform, mark: str) -> None:
    @workflow
    def spells(mark: str) -> Any:
        return workload.spell.map(list(range(16)), mark=mark)

    found = most_at_once(platform.run(spells, {"mark": mark}).result(PATIENCE_S))
    assert found == dict.fromkeys(found, 1)
    assert len(found) == 2


@pytest.mark.parametrize("waiting", [workload.ask, workload.fetch], ids=["async", "io"])
def test_nodes_that_wait_share_a_worker(platform: EmbeddedPlatform, waiting: Any, mark: str) -> None:
    @workflow
    def waits(mark: str) -> Any:
        return waiting.map(list(range(60)), mark=mark, beside=10)

    found = most_at_once(platform.run(waits, {"mark": mark}).result(PATIENCE_S))
    assert len(found) == 2
    assert all(10 <= most <= 50 for most in found.values()), found


def test_neither_lane_waits_for_the_other(platform: EmbeddedPlatform, mark: str) -> None:
    @workflow
    def waits(mark: str, go: str) -> Any:
        return workload.ask.map(list(range(10)), mark=mark, go=go)

    @workflow
    def holding(mark: str) -> Any:
        return workload.hold(mark)

    @workflow
    def spells(mark: str) -> Any:
        return workload.spell.map(list(range(4)), mark=mark)

    # CPU-bound nodes hold every worker, and more of them stand in line; what waits for the world runs all the same.
    first = platform.run(holding, {"mark": mark})
    until(lambda: len(lines(f"{mark}.held")) == 1, "one worker held")
    second = platform.run(holding, {"mark": mark})
    until(lambda: len(set(lines(f"{mark}.held"))) == 2, "both workers held")
    behind = platform.run(spells, {"mark": f"{mark}.behind"})
    beside = platform.run(waits, {"mark": f"{mark}.beside", "go": ""})
    assert len(beside.result(PATIENCE_S)) == 10
    assert (first.state, second.state, behind.state) == ("running", "running", "running")
    assert lines(f"{mark}.behind") == []
    Path(f"{mark}.go").touch()
    assert len(behind.result(PATIENCE_S)) == 4
    # And while many wait, CPU-bound nodes run beside them.
    many = platform.run(waits, {"mark": f"{mark}.many", "go": f"{mark}.enough"})
    until(lambda: len(lines(f"{mark}.many")) == 10, "all of them")
    cpu = platform.run(spells, {"mark": f"{mark}.cpu"}).result(PATIENCE_S)
    Path(f"{mark}.enough").touch()
    asked = many.result(PATIENCE_S)
    assert all(began_s < b and e < ended_s for _, b, e in cpu for _, began_s, ended_s in asked)
    assert most_at_once(cpu) == dict.fromkeys(most_at_once(cpu), 1)


def test_a_stream_that_a_node_leaves_behind_closed_does_no_harm(platform: EmbeddedPlatform) -> None:
    @node
    def leaves(x: int) -> int:
        import io
        import sys

        sys.stdout = io.StringIO()
        sys.stdout.close()
        return x

    @node
    def prints(x: int) -> int:
        print("printed", x, flush=True)
        return x

    @workflow
    def both() -> Any:
        return prints.map(leaves.map(list(range(4))))

    execution = platform.run(both, {})
    assert execution.result(PATIENCE_S) == [0, 1, 2, 3]
    assert sorted(line.message for line in execution.logs()) == [f"printed {x}" for x in range(4)]
