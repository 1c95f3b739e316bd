"""What the elements of a node come to, from whatever store it is read."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.contract.steps import (
    AT,
    T0,
    VALUE,
    asked,
    claimed,
    commit,
    completed,
    engine,
    failed,
    standing,
    started,
)
from wfplatform.core.event import Recorded
from wfplatform.core.execution import NodeState, Outcome, OutcomeKind, Run
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.core.record import NodeSummary


def test_a_summary_puts_the_elements_of_each_node_together(subject: Any) -> None:
    engine_id = engine(subject)
    claim = claimed(subject, engine_id)
    first, second = completed("b", (0,)), completed("b", (1,))
    assert first.outcome is not None
    assert second.outcome is not None
    first = first._replace(outcome=first.outcome._replace(cpu_s=0.5, peak_memory_bytes=10))
    second = second._replace(
        outcome=second.outcome._replace(worker="w2", finished_at=AT + 9, cpu_s=None, peak_memory_bytes=None)
    )
    hit = Run(NodeState.COMPLETED, 0, reused_from=claim.id)
    reused = Outcome("b", (2,), 0, OutcomeKind.COMPLETED, outputs=VALUE)
    error = {"type": "E"}
    commit(
        subject, engine_id, claim, first, second, Recorded("b", (2,), hit, reused, True), started("b", (3,)),
        completed("b", (4,)), failed("a", Run(NodeState.FAILED, 1, tries=1, error=error), error),
        standing("c", Run(NodeState.SKIPPED), fresh=True),
    )  # fmt: skip
    a, b, c = subject.reader.summary(DEFAULT_TENANT, claim.id)
    assert b == NodeSummary(
        node="b", counts={NodeState.COMPLETED: 4, NodeState.RUNNING: 1}, started_at=T0,
        finished_at=T0 + timedelta(seconds=9), cpu_s=0.625, cpu_mean_s=0.3125, peak_memory_bytes=4096, workers=2,
        reused=1,
    )  # fmt: skip
    assert (a.node, a.counts, a.workers, a.cpu_s, a.cpu_mean_s) == ("a", {NodeState.FAILED: 1}, 1, None, None)
    assert c == NodeSummary(node="c", counts={NodeState.SKIPPED: 1}), "what is not known is not nothing"


def test_a_summary_of_what_has_not_begun_is_empty(subject: Any) -> None:
    assert list(subject.reader.summary(DEFAULT_TENANT, asked(subject)[0].id)) == []
