"""What an execution did is undone: when, for which elements, in which order, and what becomes of it afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from tests.unit.core.reach import NOW, failed, n, ok
from wfplatform.core.event import (
    CancelRequested,
    Claimed,
    DeadlinePassed,
    Event,
    Intended,
    Outcomes,
    Retried,
    SegmentClosed,
    Stopped,
    StopSegments,
)
from wfplatform.core.execution import Execution, Outcome, Span
from wfplatform.core.graph import Graph, Literal, Node, OutputRef
from wfplatform.core.lifecycle import advance, new_execution
from wfplatform.core.policy import Policy
from wfplatform.core.unwinds import UnwindOccasion, Unwinds

ITEMS: Mapping[str, Any] = {"x": Literal([0, 1])}


def undoing(node: Node, occasion: UnwindOccasion = UnwindOccasion.UNDO) -> Node:
    """A node that takes back another one's work."""
    result = {"result": OutputRef(node.id)} if occasion is UnwindOccasion.UNDO else {}
    over = {"result": node.rank} if node.rank and result else dict(node.over)
    return replace(
        node,
        id=f"{node.id}-{occasion}",
        inputs={**node.inputs, **result},
        over={**node.over, **over},
        policy=Policy(),
        unwinds=Unwinds(node.id, occasion),
        guard=None,
        after=(),
    )


class Story:
    """An execution of nodes all of which can be undone, and what happens to it."""

    def __init__(self, *nodes: Node, cleanup: tuple[str, ...] = (), **sizes: int) -> None:
        extra = [undoing(node, UnwindOccasion.CLEANUP) for node in nodes if node.id in cleanup]
        self.graph = Graph(nodes=nodes, unwinding=(*map(undoing, nodes), *extra))
        self.execution: Execution = new_execution(UUID(int=1), self.graph, 1)
        self.effects: list[Any] = []
        self.see(Claimed({name: [((), size)] for name, size in sizes.items()}))

    def see(self, *what: Outcome | Event) -> Story:
        for one in what:
            event = Outcomes((one,)) if isinstance(one, Outcome) else one
            step = advance(self.execution, self.graph, event, NOW)
            self.execution, self.effects = step.execution, list(step.effects)
        return self

    def states(self, name: str) -> dict[tuple[int, ...], str]:
        return {element: str(run.state) for element, run in self.execution.nodes[name].runs.items()}

    @property
    def state(self) -> str:
        return str(self.execution.state)


def test_the_last_thing_is_undone_first() -> None:
    story = Story(n("a"), n("b", "a"), n("c", "b")).see(ok("a"), ok("b"), failed("c"))
    assert (story.state, story.execution.unwinding) == ("running", True)
    assert [story.states(f"{name}-undo")[()] for name in "abc"] == ["waiting", "pending", "skipped"]
    story.see(ok("b-undo"))
    assert story.states("a-undo") == {(): "pending"}
    story.see(ok("a-undo"))
    assert (story.state, story.execution.error["node"]) == ("failed", "c")


def test_what_does_not_depend_on_each_other_is_undone_side_by_side() -> None:
    story = Story(n("a"), n("b", "a"), n("c", "a"), n("d")).see(ok("a"), ok("b"), ok("c"), failed("d"))
    assert [story.states(f"{name}-undo")[()] for name in "abcd"] == ["waiting", "pending", "pending", "skipped"]
    assert story.see(ok("c-undo")).states("a-undo") == {(): "waiting"}
    assert story.see(ok("b-undo")).states("a-undo") == {(): "pending"}


def test_elements_of_maps_follow_each_other_one_by_one() -> None:
    story = Story(n("a", over={"x": 1}, inputs=ITEMS), n("b", "a", over={"a": 1}), n("c", "b"), a=2).see(
        ok("a", 0), ok("a", 1), ok("b", 0), ok("b", 1), failed("c")
    )
    assert story.states("a-undo") == {(0,): "waiting", (1,): "waiting"}
    story.see(ok("b-undo", 1))
    assert story.states("a-undo") == {(0,): "waiting", (1,): "pending"}


