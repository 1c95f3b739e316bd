"""Numbers of elements, read off what is committed."""

from __future__ import annotations

from tests.unit.core.reach import graph_of, n
from wfplatform.core.execution import AT_ODDS, Element, NodeState, Run
from wfplatform.core.graph import ListOf, Literal, Node, OutputRef
from wfplatform.core.ports import StoredRun
from wfplatform.engine.shape import outputs_of_runs, recorded_sizes, shape_sources, sizes_of_runs

SKIPPED = Run(NodeState.SKIPPED)


def done(**sizes: int) -> Run:
    return Run(NodeState.COMPLETED, 1, sizes={key.replace("_", "/"): size for key, size in sizes.items()} or None)


def stored(**nodes: dict[Element, Run]) -> list[StoredRun]:
    return [StoredRun(name, element, run, None) for name, runs in nodes.items() for element, run in runs.items()]


def over_literal(id: str) -> Node:
    return n(id, inputs={"x": Literal([1, 2])}, over={"x": 1})


def test_sizes_follow_from_recorded_lengths_and_go_along() -> None:
    graph = graph_of(n("a"), n("m", "a", over={"a": 1}), n("p", "m", over={"m": 2}), n("q", "p", over={"p": 2}))
    runs: dict[str, dict[Element, Run]] = {"a": {(): done(result=2)}, "m": {(0,): done(result=0), (1,): done(result=3)}}
    assert recorded_sizes(graph, "m", runs) == {(): 2}
    assert recorded_sizes(graph, "q", runs) == {(): 2, (0,): 0, (1,): 3}
    assert recorded_sizes(graph, "q", {"a": {(): SKIPPED}}) == {}


def test_lengths_of_items_are_recorded_too() -> None:
    graph = graph_of(n("a"), n("m", "a", over={"a": 2}))
    assert recorded_sizes(graph, "m", {"a": {(): done(result=2, result_0=1, result_1=0)}}) == {(): 2, (0,): 1, (1,): 0}


def test_lengths_that_disagree_are_at_odds() -> None:
    graph = graph_of(n("a"), n("b"), n("m", "a", "b", over={"a": 1, "b": 1}))
    assert recorded_sizes(graph, "m", {"a": {(): done(result=1)}, "b": {(): done(result=2)}}) == {(): AT_ODDS}


def test_what_no_length_tells_is_read_off_the_elements() -> None:
    graph = graph_of(over_literal("m"), n("p", "m", over={"m": 2}), over_literal("e"), over_literal("s"))
    rows = stored(m={(0,): done(result=2), (1,): done(result=0)}, p={(0, 0): done(), (0, 1): SKIPPED}, s={(): SKIPPED})
    assert sizes_of_runs(graph, rows) == {"m": {(): 2}, "p": {(): 2, (0,): 2, (1,): 0}, "e": {(): 0}, "s": {}}


def test_the_shape_of_a_result_depends_on_what_it_is_mapped_over() -> None:
    graph = graph_of(n("a"), n("m", "a", over={"a": 1}), n("p", "m", over={"m": 1}), n("z"))
    assert set(shape_sources(graph, ListOf((OutputRef("p"), Literal(1))))) == {"p", "m", "a"}
    assert shape_sources(graph, Literal(1)) == []


def test_a_branch_that_ended_as_a_whole_until_a_retry_opened_it_hides_no_elements() -> None:
    graph = graph_of(over_literal("m"), over_literal("s"))
    rows = stored(m={(): Run(NodeState.PENDING), (0,): done(), (1,): done()}, s={(): SKIPPED})
    assert sizes_of_runs(graph, rows) == {"m": {(): 2}, "s": {}}
    assert list(outputs_of_runs(graph, rows)) == [("m", (0,)), ("m", (1,)), ("s", ())]
