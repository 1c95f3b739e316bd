"""Which workers are to be ended because an attempt on them should long be over."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from wfplatform.core.execution import Outcome, OutcomeKind
from wfplatform.core.graph import Node
from wfplatform.core.policy import Policy
from wfplatform.engine.overdue import MARGIN_S, Overdue

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ONE, TWO = UUID(int=1), UUID(int=2)
NODES = {
    "timed": Node(id="timed", policy=Policy(timeout_s=10)),
    "open": Node(id="open"),
}


def started(node: str = "timed", attempt: int = 1, segment: str = "s") -> Outcome:
    return Outcome(
        node, (), attempt, OutcomeKind.STARTED, "tcp://w", segment, started_at=5.0, logs=((0.0, 20, "", "line"),)
    )


def test_a_worker_is_ended_once_when_its_own_watch_should_have_done_it() -> None:
    overdue = Overdue(grace_s=1)
    overdue.see(ONE, NODES, [started()], 100.0)
    overdue.see(ONE, NODES, [started()], 109.0)  # progress, not a new beginning
    over_s = 100.0 + 10 + 2 + MARGIN_S
    assert overdue.workers(over_s) == set()
    assert overdue.workers(over_s + 0.1) == {"tcp://w"}
    assert overdue.workers(over_s + 100) == set()


def test_what_has_ended_or_has_no_timeout_holds_nobody() -> None:
    overdue = Overdue(grace_s=1)
    overdue.see(ONE, NODES, [started(), started()._replace(kind=OutcomeKind.COMPLETED)], 0.0)
    overdue.see(ONE, NODES, [started("open", segment="t")], 0.0)
    overdue.see(TWO, NODES, [started()], 0.0)
    overdue.closed(TWO, "s")
    assert overdue.workers(1e9) == set()


def test_what_nobody_wants_any_more_is_due_after_its_time_to_clean_up() -> None:
    overdue = Overdue(grace_s=1)
    overdue.see(ONE, NODES, [started("open")], 0.0)
    overdue.see(TWO, NODES, [started("open", segment="t")._replace(worker="tcp://v")], 0.0)
    overdue.cancelled([ONE], 50.0)
    assert overdue.workers(50.0 + 2 + MARGIN_S + 0.1) == {"tcp://w"}


def test_a_loss_after_the_timeout_is_told_as_the_timeout() -> None:
    overdue = Overdue(grace_s=1)
    overdue.see(ONE, NODES, [started(attempt=2)], 0.0)
    overdue.workers(1000.0)
    late = overdue.lost(ONE, "s", 1000.0, NOW)
    assert late is not None
    assert (late.kind, late.attempt, late.started_at, late.finished_at) == (OutcomeKind.FAILED, 2, 5.0, NOW.timestamp())
    assert (dict(late.error or {})["code"], late.logs) == ("timeout", ())
    overdue.see(ONE, NODES, [started()], 0.0)
    assert overdue.lost(ONE, "s", 9.0, NOW) is None
    assert overdue.lost(TWO, "s", 1000.0, NOW) is None
