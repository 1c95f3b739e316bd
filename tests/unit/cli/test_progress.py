"""How far nodes are."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from wfplatform.cli.progress import NodeProgress, node_costs, node_progress, open_sizes
from wfplatform.core.execution import ExecutionState, NodeState
from wfplatform.core.graph import Graph, Json, Literal, Node, OutputRef, ParameterRef
from wfplatform.core.record import NodeExecutionRecord, NodeSummary

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


def test_rows_of_a_node_are_put_together() -> None:
    found = seen(
        NodeSummary("part", NodeState.COMPLETED, 2, AT, AT + timedelta(seconds=5)),
        NodeSummary("part", NodeState.RUNNING, 1, AT - timedelta(seconds=1), None),
    )["part"]
    assert (found.ended, found.started_at, found.finished_at) == (
        2,
        AT - timedelta(seconds=1),
        AT + timedelta(seconds=5),
    )


def test_a_branch_that_ended_as_a_whole_counts_once_when_all_is_over() -> None:
    skipped = NodeSummary("given", NodeState.SKIPPED, 1, None, None)
    assert seen(skipped, state=ExecutionState.COMPLETED)["given"].total == 1
    assert seen(skipped, state=ExecutionState.CANCELLED)["given"].total == 2


def test_costs_are_added_up() -> None:
    one = NodeExecutionRecord(
        execution_id=UUID(int=1), node="part", element=(0,), state=NodeState.COMPLETED, attempt=1, tries=0, lost=0,
        epoch=1, worker="tcp://a", segment="s", started_at=AT, finished_at=AT, cpu_s=0.5, peak_memory_bytes=10,
        input_digest=None, outputs=None, error=None, sizes=None, verdict=None, due_at=None, reason="",
        progress=None, progress_message="", reused_from=None,
    )  # fmt: skip
    found = node_costs(
        [one, replace(one, worker="tcp://b", peak_memory_bytes=30), replace(one, node="sum", cpu_s=None)]
    )
    assert (found["part"].cpu_s, found["part"].peak_memory_bytes, len(found["part"].workers)) == (1.0, 30, 2)
    assert found["sum"].cpu_s is None
