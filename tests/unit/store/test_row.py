"""How the records of a commit are folded into rows, and how COPY reads them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from wfplatform.core.event import Recorded
from wfplatform.core.execution import Element, NodeState, Outcome, OutcomeKind, Run
from wfplatform.core.ports import Commit, NodeRecord
from wfplatform.store.copy import LINE_COLUMNS, NODE_COLUMNS, line_text, node_text
from wfplatform.store.row import Artifact, fold, outputs_text

EXECUTION, OTHER, ENGINE = UUID(int=1), UUID(int=2), UUID(int=3)
OWNED = {EXECUTION: (4, "tenant")}


def record(
    state: NodeState,
    kind: OutcomeKind | None,
    attempt: int = 1,
    *,
    fresh: bool = False,
    element: Element = (),
    execution: UUID = EXECUTION,
    epoch: int = 4,
    lost: int = 0,
    **more: Any,
) -> NodeRecord:
    outcome = None if kind is None else Outcome("a", element, attempt, kind, worker=f"w{attempt}", **more)
    run = Run(state, attempt, lost=lost)
    return NodeRecord(execution, epoch, Recorded("a", element, run, outcome, fresh))


def folded(*records: NodeRecord, trusted: bool = True) -> Any:
    return fold(Commit(engine_id=ENGINE, nodes=records), trusted=trusted)


STARTED = record(NodeState.RUNNING, OutcomeKind.STARTED, fresh=True)
COMPLETED = record(NodeState.COMPLETED, OutcomeKind.COMPLETED)
PENDING = record(NodeState.PENDING, None)
CANCELLED = record(NodeState.CANCELLED, None)
RETRIED = record(NodeState.WAITING, OutcomeKind.FAILED)


def test_the_last_record_of_an_element_is_the_row() -> None:
    found = folded(STARTED, COMPLETED)
    assert [one.recorded.state for one in found.fresh] == [NodeState.COMPLETED]
    assert (found.written, found.standing, found.reset, found.attempts) == ([], [], [], [])


def test_what_ends_without_a_worker_keeps_the_outcome_before_it() -> None:
    found = folded(STARTED, CANCELLED)
    assert found.fresh[0].recorded.outcome == STARTED.recorded.outcome
    assert folded(CANCELLED).standing == [CANCELLED]


def test_what_is_pending_again_forgets_the_outcome_before_it() -> None:
    found = folded(PENDING, CANCELLED)
    assert [one.recorded.state for one in found.written] == [NodeState.CANCELLED]
    assert found.reset == [PENDING]


def test_a_try_within_the_commit_is_kept() -> None:
    found = folded(STARTED, PENDING, record(NodeState.RUNNING, OutcomeKind.STARTED, 2), RETRIED)
    assert [(row["attempt"], row["state"], row["worker"]) for row in found.attempts] == [
        (1, "lost", "w1"),
        (1, "failed", "w1"),
    ]
    assert found.reset == []


def test_a_worker_lost_before_anything_was_recorded_is_kept() -> None:
    first = record(NodeState.PENDING, None, 0, fresh=True)
    found = folded(first, record(NodeState.PENDING, None, 1, lost=1))
    assert [(row["attempt"], row["state"]) for row in found.attempts] == [(1, "lost")]


def test_who_is_not_trusted_is_written_over_what_is_there() -> None:
    found = folded(STARTED, record(NodeState.SKIPPED, None, element=(1,), fresh=True), trusted=False)
    assert (found.fresh, len(found.written), len(found.standing)) == ([], 1, 1)
    assert not found.trusted


@given(st.lists(st.sampled_from([STARTED, COMPLETED, PENDING, CANCELLED, RETRIED]), min_size=1, max_size=8))
def test_an_element_is_always_one_row(records: list[NodeRecord]) -> None:
    for trusted in (True, False):
        found = folded(*records, trusted=trusted)
        rows = [*found.fresh, *found.written, *found.standing]
        assert len(rows) == 1
        assert rows[0].recorded.run == records[-1].recorded.run
        assert len(found.reset) <= 1


def test_bodies_leave_the_outputs() -> None:
    artifacts: list[Artifact] = []
    entry = {"codec": "raw", "size": 2, "digest": "d"}
    text = outputs_text(EXECUTION, {"a": {**entry, "body": b"xy"}, "b": {**entry, "location": "file:x"}}, artifacts)
    assert (
        text
        == '{"a":{"codec":"raw","size":2,"digest":"d"},"b":{"codec":"raw","size":2,"digest":"d","location":"file:x"}}'
    )
    assert artifacts == [
        Artifact(EXECUTION, "d", "raw", 2, None, b"xy"),
        Artifact(EXECUTION, "d", "raw", 2, "file:x", None),
    ]


def test_copy_has_a_field_for_each_column() -> None:
    full = record(
        NodeState.COMPLETED, OutcomeKind.COMPLETED, element=(1, 2), fresh=True, started_at=1.5, finished_at=2.0, cpu_s=0.5,
        peak_memory_bytes=7, input_digest="i", outputs={"result": {"codec": "json", "value": "t\tn\n\\"}},
        logs=((3.25, 20, "l\tl", "m\nm\\"),),
    )  # fmt: skip
    bare = record(NodeState.SKIPPED, None, fresh=True)
    rows = "".join(node_text([full, bare], OWNED, [])).splitlines()
    assert [len(row.split("\t")) for row in rows] == [len(NODE_COLUMNS.split(","))] * 2
    fields = dict(zip(NODE_COLUMNS.split(", "), rows[0].split("\t"), strict=True))
    assert (fields["element"], fields["started_at"]) == ("{1,2}", "1970-01-01 00:00:01.500000+00")
    assert fields["outputs"] == r'{"result":{"codec":"json","value":"t\\tn\\n\\\\"}}'
    lines = "".join(line_text(folded(full).lines, OWNED)).splitlines()
    assert len(lines) == 1
    values = dict(zip(LINE_COLUMNS.split(", "), lines[0].split("\t"), strict=True))
    assert (values["logger"], values["message"]) == (r"l\tl", r"m\nm\\")


def test_copy_leaves_out_what_is_not_owned() -> None:
    logs = ((1.0, 20, "l", "m"),)
    mine = record(NodeState.COMPLETED, OutcomeKind.COMPLETED, fresh=True, logs=logs)
    stale = record(NodeState.COMPLETED, OutcomeKind.COMPLETED, fresh=True, element=(1,), epoch=3, logs=logs)
    foreign = record(NodeState.COMPLETED, OutcomeKind.COMPLETED, fresh=True, execution=OTHER, logs=logs)
    records = [foreign, stale, mine, stale._replace(recorded=stale.recorded), foreign]
    assert "".join(node_text(records, OWNED, [])).count("\n") == 1
    assert "".join(line_text(folded(*records).lines, OWNED)).count("\n") == 1
