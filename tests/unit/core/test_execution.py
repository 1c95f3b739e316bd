"""Executions as data: elements, spans, and what counts as ended."""

from __future__ import annotations

import pytest

from wfplatform.core.execution import NodeRuns, NodeState, Run, Span, ended_among

DONE = Run(NodeState.COMPLETED, 1)
SKIPPED = Run(NodeState.SKIPPED)


def test_spans_know_their_elements() -> None:
    assert list(Span.whole("a").elements()) == [()]
    assert list(Span("a", (2,), 1, 3).elements()) == [(2, 1), (2, 2)]
    assert Span.of("a", ()) == Span.whole("a")
    assert Span.of("a", (2, 1)) == Span("a", (2,), 1, 2)
    assert [len(Span.whole("a")), len(Span("a", (), 3, 7))] == [1, 4]


def test_an_unmapped_node_has_one_element() -> None:
    runs = NodeRuns(0)
    assert (runs.total(), runs.complete, list(runs.elements()), runs.run(())) == (1, False, [()], None)
    assert NodeRuns(0, {}, {(): DONE}, 1).complete
    assert NodeRuns(0).state(()) is NodeState.PENDING


@pytest.mark.parametrize(
    ("sizes", "total"),
    [
        ({}, None),
        ({(): 0}, 0),
        ({(): 2, (0,): 3}, None),
        ({(): 2, (0,): 3, (1,): 0}, 3),
        ({(): 2, (0,): 0, (1,): 0}, 0),
    ],
)
def test_the_total_is_known_when_all_sizes_are(sizes: dict[tuple[int, ...], int], total: int | None) -> None:
    runs = NodeRuns(2, sizes)
    assert runs.total() == total
    assert runs.complete is (total == 0)


def test_a_branch_that_ended_as_a_whole_answers_for_all_below_it() -> None:
    runs = NodeRuns(2, {(): 2, (0,): 2}, {(0, 0): DONE, (0, 1): DONE, (1,): SKIPPED}, 3)
    assert (runs.total(), runs.complete) == (3, True)
    assert list(runs.elements()) == [(0, 0), (0, 1), (1,)]
    assert runs.state((1, 5)) is NodeState.SKIPPED
    assert list(runs.elements((1,))) == [(1,)]
    assert list(runs.elements((1, 5))) == [(1, 5)]


def test_elements_of_a_branch_that_ended_as_a_whole_are_not_counted() -> None:
    runs = {(): SKIPPED, (0,): SKIPPED, (1,): DONE}
    assert ended_among(runs) == 1
    assert NodeRuns(1, {(): 2}, runs, 1).complete
    assert ended_among({(0,): DONE, (1,): Run(NodeState.RUNNING)}) == 1
    assert ended_among({(0, 0): DONE, (1,): SKIPPED}) == 2
    assert ended_among({}) == 0


@pytest.mark.parametrize("state", list(NodeState))
def test_final_states_of_nodes(state: NodeState) -> None:
    assert state.final is (state in {"completed", "failed", "cancelled", "skipped"})
