"""Workflows inside workflows, on a real platform: how ends pass down and up, and that calls of calls have a bound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration import saga, workload
from tests.integration.running import PATIENCE_S, ended, lines, node, until
from wfplatform import Workflow, if_, merge, workflow
from wfplatform.bootstrap.platform import EmbeddedPlatform
from wfplatform.errors import NodeError

pytestmark = pytest.mark.xdist_group("platform")


@workflow
def failing() -> Any:
    return saga.fail()


@workflow
def waiting(mark: str) -> Any:
    return saga.stubborn(1, "spins", mark)


def child_of(platform: EmbeddedPlatform, execution: Any, name: str) -> Any:
    """The child execution for which a node waits or waited."""
    waits = until(
        lambda: getattr(node(execution, name), "awaits", None) or getattr(node(execution, name), "reason", None)
    )
    found = waits["execution"] if isinstance(waits, dict) else waits.split("child execution ")[1].split()[0]
    return platform.execution(found)


def test_the_failure_of_a_child_reaches_its_parent_with_its_id(platform: EmbeddedPlatform) -> None:
    @workflow
    def outer() -> Any:
        return failing()

    execution = platform.run(outer, {})
    with pytest.raises(NodeError, match=r"The child execution [0-9a-f-]{36} failed: .*no more"):
        execution.result(PATIENCE_S)
    error = node(execution, "failing").error
    assert str(platform.execution(error["child"]).state) == "failed"


def test_a_child_that_is_cancelled_by_hand_fails_its_parents_node(platform: EmbeddedPlatform, mark: str) -> None:
    @workflow
    def outer(mark: str) -> Any:
        return waiting(mark)

    execution = platform.run(outer, {"mark": mark})
    until(lambda: "begin" in lines(mark), "the child's node")
    child_of(platform, execution, "waiting").cancel()
    with pytest.raises(NodeError, match=r"The child execution [0-9a-f-]{36} was cancelled\."):
        execution.result(PATIENCE_S)


def test_a_parent_that_is_cancelled_takes_its_children_along(platform: EmbeddedPlatform, mark: str) -> None:
    @workflow
    def inner(mark: str) -> Any:
        return waiting(mark)

    @workflow
    def outer(mark: str) -> Any:
        return inner(mark)

    execution = platform.run(outer, {"mark": mark})
    until(lambda: "begin" in lines(mark), "the node of the child's child")
    child = child_of(platform, execution, "inner")
    execution.cancel()
    assert (ended(execution), ended(child)) == ("cancelled", "cancelled")
    until(lambda: lines(mark)[1:] == ["finally", "sweep 1"], "the end of what ran")


def test_a_parent_whose_time_is_over_takes_its_children_along(platform: EmbeddedPlatform, mark: str) -> None:
    @workflow(timeout_s=1)
    def outer(mark: str, go: str) -> Any:
        return waiting(mark), saga.hold_until(go, mark)

    execution = platform.run(outer, {"mark": mark, "go": f"{mark}.go"})
    until(lambda: "begin" in lines(mark), "the child's node")
    child = child_of(platform, execution, "waiting")
    assert (ended(execution), ended(child)) == ("failed", "cancelled")
    assert platform.executions.record(execution.id).error["code"] == "execution_timeout"
    Path(f"{mark}.go").touch()


def test_workflows_call_each_other_ten_deep_and_no_deeper(platform: EmbeddedPlatform) -> None:
    def above(inner: Workflow[..., Any], level: int) -> Workflow[..., Any]:
        @workflow(name=f"level_{level}")
        def outer() -> Any:
            return inner()

        return outer

    @workflow(name="level_0")
    def lowest() -> Any:
        return workload.square(3)

    levels = [lowest]
    for level in range(1, 12):
        levels.append(above(levels[-1], level))
    assert platform.run(levels[10], {}).result(PATIENCE_S) == 9
    with pytest.raises(NodeError, match="10 deep"):
        platform.run(levels[11], {}).result(PATIENCE_S)


def test_one_that_calls_itself_goes_as_deep_as_it_says(platform: EmbeddedPlatform) -> None:
    @workflow
    def countdown(n: int) -> Any:
        left = workload.square(n)
        with if_(left):
            below = countdown.again(depth=3)(n)
        return merge(below, left)

    execution = platform.run(countdown, {"n": 2})
    with pytest.raises(NodeError, match="3 deep"):
        execution.result(PATIENCE_S)
    assert platform.run(countdown, {"n": 0}).result(PATIENCE_S) == 0
