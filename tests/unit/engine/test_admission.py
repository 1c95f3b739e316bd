"""As many executions of a workflow run at once as it allows; what is paused holds up nobody."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from tests.unit.engine.rig import Rig
from wfplatform import node, workflow
from wfplatform.core.identifier import DEFAULT_TENANT


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
