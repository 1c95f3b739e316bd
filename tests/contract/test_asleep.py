"""What every store does with executions that nobody owns while they only wait."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tests.contract.steps import asked, change, claimed, commit, engine
from wfplatform.core.execution import ExecutionState
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.core.ports import Asleep, Claim, Found

WAITS = "later: waits until tomorrow"


def laid_down(subject: Any, owner: UUID, wake_at: datetime | None) -> Claim:
    claim = claimed(subject, owner)
    waiting = change(claim, ExecutionState.WAITING, waiting_for=WAITS)
    commit(subject, owner, claim, executions=[waiting], asleep=[Asleep(claim.id, claim.epoch, wake_at)])
    return claim


def looked(subject: Any, owner: UUID) -> Found:
    found: Found = subject.store.look(owner, claims=10, commands=10)
    return found


def test_nobody_owns_one_that_is_asleep_and_nobody_takes_it(subject: Any) -> None:
    owner, other = engine(subject), engine(subject)
    wake_at = subject.store.now() + timedelta(days=1)
    claim = laid_down(subject, owner, wake_at)
    record = subject.reader.execution(DEFAULT_TENANT, claim.id)
    assert (record.engine_id, record.state, record.waiting_for) == (None, ExecutionState.WAITING, WAITS)
    assert record.wake_at == wake_at
    for one in (owner, other):
        assert looked(subject, one) == ([], [], wake_at, None)


def test_one_that_is_due_is_taken_once(subject: Any) -> None:
    owner, other = engine(subject), engine(subject)
    claim = laid_down(subject, owner, subject.store.now() - timedelta(milliseconds=1))
    found = looked(subject, other)
    assert [(one.id, one.epoch, one.woken) for one in found.claims] == [(claim.id, claim.epoch + 1, True)]
    assert found.next_wake_at is None
    assert looked(subject, owner).claims == []
    assert subject.reader.execution(DEFAULT_TENANT, claim.id).wake_at is None


def test_one_without_a_time_sleeps_until_there_is_a_command_for_it(subject: Any) -> None:
    owner = engine(subject)
    claim = laid_down(subject, owner, None)
    assert looked(subject, owner) == ([], [], None, None)
    subject.catalog.command(DEFAULT_TENANT, claim.id, "resume", created_by="ann")
    found = looked(subject, owner)
    assert [(one.id, one.woken) for one in found.claims] == [(claim.id, True)]
    assert [(one.execution_id, one.kind) for one in found.commands] == [(claim.id, "resume")]


def test_the_earliest_is_told_and_those_due_come_before_those_that_only_wait_for_room(subject: Any) -> None:
    owner, now = engine(subject), subject.store.now()
    late, early = now + timedelta(hours=2), now + timedelta(hours=1)
    laid_down(subject, owner, late)
    laid_down(subject, owner, early)
    assert looked(subject, owner).next_wake_at == early
    due = laid_down(subject, owner, now)
    (fresh,) = asked(subject)
    assert [one.id for one in subject.store.look(owner, claims=1).claims] == [due.id]
    assert [(one.id, one.woken) for one in subject.store.look(owner, claims=1).claims] == [(fresh.id, False)]


def test_only_who_owns_it_lays_it_down(subject: Any) -> None:
    owner, other = engine(subject), engine(subject)
    claim = claimed(subject, owner)
    commit(subject, other, claim, asleep=[Asleep(claim.id, claim.epoch, None)])
    commit(subject, owner, claim, asleep=[Asleep(claim.id, claim.epoch - 1, None)])
    assert subject.reader.execution(DEFAULT_TENANT, claim.id).engine_id == owner


def test_one_that_woke_is_taken_over_like_any_other(subject: Any) -> None:
    owner, other = engine(subject, lease_s=-1.0), engine(subject)
    claim = laid_down(subject, owner, subject.store.now())
    assert len(looked(subject, owner).claims) == 1
    assert subject.store.take_over(other) == 1
    assert [(one.id, one.woken) for one in looked(subject, other).claims] == [(claim.id, False)]


def test_one_that_is_due_soon_is_taken_by_who_looks_ahead(subject: Any) -> None:
    owner = engine(subject)
    claim = laid_down(subject, owner, subject.store.now() + timedelta(seconds=100))
    assert subject.store.look(owner, claims=1, ahead_s=10.0).claims == []
    assert [one.id for one in subject.store.look(owner, claims=1, ahead_s=200.0).claims] == [claim.id]
