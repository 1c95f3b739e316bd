"""One execution, from the first outcome to the last: order of messages, tries, lost segments, and what users ask for."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.core.reach import NOW, Reached, failed, n, ok
from wfplatform.core.event import (
    Began,
    CancelRequested,
    CancelSegments,
    ChildEnded,
    Claimed,
    DeadlinePassed,
    Finish,
    GivenBack,
    PauseRequested,
    Plan,
    Refused,
    ResumeRequested,
    Retried,
    Reused,
    SegmentClosed,
    SegmentLost,
    SetTimer,
    TimerDue,
)
from wfplatform.core.execution import ExecutionState, NodeState, Outcome, OutcomeKind, Span
from wfplatform.core.policy import Retry

RETRY = Retry(attempts=3, delay_s=10.0)


def started(name: str, *element: int, attempt: int = 1) -> Outcome:
    return Outcome(name, element, attempt, OutcomeKind.STARTED, started_at=1.0)


def turned(name: str, turn: int, attempt: int = 1) -> Outcome:
    return Outcome(name, (turn,), attempt, OutcomeKind.ITERATED, outputs={}, verdict=True)


def lost(*spans: Span, started: bool = True, blameless: bool = False) -> SegmentLost:
    return SegmentLost("s", spans, "w", "The worker is gone.", started=started, blameless=blameless)


# -- from the first to the last


def test_it_completes_with_its_last_node() -> None:
    reached = Reached(n("a"), n("b", "a"))
    assert (reached.state, reached.effects) == ("running", [Plan()])
    reached.see(ok("a"))
    assert (reached.state, reached.effects) == ("running", [])
    reached.see(ok("b"))
    assert (reached.state, reached.effects) == ("completed", [Finish(ExecutionState.COMPLETED)])
    assert (reached.execution.started_at, reached.execution.finished_at) == (NOW, NOW)


def test_a_graph_without_nodes_completes_when_it_is_claimed() -> None:
    assert Reached().state == "completed"


def test_it_fails_when_the_rest_has_ended_and_keeps_the_first_cause() -> None:
    reached = Reached(n("a"), n("b"), n("c")).see(failed("a"), failed("b", message="later"))
    assert reached.state == "running"
    reached.see(ok("c"))
    assert reached.state == "failed"
    error = reached.execution.error or {}
    assert (error["node"], error["element"], error["type"], error["message"]) == ("a", [], "ValueError", "no")


def test_what_has_ended_stays_as_it_is() -> None:
    reached = Reached(n("a")).see(ok("a"))
    before = reached.execution
    for event in (failed("a"), CancelRequested(), DeadlinePassed(1.0), PauseRequested(), Claimed({"a": [((), 2)]})):
        assert reached.fork().see(event).execution.nodes["a"].runs == before.nodes["a"].runs
        assert reached.fork().see(event).state == "completed"


# -- messages come twice, late and in any order


@pytest.mark.parametrize("first", [ok("a"), failed("a")])
@pytest.mark.parametrize("second", [ok("a"), failed("a"), started("a"), ok("a", attempt=2)])
def test_the_first_end_of_an_element_counts(first: Outcome, second: Outcome) -> None:
    reached = Reached(n("a"), n("b")).see(first)
    before = reached.execution
    reached.see(second)
    assert reached.execution == before
    assert reached.recorded == []


def test_a_failure_told_twice_is_one_try() -> None:
    reached = Reached(n("a", retry=RETRY)).see(failed("a"), failed("a"))
    assert (reached.run("a").tries, reached.run("a").attempt) == (1, 1)
    reached.later(10).see(TimerDue("a", ()))
    assert reached.states == {"a": "pending"}
    reached.see(failed("a"))
    assert (reached.states, reached.run("a").tries) == ({"a": "pending"}, 1)


def test_a_late_start_does_not_stop_the_wait_for_the_next_try() -> None:
    reached = Reached(n("a", retry=RETRY)).see(failed("a"), started("a"))
    assert reached.states == {"a": "waiting"}
    reached.later(10).see(TimerDue("a", ()), started("a"))
    assert reached.states == {"a": "pending"}
    reached.see(started("a", attempt=2))
    assert (reached.states, reached.run("a").attempt) == ({"a": "running"}, 2)
    reached.see(started("a"), failed("a"))
    assert (reached.states, reached.run("a").tries) == ({"a": "running"}, 1)


def test_any_order_of_messages_leads_to_the_same_end() -> None:
    def messages() -> list[Outcome]:
        return [ok("a", sizes={"result": 2}), started("m", 0), failed("m", 0), ok("m", 1), ok("z"), ok("z")]

    ends = []
    for order in itertools.permutations(messages()):
        reached = Reached(n("a"), n("m", "a", over={"a": 1}), n("z"), n("r", "m")).see(*order)
        ends.append((reached.states, reached.state))
    expected = {"a": "completed", "m": {(0,): "failed", (1,): "completed"}, "r": "skipped", "z": "completed"}
    assert all(end == (expected, "failed") for end in ends)


def test_a_start_is_recorded_once_and_again_with_what_it_logged() -> None:
    reached = Reached(n("a")).see(started("a"))
    assert [(one.state, one.fresh) for one in reached.recorded] == [(NodeState.RUNNING, True)]
    reached.see(started("a"))
    assert [(one.state, one.fresh) for one in reached.recorded] == [(NodeState.RUNNING, False)]


def test_what_cannot_be_read_any_more_is_computed_again() -> None:
    reached = Reached(n("a"), n("b", "a")).see(ok("a", sizes={"result": 1}))
    reached.see(Outcome("a", (), 0, OutcomeKind.UNREADABLE))
    assert (reached.states, reached.effects) == ({"a": "pending"}, [Plan()])
    assert reached.run("a").attempt == 1
    reached.see(Outcome("b", (), 0, OutcomeKind.UNREADABLE))
    assert reached.states == {"a": "pending"}
    reached.see(ok("a", attempt=2), ok("b"))
    assert reached.state == "completed"


def test_what_never_can_be_read_fails_with_what_needs_it() -> None:
    reached = Reached(n("a"), n("b", "a"), n("c")).see(ok("a", attempt=2))
    reached.see(Outcome("a", (), 0, OutcomeKind.UNREADABLE, error={"message": "no", "retryable": False}))
    assert reached.states == {"a": "failed", "b": "skipped"}
    reached.see(ok("c"))
    assert (reached.state, reached.execution.error) == (
        "failed",
        {"message": "no", "retryable": False, "node": "a", "element": []},
    )
    assert reached.run("a").attempt == 2


# -- tries


def test_tries_are_counted_and_wait_in_between() -> None:
    reached = Reached(n("a", retry=Retry(attempts=3, delay_s=10.0, backoff=2.0))).see(failed("a"))
    assert reached.run("a").due_at == NOW + timedelta(seconds=10)
    assert reached.run("a").reason == "try 2 of 3 at 03:04:15 UTC, after ValueError"
    assert reached.effects == [SetTimer("a", (), NOW + timedelta(seconds=10))]
    reached.see(TimerDue("a", ()))
    assert reached.states == {"a": "waiting"}, "woken too early"
    reached.later(10).see(TimerDue("a", ()))
    assert (reached.states, reached.effects) == ({"a": "pending"}, [Plan()])
    reached.see(failed("a", attempt=2))
    assert reached.run("a").due_at == reached.now + timedelta(seconds=20)
    reached.later(20).see(TimerDue("a", ()), failed("a", attempt=3))
    assert (reached.state, reached.run("a").tries, reached.run("a").attempt) == ("failed", 3, 3)


@pytest.mark.parametrize(("chance", "delay_s"), [(0.0, 5.0), (0.5, 10.0), (0.999999, 15.0)])
def test_jitter_varies_the_wait(chance: float, delay_s: float) -> None:
    reached = Reached(n("a", retry=Retry(attempts=2, delay_s=10.0, jitter=0.5)))
    reached.chance = chance
    reached.see(failed("a"))
    assert (reached.run("a").due_at - NOW).total_seconds() == pytest.approx(delay_s, abs=0.001)


@pytest.mark.parametrize(
    ("retry", "error", "state"),
    [
        (Retry(attempts=2, never_on=("ValueError",)), {}, "failed"),
        (Retry(attempts=2, on=("KeyError",)), {}, "failed"),
        (Retry(attempts=2, on=("ValueError",)), {}, "waiting"),
        (Retry(attempts=2), {"retryable": False}, "failed"),
        (Retry(attempts=1), {}, "failed"),
    ],
)
def test_not_every_error_is_tried_again(retry: Retry, error: Any, state: str) -> None:
    assert Reached(n("a", retry=retry)).see(failed("a", **error)).states == {"a": state}


# -- loops


def test_turns_that_are_done_stay_done() -> None:
    reached = Reached(n("l", type="loop", retry=RETRY)).see(turned("l", 0))
    assert [(one.element, one.state) for one in reached.recorded] == [((0,), NodeState.COMPLETED)]
    reached.see(turned("l", 1), turned("l", 0))
    assert (reached.run("l").sizes, reached.recorded) == ({"turns": 2}, [])
    reached.see(failed("l"), turned("l", 2))
    assert (reached.states, reached.run("l").sizes, reached.run("l").tries) == ({"l": "waiting"}, {"turns": 3}, 1)
    reached.later(10).see(TimerDue("l", ()), turned("l", 3, attempt=2))
    assert (reached.run("l").sizes, reached.run("l").tries, reached.run("l").attempt) == ({"turns": 4}, 1, 2)
    reached.see(turned("l", 9))
    assert reached.run("l").sizes == {"turns": 4}, "of a try that is over"


def test_a_loop_that_is_retried_goes_on_after_its_last_turn() -> None:
    reached = Reached(n("l", type="loop")).see(turned("l", 0), turned("l", 1), failed("l"))
    assert reached.state == "failed"
    reached.see(Retried())
    assert (reached.states, reached.run("l").sizes) == ({"l": "pending"}, {"turns": 2})


# -- segments that say no more


def test_what_a_segment_gives_back_is_pending_again() -> None:
    reached = Reached(n("a"), n("b")).see(started("a"))
    reached.see(SegmentClosed("s", (Span.whole("a"), Span.whole("b"))))
    assert (reached.states, reached.effects, reached.recorded) == ({"a": "pending"}, [Plan()], [])


def test_what_a_segment_that_goes_on_gives_back_is_planned_anew() -> None:
    reached = Reached(n("a"), n("b")).see(started("a"))
    reached.see(GivenBack("s", (Span.whole("b"),)))
    assert (reached.states, reached.effects, reached.recorded) == ({"a": "running"}, [Plan()], [])
    reached.see(CancelRequested(), GivenBack("s", (Span.whole("b"),)))
    assert (reached.state, reached.effects) == ("cancelled", [])


def test_nodes_lost_together_are_not_blamed_but_run_alone_from_now_on() -> None:
    reached = Reached(n("a"), n("b")).see(started("a"), lost(Span.whole("a"), Span.whole("b")))
    assert reached.states == {"a": "pending", "b": "pending"}
    assert [(reached.run(x).lost, reached.run(x).alone) for x in "ab"] == [(0, True), (0, True)]


def test_a_node_that_ends_two_workers_on_which_it_was_alone_is_given_up() -> None:
    reached = Reached(n("a"), n("b", "a")).see(lost(Span.whole("a")))
    assert (reached.states, reached.run("a").lost, reached.run("a").alone) == ({"a": "pending"}, 0, True)
    reached.see(lost(Span.whole("a")))
    assert (reached.states, reached.run("a").lost, reached.run("a").attempt) == ({"a": "pending"}, 1, 1)
    reached.see(started("a", attempt=2), lost(Span.whole("a")))
    assert reached.states == {"a": "failed", "b": "skipped"}
    assert (reached.run("a").error["code"], reached.run("a").attempt) == ("worker_lost", 2)
    assert (reached.state, (reached.execution.error or {})["code"]) == ("failed", "worker_lost")


@pytest.mark.parametrize("event", [lost(Span.whole("a"), blameless=True), lost(Span.whole("a"), started=False)])
def test_who_is_not_to_blame_is_tried_as_often_as_it_takes(event: SegmentLost) -> None:
    reached = Reached(n("a"))
    for _ in range(5):
        reached.see(started("a", attempt=reached.run("a").attempt + 1 if reached.run("a") else 1), event)
        assert (reached.states, reached.run("a").lost) == ({"a": "pending"}, 0)
    assert reached.run("a").alone is not event.blameless


def test_elements_that_ended_or_wait_are_not_lost() -> None:
    reached = Reached(n("a", retry=RETRY), n("b")).see(ok("b"), failed("a"))
    reached.see(lost(Span.whole("a"), Span.whole("b")))
    assert reached.states == {"a": "waiting", "b": "completed"}


# -- what the engine handles itself


def test_a_delay_completes_when_its_time_has_come() -> None:
    due_at = NOW + timedelta(seconds=60)
    reached = Reached(n("d", type="delay"), n("b", "d")).see(Began("d", (), "waits", due_at))
    assert (reached.states, reached.effects) == ({"d": "waiting"}, [SetTimer("d", (), due_at)])
    before = reached.execution
    assert reached.see(Began("d", (), "again", due_at), TimerDue("d", (), {"result": {}})).execution == before
    reached.later(60).see(TimerDue("d", (), {"result": {}}))
    assert (reached.states, reached.effects) == ({"d": "completed"}, [Plan()])
    assert reached.recorded[0].outcome is not None
    assert reached.see(TimerDue("d", (), {"result": {}})).recorded == []


def test_a_child_answers_once_for_each_try() -> None:
    reached = Reached(n("c", type="workflow", retry=RETRY)).see(Began("c", (), "waits for a child"))
    reached.see(ChildEnded("c", (), ExecutionState.FAILED, error={"type": "ValueError"}))
    assert (reached.states, reached.run("c").tries) == ({"c": "waiting"}, 1)
    reached.see(ChildEnded("c", (), ExecutionState.FAILED))
    assert reached.run("c").tries == 1
    reached.later(10).see(TimerDue("c", ()))
    assert reached.states == {"c": "pending"}
    reached.see(ChildEnded("c", (), ExecutionState.COMPLETED, outputs={}))
    assert reached.states == {"c": "pending"}
    reached.see(Began("c", (), "waits for another child"))
    assert (reached.states, reached.run("c").attempt) == ({"c": "waiting"}, 2)
    reached.see(ChildEnded("c", (), ExecutionState.COMPLETED, outputs={}))
    assert (reached.state, reached.run("c").attempt) == ("completed", 2)


def test_a_cancelled_child_fails_its_node() -> None:
    reached = Reached(n("c", type="workflow")).see(Began("c", (), ""), ChildEnded("c", (), ExecutionState.CANCELLED))
    assert (reached.state, reached.run("c").error["message"]) == ("failed", "The child execution was cancelled.")


def test_what_cannot_be_begun_fails_unless_it_has_ended() -> None:
    refused = Refused("d", (), {"type": "WfError", "message": "no", "retryable": False})
    assert Reached(n("d", type="delay")).see(refused).states == {"d": "failed"}
    reached = Reached(n("a"), n("d", "a", type="delay"), n("z")).see(failed("a"), refused)
    assert reached.states == {"a": "failed", "d": "skipped"}


def test_a_result_of_an_earlier_execution_stands_for_a_run() -> None:
    reached = Reached(n("a"), n("m", "a", over={"a": 1}))
    reached.see(Reused("a", (), {}, {"result": 2}, reached.execution.id))
    assert (reached.states, reached.run("a").reused_from) == ({"a": "completed"}, reached.execution.id)
    assert reached.execution.nodes["m"].sizes == {(): 2}
    assert reached.see(Reused("a", (), {}, None, reached.execution.id)).recorded == []


# -- what users and clocks ask for


def test_cancelling_ends_what_is_under_way_at_once() -> None:
    reached = Reached(n("a"), n("b", retry=RETRY), n("c")).see(started("a"), failed("b"), CancelRequested())
    assert (reached.state, reached.states) == ("cancelled", {"a": "cancelled", "b": "cancelled"})
    assert reached.effects == [CancelSegments(), Finish(ExecutionState.CANCELLED)]
    assert reached.run("b").due_at is None
    reached.see(ok("a"))
    assert reached.states["a"] == "cancelled"
    reached.see(Retried())
    assert (reached.state, reached.states) == ("running", {"a": "pending", "b": "pending"})
    assert reached.execution.cancel_requested_at is None


def test_a_timeout_of_the_execution_fails_it_but_an_earlier_cause_stands() -> None:
    reached = Reached(n("a"), n("b")).see(started("a"))
    timed_out = reached.fork().see(DeadlinePassed(60.0))
    assert (timed_out.state, (timed_out.execution.error or {})["code"]) == ("failed", "execution_timeout")
    assert reached.see(failed("b"), DeadlinePassed(60.0)).execution.error["type"] == "ValueError"  # type: ignore[index]


def test_pausing_is_no_state_and_running_nodes_finish() -> None:
    reached = Reached(n("a"), n("b", "a")).see(PauseRequested())
    assert (reached.state, reached.execution.paused_at) == ("running", NOW)
    reached.later(5).see(PauseRequested(), ok("a"))
    assert (reached.states, reached.execution.paused_at) == ({"a": "completed"}, NOW)
    reached.see(ResumeRequested())
    assert (reached.execution.paused_at, reached.effects) == (None, [Plan()])


def test_an_engine_that_takes_over_runs_again_what_was_running_and_wakes_what_waited() -> None:
    reached = Reached(n("a"), n("b", retry=RETRY), n("c", type="workflow"))
    reached.see(started("a"), failed("b"), Began("c", (), "waits for a child"), Claimed())
    assert reached.states == {"a": "pending", "b": "waiting", "c": "waiting"}
    assert reached.effects == [Plan(), SetTimer("b", (), NOW + timedelta(seconds=10))]
    assert reached.run("a").attempt == 1
