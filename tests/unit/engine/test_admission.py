"""As many executions of a workflow run at once as it allows; what is paused holds up nobody."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tests.unit.engine.rig import Rig
from wfplatform import node, workflow
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.errors import UnreachableError


@node
def same(x: Any) -> Any:
    return x


@workflow(max_executions=1)
def gated() -> Any:
    """One at a time."""
    return same(1)


def gate(count: int) -> tuple[Rig, list[UUID]]:
    rig = Rig()
    version = rig.publish(gated)
    started = [rig.start(version) for _ in range(count)]
    rig.turn()
    return rig, started


def begun(rig: Rig) -> list[UUID]:
    return [part.execution for part in rig.cluster.parts]


def finish(rig: Rig) -> None:
    """What runs completes."""
    rig.turn(rig.done(rig.cluster.parts[-1]))


def test_they_begin_one_after_the_other_in_their_order() -> None:
    rig, started = gate(3)
    for number in range(3):
        assert begun(rig) == started[: number + 1]
        finish(rig)
        assert rig.record(started[number]).state == "completed"
    assert rig.record(started[1]).waiting_for == ""


def test_one_that_is_paused_in_the_queue_says_so_at_once_and_lets_the_next_one_pass() -> None:
    rig, (first, second, third) = gate(3)
    rig.time.move(0.1)
    rig.catalog.command(DEFAULT_TENANT, second, "pause")
    rig.turn()
    assert rig.record(second).paused_at is not None
    finish(rig)
    assert begun(rig) == [first, third]
    rig.catalog.command(DEFAULT_TENANT, second, "resume")
    rig.turn()
    assert rig.record(second).paused_at is None
    assert begun(rig) == [first, third]
    finish(rig)
    assert begun(rig) == [first, third, second]
    finish(rig)
    assert {rig.record(one).state for one in (first, second, third)} == {"completed"}


def test_one_that_is_resumed_when_there_is_room_leaves_the_queue() -> None:
    rig, (first, second, third) = gate(3)
    for one in (second, third):
        rig.catalog.command(DEFAULT_TENANT, one, "pause")
    rig.turn()
    finish(rig)
    assert begun(rig) == [first]
    for one in (third, second):
        rig.catalog.command(DEFAULT_TENANT, one, "resume")
        rig.turn()
    assert begun(rig) == [first, third]
    finish(rig)
    assert begun(rig) == [first, third, second]


def test_one_that_runs_and_is_paused_and_resumed_within_a_moment_says_both() -> None:
    rig, (first,) = gate(1)
    for kind, paused in (("pause", True), ("resume", False), ("pause", True)):
        rig.catalog.command(DEFAULT_TENANT, first, kind)
        rig.turn()
        assert (rig.record(first).paused_at is not None) is paused


@workflow(max_executions=2)
def pair() -> Any:
    """Two at a time."""
    return same(1)


def test_a_newcomer_does_not_take_the_place_of_one_that_waits() -> None:
    rig, (first, second) = gate(1 + 1)
    # A place is free and the newcomer is claimed in the same turn.
    third = rig.start(rig.publish(gated))
    rig.turn(rig.done(rig.cluster.parts[0]))
    assert rig.record(first).state == "completed"
    assert begun(rig) == [first, second]
    finish(rig)
    assert begun(rig) == [first, second, third]


@pytest.mark.parametrize(("kind", "state"), [("pause", "waiting"), ("cancel", "cancelled")])
def test_one_whose_turn_it_is_but_that_cannot_begin_holds_up_nobody(kind: str, state: str) -> None:
    rig, (first, second, third) = gate(3)
    # The order and the end of the one before come in the same turn.
    rig.catalog.command(DEFAULT_TENANT, second, kind)
    rig.turn(rig.done(rig.cluster.parts[0]))
    assert rig.record(second).state == state
    assert begun(rig) == [first, third]
    finish(rig)
    assert {rig.record(one).state for one in (first, third)} == {"completed"}


def test_one_that_is_paused_after_its_turn_has_come_lets_the_next_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan that must be made again, because the database does not answer, finds it paused."""
    rig, (first, second, third) = gate(3)
    plan = rig.engine._dispatch.plan

    def away(live: Any) -> Any:
        raise UnreachableError("database_down", "It does not answer.")

    monkeypatch.setattr(rig.engine._dispatch, "plan", away)
    with pytest.raises(UnreachableError):
        rig.turn(rig.done(rig.cluster.parts[0]))
    monkeypatch.setattr(rig.engine._dispatch, "plan", plan)
    rig.catalog.command(DEFAULT_TENANT, second, "pause")
    rig.turn()
    # It was let in, so it keeps its place until it goes on or ends.
    assert begun(rig) == [first]
    rig.catalog.command(DEFAULT_TENANT, second, "cancel")
    rig.turn()
    assert begun(rig) == [first, third]


def test_one_that_ends_while_it_waits_makes_no_room_and_leaves_the_queue() -> None:
    rig, (first, second, third, fourth) = gate(4)
    rig.catalog.command(DEFAULT_TENANT, second, "cancel")
    rig.turn()
    assert rig.record(second).state == "cancelled"
    assert begun(rig) == [first]
    finish(rig)
    assert begun(rig) == [first, third]
    assert rig.record(fourth).state == "waiting"


def test_one_that_is_resumed_has_kept_its_place() -> None:
    rig, (first, second, third) = gate(3)
    rig.catalog.command(DEFAULT_TENANT, second, "pause")
    rig.turn()
    rig.catalog.command(DEFAULT_TENANT, second, "resume")
    rig.turn()
    finish(rig)
    assert begun(rig) == [first, second]
    finish(rig)
    assert begun(rig) == [first, second, third]


def test_places_that_become_free_together_are_all_taken() -> None:
    rig = Rig()
    version = rig.publish(pair)
    started = [rig.start(version) for _ in range(5)]
    rig.turn()
    assert begun(rig) == started[:2]
    rig.turn(*map(rig.done, rig.cluster.parts))
    assert begun(rig) == started[:4]


def test_what_it_waits_for_is_said_as_long_as_it_waits_and_no_longer() -> None:
    rig, (first, second) = gate(2)
    said = "1 executions of gated run, which is as many as it allows"
    assert (rig.record(second).state, rig.record(second).waiting_for) == ("waiting", said)
    finish(rig)
    rig.turn()
    assert begun(rig) == [first, second]
    assert (rig.record(second).state, rig.record(second).waiting_for) == ("running", "")