def test_it_waits_through_what_has_nothing_to_undo() -> None:
    plain = n("b", "a")
    story = Story(n("a"), plain, n("c", "b"), n("d", "c"))
    story.graph = replace(story.graph, unwinding=tuple(one for one in story.graph.unwinding if one.id != "b-undo"))
    story.see(ok("a"), ok("b"), ok("c"), failed("d"))
    assert story.states("a-undo") == {(): "waiting"}
    assert story.see(ok("c-undo")).states("a-undo") == {(): "pending"}


def test_one_that_failed_is_cleaned_up_after() -> None:
    story = Story(n("m", over={"x": 1}, inputs=ITEMS), cleanup=("m",), m=2).see(ok("m", 0), failed("m", 1))
    assert story.states("m-undo") == {(0,): "pending"}
    assert story.states("m-cleanup") == {(1,): "pending"}


def test_all_is_culled_when_all_goes_well() -> None:
    story = Story(n("a"), n("b", "a"), cleanup=("a",)).see(ok("a"), ok("b"))
    assert (story.state, story.execution.unwinding) == ("completed", False)
    for name in ("a-undo", "b-undo", "a-cleanup"):
        assert story.states(name) == {(): "skipped"}


def test_it_stops_before_it_is_undone() -> None:
    story = Story(n("a"), n("b", "a"), n("c", "b")).see(ok("a"), CancelRequested())
    assert (story.state, story.execution.stopping, story.execution.unwinding) == ("running", True, False)
    assert any(isinstance(one, StopSegments) for one in story.effects)
    story.see(ok("b"), Stopped())
    assert story.states("b-undo") == {(): "pending"}
    story.see(CancelRequested(), ok("b-undo"), ok("a-undo"))
    assert (story.state, story.execution.error) == ("cancelled", None)


def test_an_effect_whose_end_nobody_knows_is_undone_and_one_that_never_began_is_not() -> None:
    story = Story(n("a", effect=True), n("b", effect=True)).see(
        Intended((("a", (), 1), ("b", (), 1))), CancelRequested(), SegmentClosed("s", (Span.whole("b"),)), Stopped()
    )
    assert (story.states("a-undo"), story.states("b-undo")) == ({(): "pending"}, {(): "skipped"})


def test_an_undo_that_fails_is_told_and_holds_nobody_up() -> None:
    story = Story(n("a"), n("b", "a"), n("c", "b")).see(ok("a"), ok("b"), failed("c"), failed("b-undo"))
    assert story.states("a-undo") == {(): "pending"}
    story.see(ok("a-undo"))
    error = story.execution.error or {}
    assert (story.state, error["node"], error["not_undone_count"]) == ("failed", "c", 1)
    assert error["not_undone"][0]["node"] == "b"


def test_its_time_is_over_and_then_that_of_undoing_it() -> None:
    story = Story(n("a"), n("b", "a")).see(ok("a"), DeadlinePassed(5.0))
    assert (story.state, story.execution.stopping) == ("running", True)
    story.see(Stopped(), DeadlinePassed(10.0))
    error = story.execution.error or {}
    assert (story.state, error["code"], error["not_undone_count"]) == ("failed", "execution_timeout", 1)


def test_a_retry_runs_again_what_was_undone_and_what_came_after_it() -> None:
    story = Story(n("z"), n("a"), n("b", "a"), n("c", "b"))
    kept = tuple(one for one in story.graph.unwinding if one.id == "a-undo")
    story.graph = replace(story.graph, unwinding=kept)
    story.see(ok("z"), ok("a"), ok("b"), failed("c"), ok("a-undo"))
    assert story.state == "failed"
    story.see(Retried())
    assert (story.state, story.execution.unwinding, story.execution.open_nodes) == ("running", False, 3)
    assert [story.states(name)[()] for name in ("z", "a", "b", "c")] == ["completed", "pending", "pending", "pending"]
    story.see(ok("a", attempt=2), ok("b", attempt=2), ok("c", attempt=2))
    assert (story.state, story.states("a-undo")) == ("completed", {(): "skipped"})
