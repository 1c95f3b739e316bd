"""What every store does with executions that tell of others: inserted with the end they tell of, or not at all."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tests.contract.steps import IDS, LONG_S, OVER_S, asked, change, claimed, commit, engine
from wfplatform.core.execution import ExecutionState
from wfplatform.core.hook import HookOf, Occasion
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.core.ports import Claim
from wfplatform.core.start import NewExecution
from wfplatform.errors import ConflictError

LATE_S = -1.0
"""Late for a second already."""


def hook(claim: Any, on: Occasion = Occasion.FAILURE, **more: Any) -> tuple[UUID, NewExecution]:
    values: dict[str, Any] = {"idempotency_key": f"{claim.id} {on}", "hook": HookOf(claim.id, on), **more}
    new = NewExecution(
        id=IDS.new(), version_id=claim.version_id, workflow_name="delays", parameters={"notice": {}}, **values
    )
    return DEFAULT_TENANT, new


def ended(subject: Any, owner: UUID, claim: Claim, *hooks: tuple[UUID, NewExecution]) -> None:
    commit(subject, owner, claim, executions=[change(claim, ExecutionState.FAILED)], children=hooks)


def told(subject: Any, execution_id: UUID) -> list[Any]:
    rows = subject.reader.executions(DEFAULT_TENANT).items
    return [row for row in rows if row.hook is not None and row.hook.execution == execution_id]


def test_a_hook_is_inserted_with_the_end_it_tells_of_and_says_so(subject: Any) -> None:
    owner = engine(subject)
    claim = claimed(subject, owner, created_by="ada", tags=("a",))
    assert (claim.created_by, claim.tags, claim.hook) == ("ada", ("a",), None)
    ended(subject, owner, claim, hook(claim, told_in=claim.epoch))
    [row] = told(subject, claim.id)
    assert row.hook == (claim.id, Occasion.FAILURE)
    [found] = subject.store.look(owner, claims=9).claims
    assert (found.id, found.hook, found.parameters) == (row.id, row.hook, {"notice": {}})


def test_writing_the_same_end_again_tells_nothing_more(subject: Any) -> None:
    owner = engine(subject)
    claim = claimed(subject, owner)
    first = hook(claim, told_in=claim.epoch)
    ended(subject, owner, claim, first)
    ended(subject, owner, claim, first)
    ended(subject, owner, claim, hook(claim, told_in=claim.epoch))
    assert [row.id for row in told(subject, claim.id)] == [first[1].id]


def test_who_does_not_own_it_tells_nothing_of_its_end(subject: Any) -> None:
    late, other = engine(subject, OVER_S), engine(subject)
    claim = claimed(subject, late)
    ended(subject, other, claim, hook(claim, told_in=claim.epoch))
    commit(subject, late, claim, children=[hook(claim, told_in=claim.epoch - 1)])
    assert told(subject, claim.id) == []
    subject.store.take_over(other)
    [again] = subject.store.look(other, claims=9).claims
    with pytest.raises(ConflictError, match="taken over"):
        ended(subject, late, claim, hook(claim, told_in=claim.epoch))
    ended(subject, other, again, hook(again, told_in=again.epoch))
    assert len(told(subject, claim.id)) == 1
    assert subject.store.renew(other, lease_s=LONG_S)


def test_who_is_late_is_known_whoever_owns_it(subject: Any) -> None:
    owner = engine(subject)
    claim = claimed(subject, owner, late_after_s=LATE_S, created_by="ada", tags=("a",))
    [queued] = asked(subject, late_after_s=LATE_S)
    [later] = asked(subject, late_after_s=LONG_S)
    asked(subject)
    rows = subject.late.late(10)
    assert {row.id for row in rows} == {claim.id, queued.id}
    assert [row.id for row in subject.late.late(1)] == [claim.id]
    row = rows[0]
    assert (row.workflow_name, row.version_id, row.tenant_id) == ("delays", claim.version_id, DEFAULT_TENANT)
    assert (row.state, row.parameters, row.created_by, row.tags) == ("running", {"year": 2013}, "ada", ("a",))
    assert (rows[1].state, rows[1].started_at) == ("pending", None)
    subject.late.tell_late(owner, {one.id: [] for one in rows})
    at = subject.reader.execution(DEFAULT_TENANT, later.id)
    assert subject.store.look(owner).next_late_at == at.late_at
    assert (at.late_at - at.created_at).total_seconds() == LONG_S


def test_of_one_that_is_late_it_is_told_once(subject: Any) -> None:
    owner, other = engine(subject), engine(subject)
    claim = claimed(subject, owner, late_after_s=LATE_S)
    assert subject.store.look(owner).next_late_at is not None
    for who in (other, owner, other):
        subject.late.tell_late(who, {claim.id: [hook(claim, Occasion.LATENESS)]})
    assert [row.hook.on for row in told(subject, claim.id)] == ["lateness"]
    assert subject.late.late(10) == []
    assert subject.store.look(owner).next_late_at is None
    assert subject.reader.execution(DEFAULT_TENANT, claim.id).late_at is None


def test_of_one_that_has_ended_or_is_not_late_nothing_is_told(subject: Any) -> None:
    owner = engine(subject)
    over, early = claimed(subject, owner, late_after_s=LATE_S), claimed(subject, owner, late_after_s=LONG_S)
    ended(subject, owner, over)
    assert subject.late.late(10) == []
    subject.late.tell_late(owner, {one.id: [hook(one, Occasion.LATENESS)] for one in (over, early)})
    assert told(subject, over.id) == told(subject, early.id) == []
    assert subject.store.look(owner).next_late_at is not None


def test_an_engine_that_was_fenced_off_tells_nobody(subject: Any) -> None:
    late, other = engine(subject, OVER_S), engine(subject)
    [new] = asked(subject, late_after_s=LATE_S)
    subject.store.take_over(other)
    with pytest.raises(ConflictError, match="taken over"):
        subject.late.tell_late(late, {new.id: [hook(new, Occasion.LATENESS)]})
    assert told(subject, new.id) == []
