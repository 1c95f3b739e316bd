"""How far nodes are."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from wfplatform.cli.progress import NodeProgress, node_progress, open_sizes
from wfplatform.cli.report import nodes_table
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
    failed = NodeSummary(node="given", counts={NodeState.FAILED: 1})
    for branch, state in (
        (skipped, ExecutionState.COMPLETED),
        (skipped, ExecutionState.FAILED),
        (skipped, ExecutionState.CANCELLED),
        (failed, ExecutionState.FAILED),
    ):
        given = seen(branch, state=state)["given"]
        assert (given.ended, given.total, {given.state}) == (1, 1, branch.counts.keys())


@pytest.mark.parametrize("over", [ExecutionState.CANCELLED, ExecutionState.FAILED])
@pytest.mark.parametrize(
    ("counts", "size", "ended", "total", "cancelled"),
    [
        ({}, 12, 12, 12, 12),
        ({NodeState.COMPLETED: 5}, 12, 12, 12, 7),
        ({NodeState.COMPLETED: 5, NodeState.CANCELLED: 2}, 12, 12, 12, 7),
        ({NodeState.COMPLETED: 5, NodeState.CANCELLED: 7}, 12, 12, 12, 7),
        ({}, None, 0, None, 0),
        ({NodeState.COMPLETED: 5, NodeState.CANCELLED: 2}, None, 7, None, 2),
    ],
)
def test_what_had_not_ended_was_cancelled_with_the_execution(
    over: ExecutionState,
    counts: dict[NodeState, int],
    size: int | None,
    ended: int,
    total: int | None,
    cancelled: int,
) -> None:
    sizes = {} if size is None else {"read": {"result": size}}
    part = seen(NodeSummary(node="part", counts=counts), state=over, sizes=sizes)["part"]
    assert (part.ended, part.total, part.counts.get(NodeState.CANCELLED, 0)) == (ended, total, cancelled)
    assert part.state is NodeState.CANCELLED


def test_what_had_completed_before_the_execution_was_cancelled_is_complete() -> None:
    part = NodeSummary(node="part", counts={NodeState.COMPLETED: 12})
    found = seen(part, state=ExecutionState.CANCELLED, sizes={"read": {"result": 12}})
    assert (found["part"].state, found["part"].ended, found["part"].total) == (NodeState.COMPLETED, 12, 12)
    assert (found["sum"].state, found["sum"].ended, found["sum"].total) == (NodeState.CANCELLED, 1, 1)
    assert seen(part, state=ExecutionState.CANCELLED)["part"].state is NodeState.COMPLETED


def test_the_table_of_a_cancelled_execution_says_how_many() -> None:
    part = NodeSummary(node="part", counts={NodeState.COMPLETED: 5, NodeState.CANCELLED: 1})
    found = seen(part, state=ExecutionState.CANCELLED, sizes={"read": {"result": 12}})
    console = Console(file=io.StringIO(), width=120)
    console.print(nodes_table(found.values(), AT, ended=True))
    lines = [" ".join(line.split()) for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert "part Cancelled (5 completed, 7 cancelled) 12/12 - - - -" in lines
    assert "count Cancelled 12/12 - - - -" in lines
    assert "sum Cancelled 1/1 - - - -" in lines
    assert not [line for line in lines if "Running" in line or "Pending" in line]
