"""An execution that cannot be run fails as a whole, with no node to blame."""

from __future__ import annotations

from tests.unit.core.reach import Reached, failed, n, ok
from wfplatform.core.event import CancelRequested, CancelSegments, Finish, Rejected, Retried
from wfplatform.core.execution import ExecutionState
from wfplatform.core.graph import Literal

ERROR = {"type": "WfError", "code": "version_unreadable", "message": "It cannot be read."}


def test_it_fails_at_once_and_what_was_under_way_is_cancelled() -> None:
    reached = (
        Reached(n("a"), n("b", "a"), n("m", over={"x": 1}, inputs={"x": Literal([1, 2])}), m=2)
        .see(ok("a"), ok("m", 0))
        .see(Rejected(ERROR))
    )
    assert reached.state == "failed"
    assert reached.execution.error == ERROR
    assert reached.execution.finished_at == reached.now
    assert [type(effect) for effect in reached.effects] == [CancelSegments, Finish]
    assert reached.execution.nodes["a"].runs[()].state == "completed"
    assert "failed" not in {str(run.state) for runs in reached.execution.nodes.values() for run in runs.runs.values()}


def test_its_reason_stands_before_those_of_nodes() -> None:
    reached = Reached(n("a"), n("b")).see(failed("a")).see(Rejected(ERROR))
    assert reached.execution.error == ERROR


def test_one_that_was_to_be_tried_again_says_why_it_was_not() -> None:
    for reached in (Reached(n("a")).see(failed("a")), Reached(n("a")).see(CancelRequested())):
        ended = reached.state
        reached.later(5).see(Rejected(ERROR))
        assert (ended in ("failed", "cancelled"), reached.state, reached.execution.error) == (True, "failed", ERROR)
        assert reached.execution.finished_at == reached.now
        assert Finish(ExecutionState.FAILED) in reached.effects
        assert reached.see(Retried()).state == "running"
