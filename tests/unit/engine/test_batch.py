"""What people are told of an execution: its standing as soon as it changes, its counters in the end whatever happens."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from tests.unit.engine.rig import Rig, same, wide
from wfplatform import delay, workflow
from wfplatform.compiler.segment import Limits
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.core.record import ExecutionRecord
from wfplatform.engine.options import EngineOptions

ONE_EACH = Limits(most=1, most_unknown=1)


@workflow
def two_waits() -> Any:
    """Waits twice."""
    return [delay(seconds=1, name="short"), delay(seconds=3600, name="long")]


@workflow
def waits_while_it_works() -> Any:
    """A wait beside a node."""
    return [same(1), delay(seconds=3600, name="long")]


def started(flow: Any, **parameters: Any) -> tuple[Rig, UUID]:
    rig = Rig(options=EngineOptions(limits=ONE_EACH))
    execution = rig.start(rig.publish(flow), **parameters)
    rig.turn()
    return rig, execution


def pass_time(rig: Rig) -> None:
    """Nothing happens but that time passes, as far as the engine asks for turns."""
    for _ in range(10):
        patience_s = rig.engine.patience_s
        if patience_s is None:
            return
        rig.time.move(patience_s)
        rig.turn(look=False)
    raise AssertionError("the engine does not come to rest")


def counters(record: ExecutionRecord) -> tuple[int | None, int]:
    return record.nodes_total, record.nodes_ended


def test_counters_that_were_kept_back_get_there_although_nothing_else_happens() -> None:
    rig, execution = started(wide, xs=[1, 2, 3, 4, 5])
    for part in rig.cluster.parts[:3]:
        rig.turn(rig.done(part), look=False)
    pass_time(rig)
    assert counters(rig.record(execution)) == (5, 3)
    before = len(rig.store.commits)
    rig.turn(rig.done(rig.cluster.parts[3]), look=False)
    assert counters(rig.record(execution)) == (5, 3), "a moment after the last time"
    pass_time(rig)
    assert counters(rig.record(execution)) == (5, 4)
    assert len(rig.store.commits) == before + 2


def test_counters_of_many_executions_are_written_together() -> None:
    rig = Rig(options=EngineOptions(limits=ONE_EACH))
    version = rig.publish(wide)
    executions = []
    for _ in range(10):
        executions.append(rig.start(version, xs=[1, 2]))
        rig.turn()
        rig.time.move(0.01)
    before = len(rig.store.commits)
    first = {part.execution: part for part in rig.cluster.parts}
    for part in first.values():
        rig.turn(rig.done(part), look=False)
    told = len(rig.store.commits)
    assert told == before + 10
    pass_time(rig)
    assert {rig.record(one).nodes_ended for one in executions} == {1}
    assert len(rig.store.commits) <= told + 2


def test_what_it_waits_for_is_told_when_it_changes_however_soon() -> None:
    rig, execution = started(two_waits)
    rig.time.move(1)
    rig.turn(look=False)
    assert rig.record(execution).waiting_for.startswith("long: waits until")
    rig.catalog.command(DEFAULT_TENANT, execution, "pause")
    rig.turn()
    assert rig.record(execution).waiting_for == "paused"
    rig.catalog.command(DEFAULT_TENANT, execution, "resume")
    rig.turn()
    assert rig.record(execution).waiting_for.startswith("long: waits until")
    assert rig.record(execution).paused_at is None


def test_that_its_work_is_over_is_told_though_the_end_of_the_work_records_nothing() -> None:
    rig, execution = started(waits_while_it_works)
    (part,) = rig.cluster.parts
    rig.turn(rig.done(part, closed=False), look=False)
    assert (rig.record(execution).state, rig.record(execution).waiting_for) == ("running", "")
    last = rig.done(part)
    rig.turn(last, look=False)  # the same once more, and that this was all
    rig.turn(look=False)
    assert rig.record(execution).state == "waiting"
    assert rig.record(execution).waiting_for.startswith("long: waits until")


def test_why_it_fails_is_told_while_others_still_run() -> None:
    rig, execution = started(wide, xs=[1, 2])
    report = rig.failed(rig.cluster.parts[0])
    rig.turn(report, look=False)
    record = rig.record(execution)
    assert record.state == "running"
    assert record.error is not None
    assert record.nodes_failed == 1


def test_nothing_is_written_of_one_of_which_nothing_changes() -> None:
    rig, _ = started(wide, xs=[1, 2])
    pass_time(rig)
    before = len(rig.store.commits)
    for _ in range(10):
        rig.time.move(1)
        rig.turn()
    assert len(rig.store.commits) == before


def test_an_engine_that_lingers_is_not_asked_again_and_again_when_counters_are_due() -> None:
    rig = Rig(options=EngineOptions(limits=ONE_EACH, linger_s=10))
    execution = rig.start(rig.publish(wide), xs=[1, 2, 3])
    rig.turn()
    patience_s = rig.engine.patience_s
    assert patience_s is not None
    rig.time.move(patience_s)
    rig.turn(rig.done(rig.cluster.parts[0]), look=False)
    assert rig.record(execution).nodes_ended == 1
    assert rig.engine.patience_s != 0
