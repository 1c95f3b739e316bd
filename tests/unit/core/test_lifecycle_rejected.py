"""An execution that cannot be run fails as a whole, with no node to blame."""

from __future__ import annotations

from tests.unit.core.reach import Reached, failed, n, ok
from wfplatform.core.event import CancelRequested, CancelSegments, Finish, Rejected, Retried
from wfplatform.core.execution import ExecutionState, Outcome, OutcomeKind
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


def test_elements_of_which_nothing_can_be_recorded_fail_with_it() -> None:
    mapped = n("m", over={"x": 1}, inputs={"x": Literal([1, 2, 3])})
    refused = Rejected(ERROR, (("a", ()), ("m", (1,)), ("gone", ())))
    reached = Reached(n("a"), n("b", "a"), mapped, m=3).see(ok("a"), ok("m", 0), ok("m", 1)).see(refused)
    runs = reached.execution.nodes["m"].runs
    assert reached.execution.nodes["a"].runs[()].state == "failed"
    assert reached.execution.nodes["a"].runs[()].error == ERROR
    assert (runs[0,].state, runs[1,].state) == ("completed", "failed")
    assert (reached.state, reached.execution.nodes["m"].ended) == ("failed", 2)
    assert reached.see(Retried()).state == "running"
    assert "failed" not in {str(run.state) for run in reached.execution.nodes["m"].runs.values()}
    reached.see(ok("a", attempt=2), ok("b"), ok("m", 1, attempt=2), ok("m", 2))
    assert reached.state == "completed"


def test_one_that_had_ended_already_ends_anew() -> None:
    reached = Reached(n("a"), n("b")).see(ok("a"), ok("b"))
    assert reached.state == "completed"
    reached.see(Rejected(ERROR, (("b", ()),)))
    assert (reached.state, reached.execution.error) == ("failed", ERROR)
    assert [reached.execution.nodes[name].runs[()].state for name in "ab"] == ["completed", "failed"]
    assert reached.see(Retried()).see(ok("b", attempt=2)).state == "completed"


def test_turns_of_a_loop_before_the_one_that_cannot_be_recorded_stay_done() -> None:
    reached = Reached(n("l", type="loop"))
    for turn in range(4):
        reached.see(Outcome("l", (turn,), 1, OutcomeKind.ITERATED, outputs={}, verdict=True))
    reached.see(Rejected(ERROR, (("l", (3,)), ("l", (2,)))))
    (run,) = reached.execution.nodes["l"].runs.values()
    assert (run.state, run.sizes) == ("failed", {"turns": 2})
    reached.see(Retried())
    assert reached.execution.nodes["l"].runs[()].sizes == {"turns": 2}
