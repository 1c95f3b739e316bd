"""What is asked of single elements that failed, by an engine that runs their execution or takes it up for that."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from tests.unit.engine.rig import Rig, same, wide
from wfplatform import delay, workflow
from wfplatform.bootstrap.inline import InlinePlatform
from wfplatform.compiler.segment import Limits
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.engine.options import EngineOptions

ONE_EACH = Limits(most=1, most_unknown=1)


@workflow
def handed_on(seconds: Any, n: int) -> Any:
    """A delay that cannot begin, and what is mapped over the value that it hands on."""
    return same.map(delay(seconds=seconds, value=same([n])))


def replay(rig: Rig, execution: UUID, *elements: int, attempt: int = 1, **inputs: Any) -> None:
    asked: list[Any] = [{"node": "same", "element": [one], "attempt": attempt} for one in elements]
    if inputs:
        asked = [{**one, "inputs": inputs} for one in asked]
    rig.catalog.command(DEFAULT_TENANT, execution, "retry", {"elements": asked}, created_by="ann")


def begun(count: int) -> tuple[Rig, UUID]:
    rig = Rig(options=EngineOptions(limits=ONE_EACH))
    execution = rig.start(rig.publish(wide), xs=list(range(count)))
    rig.turn()
    assert len(rig.cluster.parts) == count
    return rig, execution


def test_an_element_runs_again_with_other_inputs_while_others_run() -> None:
    rig, execution = begun(3)
    parts = rig.cluster.parts
    rig.turn(rig.failed(parts[0]))
    replay(rig, execution, 0, x=[2**70])
    rig.turn()
    (again,) = rig.cluster.parts[3:]
    assert (again.members[0][1].start, again.members[0][2], again.edits) == (0, 2, ((0, (0,), {"x": [2**70]}),))
    rig.turn(rig.done(again), *[rig.done(part) for part in parts[1:]])
    assert rig.record(execution).state == "completed"
    stored = rig.store.contents.elements[execution]["same", (0,)]
    assert (stored.run.edit or {})["by"] == "ann"


def test_what_was_asked_for_in_vain_does_not_end_what_was_asked_for_with_reason() -> None:
    rig, execution = begun(2)
    rig.turn(*[rig.failed(part) for part in rig.cluster.parts])
    assert rig.record(execution).state == "failed"
    replay(rig, execution, 0, attempt=7)
    replay(rig, execution, 1)
    replay(rig, execution, 1)
    rig.turn()
    assert execution in rig.engine.live
    (again,) = rig.cluster.parts[2:]
    assert again.members[0][1].start == 1
    rig.turn(rig.done(again))
    assert (rig.record(execution).state, execution in rig.engine.live) == ("failed", False)


def test_one_that_is_taken_up_in_vain_is_let_go_as_it_was() -> None:
    rig, execution = begun(1)
    rig.turn(rig.failed(rig.cluster.parts[0]))
    before = rig.record(execution)
    replay(rig, execution, 0, attempt=7)
    rig.turn()
    after = rig.record(execution)
    assert (after.state, after.finished_at, after.error, after.engine_id) == (
        "failed",
        before.finished_at,
        before.error,
        None,
    )
    assert not rig.engine.live


def test_another_engine_goes_on_with_the_replaced_inputs() -> None:
    rig, execution = begun(1)
    rig.turn(rig.failed(rig.cluster.parts[0]))
    replay(rig, execution, 0, x=9)
    rig.turn()
    rig.store.leave(rig.engine.engine_id)
    other = Rig(options=EngineOptions(limits=ONE_EACH), store=rig.store, time=rig.time)
    other.turn()
    (part,) = other.cluster.parts
    assert part.edits == ((0, (0,), {"x": 9}),)


def test_a_delay_hands_on_what_was_put_in_place_of_its_value() -> None:
    with InlinePlatform() as platform:
        execution = platform.run(handed_on, {"seconds": "soon", "n": 1})
        assert execution.wait(30) == "failed"
        (letter,) = platform.dead_letters()
        assert letter.record.error["code"] == "delay_time"
        assert letter.replay({"seconds": 0, "value": [5, 6]}).result(30) == [5, 6]
