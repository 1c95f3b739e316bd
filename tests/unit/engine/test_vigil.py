"""Executions that only wait are let go, and taken up when they are due or called."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.unit.engine.rig import Rig, same
from wfplatform import Retry, delay, node, workflow
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.core.record import ExecutionRecord
from wfplatform.engine.options import EngineOptions
from wfplatform.engine.sleepers import AHEAD_S

WAIT_S = 60.0
STILL_S = EngineOptions().sleep_after_s + 0.1


@node(retry=Retry(attempts=2, delay_s=WAIT_S))
def tried(x: int) -> int:
    return x


@workflow
def waits(x: int) -> Any:
    return same(delay(seconds=WAIT_S, value=same(x)))


@workflow
def waits_and_works(x: int) -> Any:
    return same.map([1, 2]), delay(seconds=WAIT_S)


@workflow
def tries(x: int) -> Any:
    return tried(x)


@workflow(max_executions=1)
def alone(x: int) -> Any:
    return delay(seconds=WAIT_S, value=x)


@workflow
def shortly(x: int) -> Any:
    return delay(seconds=EngineOptions().sleep_after_s, value=x)


def soon(record: ExecutionRecord) -> datetime:
    """When one that sleeps is taken up: a moment before it is due."""
    assert record.wake_at is not None
    return record.wake_at - timedelta(seconds=AHEAD_S / 2)


def waiting(rig: Rig, flow: Any = waits, *, asleep: bool = True) -> UUID:
    """One that has begun to wait, and has for a while."""
    execution = rig.start(rig.publish(flow), x=1)
    rig.turn()
    if rig.cluster.tasks and flow is not waits_and_works:
        part = rig.cluster.parts[0]
        rig.turn(rig.failed(part) if flow is tries else rig.done(part))
    rig.turn()
    rest(rig)
    assert (execution in rig.store.contents.asleep) is asleep
    return execution


def rest(rig: Rig) -> None:
    for _ in range(2):
        rig.time.move(STILL_S / 2 if rig.engine.live else 0)
        rig.turn(look=False)
    rig.time.move(STILL_S / 2)
    rig.turn(look=False)


@pytest.mark.parametrize("flow", [waits, tries], ids=lambda flow: flow.name)
def test_one_that_only_waits_is_no_more_than_its_row(flow: Any) -> None:
    rig = Rig()
    execution = waiting(rig, flow)
    assert (rig.engine.live, rig.cluster.cancelled) == ({}, [])
    record = rig.record(execution)
    assert (record.state, record.engine_id) == ("waiting", None)
    assert record.waiting_for
    assert len(rig.engine._timers) == 0
    assert rig.engine.next_timer_at == soon(record)


@pytest.mark.parametrize("flow", [waits, tries], ids=lambda flow: flow.name)
def test_it_is_taken_up_when_it_is_due_though_nobody_calls(flow: Any) -> None:
    rig = Rig()
    execution = waiting(rig, flow)
    handed_out = len(rig.cluster.parts)
    rig.turn()
    assert rig.record(execution).engine_id is None, "it is not due"
    rig.time.move(WAIT_S)
    rig.turn(look=False)
    assert rig.record(execution).state == "running"
    assert len(rig.cluster.parts) == handed_out + 1, "in the same turn"
    assert rig.cluster.cancelled == [], "nothing of it was on the cluster"
    rig.turn(rig.done(rig.cluster.parts[-1]))
    assert rig.record(execution).state == "completed"


def test_a_command_wakes_it_and_it_sleeps_again() -> None:
    rig = Rig()
    execution = waiting(rig)
    wake_at = rig.record(execution).wake_at
    rig.catalog.command(DEFAULT_TENANT, execution, "pause", created_by="ann")
    rig.turn()
    assert rig.record(execution).waiting_for == "paused"
    rest(rig)
    assert execution in rig.store.contents.asleep
    assert rig.record(execution).wake_at is None, "paused, it does nothing when its time has come"
    rig.catalog.command(DEFAULT_TENANT, execution, "resume", created_by="ann")
    rig.turn()
    rest(rig)
    assert rig.record(execution).wake_at == wake_at


def test_one_with_work_on_the_cluster_is_kept() -> None:
    rig = Rig()
    waiting(rig, waits_and_works, asleep=False)


def test_one_that_is_due_soon_is_kept() -> None:
    rig = Rig()
    waiting(rig, shortly, asleep=False)


def test_one_that_holds_a_place_among_those_of_its_workflow_is_kept() -> None:
    rig = Rig()
    waiting(rig, alone, asleep=False)


def test_an_engine_without_room_leaves_it_and_is_not_asked_again_and_again() -> None:
    rig = Rig(options=EngineOptions(max_executions=1))
    execution = waiting(rig)
    busy = rig.start(rig.publish(waits_and_works), x=1)
    rig.turn()
    rig.time.move(WAIT_S)
    rig.turn()
    assert rig.record(execution).engine_id is None
    later = rig.engine.next_timer_at
    assert later is None or later > rig.time.now()
    for part in rig.cluster.parts[1:]:
        rig.turn(rig.done(part))
    assert rig.record(busy).state == "completed"
    rig.time.move(0.1)
    rig.turn(look=False)
    assert rig.record(execution).state == "running"


def test_a_dead_engine_leaves_those_asleep_to_any_other() -> None:
    rig = Rig()
    execution = waiting(rig)
    other = Rig(store=rig.store, time=rig.time)
    other.turn()
    assert other.engine.next_timer_at == soon(rig.record(execution))
    rig.time.at += timedelta(seconds=WAIT_S)
    other.turn(look=False)
    assert rig.record(execution).engine_id == other.engine.engine_id
