"""What every store does with slots that executions of several engines share, and with their circuit breakers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.contract.steps import LONG_S, OVER_S, change, claimed, commit, engine
from wfplatform.core.breaker import Position, position
from wfplatform.core.execution import ExecutionState
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.core.policy import Breaker
from wfplatform.core.ports import Claim
from wfplatform.core.slot import Asked, Exchange, Gate, Slot
from wfplatform.errors import ConflictError

DB = Gate("limit:db", 2, "db", "db")


def slot(claim: Claim, index: int = 0, gate: Gate = DB) -> Slot:
    return Slot(gate.key, claim.id, claim.epoch, "load", (index,))


def want(claim: Claim, *indices: int, gate: Gate = DB, priority: int = 0) -> list[Asked]:
    return [Asked(slot(claim, index, gate), gate, priority) for index in indices]


def exchange(
    subject: Any, owner: UUID, asked: list[Asked] | None = None, returned: list[Slot] | None = None, known: int = 0
) -> Exchange:
    found: Exchange = subject.sharing.exchange(owner, returned=returned or [], asked=asked or [], known=known)
    return found


def held(found: Exchange) -> list[Slot]:
    return [one.slot for one in found.granted]


def test_no_more_are_given_than_there_are(subject: Any) -> None:
    owner = engine(subject)
    one = claimed(subject, owner)
    found = exchange(subject, owner, want(one, 0, 1, 2, 3))
    assert held(found) == [slot(one, 0), slot(one, 1)]
    known = found.granted[-1].number
    assert exchange(subject, owner, known=known) == Exchange()
    found = exchange(subject, owner, returned=[slot(one, 0)], known=known)
    assert held(found) == [slot(one, 2)]
    assert found.granted[0].number > known


def test_to_say_the_same_twice_changes_nothing(subject: Any) -> None:
    owner = engine(subject)
    one = claimed(subject, owner)
    first = exchange(subject, owner, want(one, 0, 1, 2))
    assert exchange(subject, owner, want(one, 0, 1, 2)) == first
    found = exchange(subject, owner, want(one, 2), [slot(one, 0), slot(one, 5)])
    assert exchange(subject, owner, want(one, 2), [slot(one, 0)]) == found
    assert held(found) == [slot(one, 1), slot(one, 2)]


def test_what_one_engine_gives_back_another_gets_and_is_called_for(subject: Any) -> None:
    first, second = engine(subject), engine(subject)
    mine, theirs = claimed(subject, first), claimed(subject, second)
    known = exchange(subject, first, want(mine, 0, 1)).granted[-1].number
    assert exchange(subject, second, want(theirs, 0)) == Exchange()
    assert exchange(subject, first, returned=[slot(mine, 1)], known=known) == Exchange(others=True)
    assert held(exchange(subject, second)) == [slot(theirs, 0)]


def test_those_who_have_fewer_come_first_and_priority_before_that(subject: Any) -> None:
    owner = engine(subject)
    wide, small, urgent = (claimed(subject, owner) for _ in range(3))
    gate = DB._replace(most=3)
    known = exchange(subject, owner, want(wide, *range(9), gate=gate)).granted[-1].number
    exchange(subject, owner, want(small, 0, 1, gate=gate))
    exchange(subject, owner, want(urgent, 0, gate=gate, priority=5))
    order = []
    for index in range(3):
        (granted,) = exchange(subject, owner, returned=[slot(wide, index, gate)], known=known).granted
        known = granted.number
        order.append((granted.slot.execution_id, granted.slot.element))
    # The wide one holds two when the small one has none, and none when the small one has one.
    assert order == [(urgent.id, (0,)), (small.id, (0,)), (wide.id, (3,))]


def test_gates_do_not_stand_in_each_others_way(subject: Any) -> None:
    owner = engine(subject)
    one = claimed(subject, owner)
    other = Gate("limit:api", 1, "api")
    found = exchange(subject, owner, [*want(one, 0, 1, 2), *want(one, 0, 1, gate=other)])
    assert sorted(held(found)) == sorted([slot(one, 0), slot(one, 1), slot(one, 0, other)])


def test_a_number_that_somebody_has_set_counts(subject: Any) -> None:
    owner = engine(subject)
    one = claimed(subject, owner)
    subject.shared.set_limit(DEFAULT_TENANT, "db", 1, set_by="ann")
    found = exchange(subject, owner, want(one, 0, 1, 2))
    assert held(found) == [slot(one, 0)]
    subject.shared.set_limit(DEFAULT_TENANT, "db", 3, set_by="ann")
    assert held(exchange(subject, owner, known=found.granted[-1].number)) == [slot(one, 1), slot(one, 2)]
    (limit,) = subject.shared.limits(DEFAULT_TENANT)
    assert (limit.called, limit.most, limit.set_by, limit.held, limit.waiting) == ("db", 3, "ann", 3, 0)
    subject.shared.set_limit(DEFAULT_TENANT, "db", None, set_by="ann")
    (limit,) = subject.shared.limits(DEFAULT_TENANT)
    assert (limit.most, limit.set_by) == (2, "")


@pytest.mark.parametrize("end", ["taken over", "ended", "given back"])
def test_slots_of_a_holder_that_is_gone_are_free(subject: Any, end: str) -> None:
    owner, other = engine(subject, OVER_S), engine(subject, LONG_S)
    gone, left = claimed(subject, owner), claimed(subject, other)
    exchange(subject, owner, want(gone, 0, 1))
    exchange(subject, other, want(left, 0))
    if end == "taken over":
        assert subject.store.take_over(other) == 1
    elif end == "ended":
        commit(subject, owner, gone, executions=[change(gone, ExecutionState.COMPLETED)])
    else:
        commit(subject, owner, gone, released=[gone.id])
    assert held(exchange(subject, other)) == [slot(left, 0)]


def test_who_was_taken_over_asks_for_nothing(subject: Any) -> None:
    owner, other = engine(subject, OVER_S), engine(subject)
    one = claimed(subject, owner)
    subject.store.take_over(other)
    with pytest.raises(ConflictError) as raised:
        exchange(subject, owner, want(one, 0))
    assert raised.value.code == "fenced"
    (again,) = subject.store.look(other, claims=1).claims
    assert held(exchange(subject, other, [*want(one, 0), *want(again, 1)])) == [slot(again, 1)]


def test_breakers_are_counted_by_all_engines_together(subject: Any) -> None:
    api = Breaker("api", calls=4)
    key = (DEFAULT_TENANT, "api")
    assert subject.sharing.breakers([key]) == {}
    subject.sharing.called({key: (api, 1, 1)})
    state = subject.sharing.called({key: (api, 0, 2)})[key]
    assert state.counted == (3, 4)
    now = subject.store.now()
    assert position(state, now) is Position.OPEN
    assert position(state, now + timedelta(seconds=31)) is Position.HALF_OPEN
    assert subject.sharing.breakers([key, (DEFAULT_TENANT, "other")]) == {key: state}


def test_a_breaker_can_be_opened_and_closed_by_hand(subject: Any) -> None:
    key = (DEFAULT_TENANT, "api")
    subject.shared.set_breaker(DEFAULT_TENANT, "api", open_s=60.0)
    state = subject.sharing.breakers([key])[key]
    assert position(state, subject.store.now()) is Position.OPEN
    (record,) = subject.shared.breakers(DEFAULT_TENANT)
    assert (record.name, record.state.until_at) == ("api", state.until_at)
    subject.shared.set_breaker(DEFAULT_TENANT, "api", open_s=None)
    assert position(subject.sharing.breakers([key])[key], subject.store.now()) is Position.CLOSED
