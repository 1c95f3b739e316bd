"""What an engine hands out where executions share something, and what it gives back."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tests.unit.engine.rig import Rig
from wfplatform import Breaker, Limit, Retry, node, workflow
from wfplatform.compiler.payload import Part
from wfplatform.core.execution import NodeState
from wfplatform.core.identifier import DEFAULT_TENANT

DB = Limit("db", 2, across="all")  # type: ignore[arg-type]  # as people write it
API = Breaker("api", calls=2, open_s=30.0)


@node(limit=DB)
def load(x: Any) -> Any:
    return x


@node(limit=Limit("host", 1, across="all", key="host"))  # type: ignore[arg-type]
def fetch(host: Any) -> Any:
    return host


@node(breaker=API)
def call(x: Any) -> Any:
    return x


@node(breaker=Breaker("api", on_open="fail"))  # type: ignore[arg-type]
def impatient(x: Any) -> Any:
    return x


@node(cache=True)
def costly(x: Any) -> Any:
    return x


@node
def after(x: Any) -> Any:
    return x


@workflow
def loads(xs: list[int]) -> Any:
    return after.map(load.map(xs))


@workflow
def fetches(hosts: list[Any]) -> Any:
    return fetch.map(hosts)


@workflow
def calls(xs: list[int]) -> Any:
    return call.map(xs)


@workflow
def rushes(x: int) -> Any:
    return impatient(x)


@workflow
def computes(x: int) -> Any:
    return after(costly(x))


@workflow(max_executions=1)
def alone(x: int) -> Any:
    return after(x)


def running(rig: Rig) -> dict[UUID, int]:
    """How many elements of its first node each execution has on the cluster."""
    return {id: live.flights.count(live.graph.nodes[0].id) for id, live in rig.engine.live.items()}


def parts(rig: Rig, seen: int = 0) -> list[Part]:
    """Those of first nodes."""
    return [part for part in rig.cluster.parts if part.members[0][0] == 0][seen:]


def test_executions_share_the_slots_of_a_limit() -> None:
    rig = Rig()
    version = rig.publish(loads)
    first, second = rig.start(version, xs=[1, 2, 3]), rig.start(version, xs=[4])
    rig.turn()
    assert len(parts(rig)) == 2
    assert running(rig) == {first: 1, second: 1}, "each has one, though the first asked for more"
    rig.turn(rig.done(parts(rig)[0]))
    # What hangs on it goes on at once, and its slot goes to who has fewer.
    assert running(rig)[first] == 1
    assert [len(held.asked.slot.element) for held in rig.store.sharing.slots.values() if held.number] == [1, 1]


def test_when_all_has_ended_no_slot_is_held_or_waited_for() -> None:
    rig = Rig()
    started = [rig.start(rig.publish(loads), xs=[1, 2, 3]) for _ in range(3)]
    seen = 0
    rig.turn()
    while seen < len(rig.cluster.parts):
        part = rig.cluster.parts[seen]
        seen += 1
        rig.turn(rig.done(part))
    assert {rig.record(one).state for one in started} == {"completed"}
    assert rig.store.sharing.slots == {}


def test_another_engine_waits_for_what_this_one_holds() -> None:
    rig = Rig()
    version = rig.publish(loads)
    rig.start(version, xs=[1, 2])
    rig.turn()
    other = Rig(store=rig.store, time=rig.time)
    theirs = other.start(version, xs=[3])
    other.turn()
    assert parts(other) == []
    assert "waits for one of 2 slots of db" in other.record(theirs).waiting_for
    rig.turn(rig.done(parts(rig)[0]))
    other.turn()
    assert running(other) == {theirs: 1}


def test_a_key_has_slots_of_its_own() -> None:
    rig = Rig()
    rig.start(rig.publish(fetches), hosts=["a", "a", "b", {"c": 1}])
    rig.turn()
    assert len(parts(rig)) == 3


def test_what_waits_for_a_slot_and_is_cancelled_leaves_the_line() -> None:
    rig = Rig()
    version = rig.publish(loads)
    first, second = rig.start(version, xs=[1, 2, 3]), rig.start(version, xs=[4, 5, 6])
    rig.turn()
    for one in (first, second):
        rig.catalog.command(DEFAULT_TENANT, one, "cancel")
    rig.turn()
    rig.turn()
    assert rig.store.sharing.slots == {}


def test_one_that_is_paused_lets_others_go_first() -> None:
    rig = Rig()
    version = rig.publish(loads)
    first = rig.start(version, xs=[1, 2, 3, 4])
    rig.turn()
    rig.catalog.command(DEFAULT_TENANT, first, "pause")
    rig.turn()
    second = rig.start(version, xs=[5])
    rig.turn(rig.done(parts(rig)[0]))
    assert running(rig) == {first: 1, second: 1}
    rig.turn(*(rig.done(part) for part in parts(rig)[1:]))
    held = [one.asked.slot.execution_id for one in rig.store.sharing.slots.values()]
    assert first not in held
    rig.catalog.command(DEFAULT_TENANT, first, "resume")
    rig.turn()
    assert running(rig)[first] == 2


def test_a_slot_is_free_while_its_element_waits_to_be_tried_again() -> None:
    rig = Rig()

    @workflow
    def patient(xs: list[int]) -> Any:
        return load.options(retry=Retry(attempts=2, delay_s=60.0)).map(xs)

    started = rig.start(rig.publish(patient), xs=[1, 2, 3])
    rig.turn()
    rig.turn(rig.failed(parts(rig)[0]))
    assert running(rig) == {started: 2}
    assert {part.members[0][1].start for part in parts(rig)} == {0, 1, 2}


def test_executions_of_a_workflow_begin_one_after_the_other() -> None:
    rig = Rig()
    version = rig.publish(alone)
    first, second = rig.start(version, x=1), rig.start(version, x=2)
    rig.turn()
    assert running(rig) == {first: 1, second: 0}
    assert rig.record(second).waiting_for == "1 executions of alone run, which is as many as it allows"
    rig.turn(rig.done(parts(rig)[0]))
    assert rig.record(first).state == "completed"
    assert running(rig) == {second: 1}


def test_one_computes_what_two_want_and_the_other_takes_it() -> None:
    rig = Rig()
    version = rig.publish(computes)
    first, second = rig.start(version, x=1), rig.start(version, x=1)
    rig.turn()
    assert len(parts(rig)) == 1
    assert "which another execution computes" in rig.record(second).waiting_for
    rig.turn(rig.done(parts(rig)[0]))
    run = rig.store.contents.elements[second]["costly", ()].run
    assert (run.state, run.reused_from) == (NodeState.COMPLETED, first)
    assert running(rig) == {first: 0, second: 0}


def test_if_the_one_fails_the_other_computes_it() -> None:
    rig = Rig()
    version = rig.publish(computes)
    first, second = rig.start(version, x=1), rig.start(version, x=1)
    rig.turn()
    rig.turn(rig.failed(parts(rig)[0]))
    assert rig.record(first).state == "failed"
    assert running(rig) == {second: 1}


def test_who_wants_it_anew_waits_for_nobody() -> None:
    rig = Rig()
    version = rig.publish(computes)
    for _ in range(2):
        rig.start(version, x=1)
    fresh = rig.start(version, x=1)
    rig.store.contents.update(fresh, refresh=("costly",))
    rig.turn()
    assert len(parts(rig)) == 2


def broken(rig: Rig) -> None:
    """The breaker opens."""
    rig.start(rig.publish(calls), xs=[1, 2])
    rig.turn()
    rig.turn(*(rig.failed(part) for part in parts(rig)))


def test_an_open_breaker_lets_nothing_pass_and_then_one() -> None:
    rig = Rig()
    broken(rig)
    seen = len(parts(rig))
    waits = rig.start(rig.publish(calls), xs=[3, 4, 5])
    rig.turn()
    assert parts(rig, seen) == []
    assert "the circuit breaker api is open until" in rig.record(waits).waiting_for
    assert rig.engine.next_timer_at is not None
    rig.time.move(29.0)
    rig.turn()
    assert parts(rig, seen) == []
    rig.time.move(1.1)
    rig.turn(look=False)
    assert len(parts(rig, seen)) == 1, "one tries"
    rig.turn(rig.done(parts(rig, seen)[0]))
    assert len(parts(rig, seen)) == 3, "it is closed"
    rig.turn(*(rig.done(part) for part in parts(rig, seen)[1:]))
    assert rig.record(waits).state == "completed"
    assert rig.store.sharing.slots == {}


def test_a_try_that_fails_opens_it_again() -> None:
    rig = Rig()
    broken(rig)
    seen = len(parts(rig))
    rig.start(rig.publish(calls), xs=[3, 4, 5])
    rig.turn()
    rig.time.move(31.0)
    rig.turn()
    rig.turn(rig.failed(parts(rig, seen)[0]))
    assert len(parts(rig, seen)) == 1
    rig.time.move(31.0)
    rig.turn()
    assert len(parts(rig, seen)) == 2


def test_of_two_engines_one_tries() -> None:
    rig = Rig()
    broken(rig)
    other = Rig(store=rig.store, time=rig.time)
    seen = len(parts(rig))
    for one in (rig, other):
        one.start(one.publish(calls), xs=[3])
        one.turn()
    rig.time.move(31.0)
    other.turn()
    rig.turn()
    assert (len(parts(rig, seen)), len(parts(other))) == (0, 1)
    other.turn(other.done(parts(other)[0]))
    rig.turn()
    assert len(parts(rig, seen)) == 1


def test_who_does_not_want_to_wait_fails_at_once() -> None:
    rig = Rig()
    broken(rig)
    rush = rig.start(rig.publish(rushes), x=1)
    rig.turn()
    assert rig.error(rush)["code"] == "breaker_open"
    assert "the circuit breaker api is open until" in rig.error(rush)["message"]


def test_no_more_is_handed_out_than_would_tell_that_it_fails() -> None:
    rig = Rig()
    started = rig.start(rig.publish(calls), xs=list(range(1000)))
    rig.turn()
    assert running(rig) == {started: 8}, "four for each slot of the cluster"


@pytest.mark.parametrize("closed", [True, False])
def test_a_breaker_that_somebody_closes_is_closed(*, closed: bool) -> None:
    rig = Rig()
    broken(rig)
    seen = len(parts(rig))
    rig.start(rig.publish(calls), xs=[3])
    rig.turn()
    if closed:
        rig.store.sharing.states.clear()
    rig.turn()
    assert len(parts(rig, seen)) == closed
