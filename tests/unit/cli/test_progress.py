"""How far nodes are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from wfplatform.cli.progress import NodeProgress, node_progress, open_sizes
from wfplatform.core.execution import ExecutionState, NodeState
from wfplatform.core.graph import Graph, Json, Literal, Node, OutputRef, ParameterRef
from wfplatform.core.record import NodeSummary

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
GRAPH = Graph(
    nodes=(
        Node(id="read"),
        Node(id="part", inputs={"x": OutputRef("read")}, over={"x": 1}),
        Node(id="count", inputs={"x": OutputRef("part")}, over={"x": 1}),
        Node(id="given", inputs={"x": ParameterRef("items")}, over={"x": 1}),
        Node(id="pairs", inputs={"x": Literal([[1, 2], [3]])}, over={"x": 2}),
        Node(id="sum", inputs={"x": OutputRef("count")}),
    )
)


def seen(
    *summary: NodeSummary,
    state: ExecutionState = ExecutionState.RUNNING,
    sizes: dict[str, dict[str, int]] | None = None,
    parameters: dict[str, Json] | None = None,
) -> dict[str, NodeProgress]:
    found = node_progress(GRAPH, parameters or {"items": ["a", "b"]}, state, summary, sizes or {})
    return {one.node: one for one in found}


def test_totals_follow_from_the_definition_the_parameters_and_what_is_recorded() -> None:
    assert open_sizes(GRAPH) == {"read"}
    before = seen()
    assert {name: one.total for name, one in before.items()} == {
        "read": 1, "part": None, "count": None, "given": 2, "pairs": 3, "sum": 1,
    }  # fmt: skip
    after = seen(sizes={"read": {"result": 12}})
    assert (after["part"].total, after["count"].total) == (12, 12)


def test_a_parameter_that_is_no_list_has_no_length() -> None:
    assert seen(parameters={"items": "text"})["given"].total is None


@pytest.mark.parametrize(
    ("counts", "total", "state"),
    [
        ({}, 3, NodeState.PENDING),
        ({}, 0, NodeState.COMPLETED),
        ({NodeState.COMPLETED: 1}, 3, NodeState.RUNNING),
        ({NodeState.COMPLETED: 1}, None, NodeState.RUNNING),
        ({NodeState.COMPLETED: 1, NodeState.WAITING: 1}, 3, NodeState.WAITING),
        ({NodeState.RUNNING: 1, NodeState.FAILED: 1}, 3, NodeState.RUNNING),
        ({NodeState.FAILED: 1, NodeState.COMPLETED: 2}, 3, NodeState.FAILED),
        ({NodeState.COMPLETED: 2, NodeState.SKIPPED: 1}, 3, NodeState.COMPLETED),
        ({NodeState.SKIPPED: 3}, 3, NodeState.SKIPPED),
    ],
)
def test_one_word_for_all_elements(counts: dict[NodeState, int], total: int | None, state: NodeState) -> None:
    one = NodeProgress(node="n", rank=1, counts=counts, total=total, started_at=None, finished_at=None)
    assert one.state is state


def test_what_is_recorded_of_a_node_stands_with_it() -> None:
    found = seen(
        NodeSummary(
            node="part", counts={NodeState.COMPLETED: 2, NodeState.RUNNING: 1}, started_at=AT,
            finished_at=AT + timedelta(seconds=5), cpu_s=3.0, cpu_mean_s=1.5, peak_memory_bytes=7, workers=2, reused=1,
        )
    )  # fmt: skip
    part = found["part"]
    assert (part.ended, part.started_at, part.finished_at) == (2, AT, AT + timedelta(seconds=5))
    assert (part.cpu_s, part.cpu_mean_s, part.peak_memory_bytes, part.workers, part.reused) == (3.0, 1.5, 7, 2, 1)
    rest = found["read"]
    assert (rest.cpu_s, rest.cpu_mean_s, rest.peak_memory_bytes, rest.workers) == (None,) * 4


def test_a_branch_that_ended_as_a_whole_counts_once_when_all_is_over() -> None:
    skipped = NodeSummary(node="given", counts={NodeState.SKIPPED: 1})
    assert seen(skipped, state=ExecutionState.COMPLETED)["given"].total == 1
    assert seen(skipped, state=ExecutionState.CANCELLED)["given"].total == 2
