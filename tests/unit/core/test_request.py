"""A retry of chosen elements: they and what hangs on them are open again, whatever else failed stays as it is."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.reach import Reached, failed, finish, graphs, n, ok
from wfplatform.core.event import CancelRequested, DeadlinePassed, Finish, Plan, Rejected, Replay, Retried, TimerDue
from wfplatform.core.execution import Element, ExecutionState, NodeState, Outcome, OutcomeKind
from wfplatform.core.graph import Literal, Node
from wfplatform.core.policy import Retry

MAPPED = n("m", inputs={"x": Literal([1, 2, 3])}, over={"x": 1})


def broken() -> Reached:
    """Of three elements two failed, each with one behind it, and one behind all."""
    reached = Reached(MAPPED, n("p", "m", over={"m": 1}), n("r", "p"), m=3)
    return reached.see(failed("m", 0), ok("m", 1), failed("m", 2, message="bad"), ok("p", 1))


def again(*places: tuple[str, tuple[int, ...]], inputs: Any = None, attempt: int = 1) -> Retried:
    return Retried("ann", tuple(Replay(name, element, attempt, inputs) for name, element in places))


def test_only_what_is_chosen_and_what_hangs_on_it_is_open_again() -> None:
    reached = broken()
    assert reached.state == "failed"
    reached.see(again(("m", (0,))))
    assert reached.states == {
        "m": {(0,): "pending", (1,): "completed", (2,): "failed"},
        "p": {(0,): "pending", (1,): "completed", (2,): "skipped"},
        "r": "skipped",
    }
    assert (reached.state, reached.effects) == ("running", [Plan()])
    touched = {(one.node, one.element) for one in reached.recorded}
    assert touched == {("m", (0,)), ("p", (0,)), ("r", ())}
    reached.see(ok("m", 0, attempt=2), ok("p", 0))
    error = reached.execution.error or {}
    assert (reached.state, error["element"], error["message"]) == ("failed", [2], "bad")


def test_when_all_are_mended_it_completes() -> None:
    reached = broken().see(again(("m", (0,))), ok("m", 0, attempt=2), ok("p", 0), again(("m", (2,))))
    assert reached.states["r"] == "pending"
    assert reached.see(ok("m", 2, attempt=2), ok("p", 2), ok("r")).state == "completed"


def test_what_failed_may_be_tried_as_often_as_at_first() -> None:
    reached = Reached(n("a", retry=Retry(attempts=2, delay_s=0.0)))
    reached.see(failed("a"), TimerDue("a", ()), failed("a", attempt=2))
    assert reached.state == "failed"
    reached.see(again(("a", ()), attempt=2), failed("a", attempt=3))
    assert (reached.states, reached.run("a").tries) == ({"a": "waiting"}, 1)


def test_a_branch_that_failed_goes_on_while_others_run() -> None:
    reached = Reached(n("a"), n("b", "a"), n("z")).see(failed("a"))
    assert (reached.state, reached.states["b"]) == ("running", "skipped")
    reached.see(again(("a", ())))
    assert (reached.states, reached.execution.error, reached.effects) == (
        {"a": "pending", "b": "pending"},
        None,
        [Plan()],
    )
    reached.see(failed("a"))
    assert reached.states["a"] == "pending", "what was said of the first try may come twice"
    reached.see(ok("a", attempt=2), ok("b"), ok("z"))
    assert reached.state == "completed"


def test_who_was_chosen_and_stands_otherwise_by_now_is_left_alone() -> None:
    for event in (
        again(("m", (1,))),
        again(("p", (0,))),
        again(("m", (0,)), attempt=2),
        again(("gone", ())),
        again(("m", (7,))),
        again(),
    ):
        reached = broken()
        before = reached.execution
        reached.see(event)
        assert (reached.execution, reached.recorded) == (before, [])
        assert reached.effects == [Finish(ExecutionState.FAILED)], "the engine that took it up lets it go"
    reached = Reached(n("a"), n("b")).see(failed("a"), again(("b", ())))
    assert (reached.state, reached.effects) == ("running", [])


def test_who_cancelled_an_execution_decided_about_all_of_it() -> None:
    reached = Reached(n("a"), n("b")).see(failed("a"), CancelRequested(), again(("a", ())))
    assert (reached.state, reached.states["a"]) == ("cancelled", "failed")
    assert reached.see(Retried()).state == "running"


def test_one_that_was_stopped_goes_on_as_a_whole() -> None:
    for stop in (DeadlinePassed(5.0), Rejected({"message": "no"})):
        reached = Reached(n("a"), n("b"), n("c"), n("d"))
        reached.see(failed("a"), failed("b"), Outcome("c", (), 1, OutcomeKind.STARTED), stop)
        assert reached.states["c"] == "cancelled"
        reached.see(again(("a", ())))
        assert reached.states == {"a": "pending", "b": "failed", "c": "pending"}
        reached.see(ok("a", attempt=2), ok("c", attempt=2), ok("d"))
        assert (reached.state, (reached.execution.error or {})["node"]) == ("failed", "b")


def test_replaced_inputs_stay_replaced_whatever_becomes_of_the_element() -> None:
    reached = broken().see(again(("m", (0,)), inputs={"x": 7}))
    edit = reached.run("m", 0).edit
    assert edit == {"inputs": {"x": 7}, "by": "ann", "at": reached.now.isoformat()}
    assert [one.run.edit for one in reached.recorded if one.node == "m"] == [edit]
    reached.see(Outcome("m", (0,), 2, OutcomeKind.STARTED), failed("m", 0, attempt=2))
    assert (reached.run("m", 0).state, reached.run("m", 0).edit) == (NodeState.FAILED, edit)
    kept = reached.fork().see(Retried())
    assert kept.run("m", 0).edit == edit
    assert kept.see(ok("m", 0, attempt=3)).run("m", 0).edit == edit
    assert reached.fork().see(again(("m", (0,)), attempt=2)).run("m", 0).edit == edit
    other = reached.fork().see(again(("m", (0,)), attempt=2, inputs={"x": 8})).run("m", 0).edit
    assert other["inputs"] == {"x": 8}
    assert reached.fork().see(again(("m", (0,)), attempt=2, inputs={})).run("m", 0).edit is None


def test_a_twin_of_the_try_that_failed_brings_no_result_of_other_inputs() -> None:
    reached = broken().see(again(("m", (0,)), inputs={"x": 7}), ok("m", 0))
    assert reached.states["m"][0,] == "pending"
    assert reached.see(ok("m", 0, attempt=2)).states["m"][0,] == "completed"


def test_a_branch_that_failed_before_it_had_elements_is_open_as_a_whole() -> None:
    reached = Reached(n("a"), n("m", "a", over={"a": 1}), n("z")).see(ok("a"), failed("z"))
    assert (reached.states["m"], reached.state) == ("failed", "failed")
    reached.see(again(("z", ())))
    assert (reached.states["m"], reached.states["z"]) == ("failed", "pending")
    reached.see(ok("z", attempt=2), again(("m", ())))
    assert (reached.states["m"], reached.state) == ("failed", "failed"), "it still is no list"


def dead(reached: Reached) -> dict[tuple[str, Element], int]:
    return {
        (name, element): run.attempt
        for name, runs in reached.execution.nodes.items()
        for element, run in runs.runs.items()
        if run.is_dead
    }


def to_the_end(reached: Reached, nodes: tuple[Node, ...], random: Random) -> None:
    for _ in range(200):
        ready = [
            (node, element)
            for node in nodes
            for element in reached.execution.nodes[node.id].elements()
            if not reached.execution.nodes[node.id].state(element).final and is_ready(reached, node, element)
        ]
        if reached.execution.state.final or not ready:
            return
        finish(reached, *random.choice(ready), random)


def is_ready(reached: Reached, node: Node, element: Element) -> bool:
    return all(
        runs.state(one).final
        for link in reached.graph.links[node.id]
        for runs in (reached.execution.nodes[link.source],)
        for one in runs.elements(element[: link.shared])
    )


@given(graphs(), st.integers(0, 2**32))
def test_whatever_is_chosen_the_rest_stays_and_the_execution_comes_to_an_end(
    drawn: tuple[tuple[Node, ...], dict[str, int]], seed: int
) -> None:
    nodes, sizes = drawn
    random = Random(seed)
    reached = Reached(*nodes, **sizes)
    to_the_end(reached, nodes, random)
    known = dead(reached)
    if not known or not reached.execution.state.final:
        return
    chosen = {place for place in known if random.random() < 0.5}
    event = Retried("", tuple(Replay(*place, known[place]) for place in chosen))
    everything = Retried("", tuple(Replay(*place, attempt) for place, attempt in known.items()))
    assert reached.fork().see(everything).states == reached.fork().see(Retried()).states
    completed = {
        (name, element)
        for name, runs in reached.execution.nodes.items()
        for element, run in runs.runs.items()
        if run.state is NodeState.COMPLETED
    }
    reached.see(event)
    after = reached.execution
    assert set(known) - chosen <= set(dead(reached))
    assert all(after.nodes[name].state(element) is NodeState.COMPLETED for name, element in completed)
    to_the_end(reached, nodes, random)
    assert reached.execution.state.final
    assert (reached.execution.error is None) is not bool(dead(reached))
