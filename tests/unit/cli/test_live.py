"""The moving picture of an execution."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from rich.console import Console

from wfplatform.cli.live import picture
from wfplatform.cli.progress import NodeProgress
from wfplatform.cli.sight import Sight
from wfplatform.core.execution import ExecutionState, NodeState
from wfplatform.core.record import ExecutionRecord, NodeExecutionRecord

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RECORD = ExecutionRecord(
    id=UUID(int=7), tenant_id=UUID(int=1), version_id=UUID(int=2), workflow_name="flights",
    state=ExecutionState.RUNNING, priority=0, parameters={}, tags=(), created_at=NOW - timedelta(seconds=9),
    created_by="ann", started_at=NOW - timedelta(seconds=8), finished_at=None, updated_at=NOW, engine_id=None, epoch=1,
    cancel_requested_at=None, cancel_requested_by=None, paused_at=None, paused_by=None, waiting_for="", error=None,
    timeout_s=1800, worked_s=1, nodes_total=None, nodes_ended=0, nodes_failed=0, parent=None, depth=0,
)  # fmt: skip
ELEMENT = NodeExecutionRecord(
    execution_id=UUID(int=7), node="load", element=(3,), state=NodeState.WAITING, attempt=1, tries=1, lost=0, epoch=1,
    worker="", segment="", started_at=NOW, finished_at=None, cpu_s=None, peak_memory_bytes=None, input_digest=None,
    outputs=None, error=None, sizes=None, verdict=None, due_at=NOW + timedelta(seconds=5),
    reason="try 2 of 3, after OSError", progress=None, progress_message="", reused_from=None,
)  # fmt: skip


def node(name: str, total: int | None = 1, rank: int = 0, **counts: int) -> NodeProgress:
    return NodeProgress(
        node=name, rank=rank, counts={NodeState(word): count for word, count in counts.items()}, total=total,
        started_at=NOW - timedelta(seconds=4) if counts else None, finished_at=None,
    )  # fmt: skip


def drawn(sight: Sight, height: int = 40) -> str:
    stream = io.StringIO()
    Console(file=stream, width=120).print(picture(sight, NOW, height))
    return stream.getvalue()


def test_a_line_a_node_with_what_is_not_plain() -> None:
    text = drawn(
        Sight(
            record=RECORD,
            nodes=[node("read", completed=1), node("load", 12, 1, completed=4, running=2, failed=1), node("sum")],
        )
    )
    head, read, load, total = text.splitlines()
    assert "flights" in head
    assert "Running  9.0 s" in head
    assert "1/1" in read
    assert "Completed" in read
    assert "5/12" in load
    assert "2 running, 1 failed" in load
    assert "Pending" in total


def test_a_total_that_is_not_known_is_not_invented() -> None:
    assert "3/?" in drawn(Sight(record=RECORD, nodes=[node("load", None, 1, completed=3)]))


def test_it_says_why_something_waits_and_how_far_something_is() -> None:
    runs = replace(ELEMENT, state=NodeState.RUNNING, progress=0.5, progress_message="half\x1b[2J of it", reason="")
    text = drawn(Sight(record=RECORD, active=[ELEMENT, runs, replace(ELEMENT, reason="")]))
    assert "load[3]: try 2 of 3, after OSError (in 5.0 s)" in text
    assert "load[3]: 50% half of it" in text
    assert len(text.splitlines()) == 3


def test_it_fits_the_terminal_and_keeps_what_matters() -> None:
    nodes = [node(f"n{i}", completed=1) for i in range(50)] + [node("bad", failed=1), node("busy", running=1)]
    text = drawn(Sight(record=RECORD, nodes=nodes, active=[ELEMENT] * 30), height=20)
    assert len(text.splitlines()) <= 20
    assert "bad" in text
    assert "busy" in text
    assert "more nodes" in text


def test_trouble_and_cancellation_are_told() -> None:
    asked = replace(RECORD, cancel_requested_at=NOW)
    text = drawn(Sight(record=asked, trouble="PostgreSQL does not answer."))
    assert "cancelling" in text
    assert "PostgreSQL does not answer. Asking again." in text
