"""Tables of what became of an execution."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from rich.console import Console

from tests.unit.cli.test_live import RECORD
from wfplatform.cli.progress import NodeProgress
from wfplatform.cli.report import error_line, head, hooks_table, nodes_table, told_of
from wfplatform.core.execution import ExecutionState, NodeState
from wfplatform.core.hook import HookOf, Occasion

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def drawn(node: NodeProgress) -> str:
    stream = io.StringIO()
    Console(file=stream, width=120).print(nodes_table([node], NOW, ended=True))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("rank", "counts", "reused", "expected"),
    [
        (0, {NodeState.COMPLETED: 1}, 0, "Completed "),
        (0, {NodeState.COMPLETED: 1}, 1, "Completed (reused) "),
        (1, {NodeState.COMPLETED: 12}, 12, "Completed (12 reused) "),
        (1, {NodeState.COMPLETED: 9, NodeState.FAILED: 3}, 2, "Failed (3 failed, 2 reused) "),
        (1, {NodeState.COMPLETED: 9, NodeState.SKIPPED: 3}, 0, "(3 skipped) "),
    ],
)
def test_a_nodes_state_tells_what_is_not_plain(
    rank: int, counts: dict[NodeState, int], reused: int, expected: str
) -> None:
    total = sum(counts.values())
    node = NodeProgress(
        node="load", rank=rank, counts=counts, total=total, started_at=NOW, finished_at=NOW, reused=reused
    )
    text = drawn(node)
    assert expected in text
    assert f"{total}/{total}" in text


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"type": "pandas.errors.ParserError", "message": "line 3\nline 4"}, "ParserError: line 3"),
        ({"message": "gone"}, "gone"),
        ({}, "no reason was recorded"),
    ],
)
def test_an_error_in_one_line(error: dict[str, str], expected: str) -> None:
    assert error_line(error).startswith(expected)


def test_what_tells_of_an_execution_is_shown_with_its_state() -> None:
    failed = replace(RECORD, state=ExecutionState.FAILED, error={"type": "SettingsError", "message": "not set up"})
    hook = replace(failed, hook=HookOf(UUID(int=9), Occasion.LATENESS), workflow_name="flights: on lateness")
    stream = io.StringIO()
    Console(file=stream, width=200).print(hooks_table([hook]))
    [line] = [one for one in stream.getvalue().splitlines() if "flights" in one]
    told = ("lateness", "flights: on lateness", str(hook.id), "Failed", "SettingsError: not set up")
    assert all(word in line for word in told)
    assert told_of(hook) == f"tells of the lateness of {UUID(int=9)}"
    assert any(told_of(hook) in str(line) for line in head(hook, NOW))
    assert told_of(RECORD) == ""
