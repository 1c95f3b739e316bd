"""What nothing waits for is committed together with what comes a moment later; what is urgent, at once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.engine.rig import Rig, same, wide
from wfplatform import delay, workflow
from wfplatform.compiler.segment import Limits
from wfplatform.core.event import Recorded
from wfplatform.core.execution import NodeState, Run
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.core.ports import NewCommand, NodeRecord
from wfplatform.engine.batch import Batch
from wfplatform.engine.options import EngineOptions
from wfplatform.engine.timers import Timers

LINGER_S = 0.03
ONE_EACH = Limits(most=1, most_unknown=1)


@workflow
def later() -> Any:
    """A wait behind a node."""
    return delay(seconds=60, after=same(1))


@pytest.fixture
def rig() -> Rig:
    return Rig(options=EngineOptions(limits=ONE_EACH, linger_s=LINGER_S))


def begun(rig: Rig) -> None:
    """Everything has begun, and all that is known of it is written."""
    rig.turn()
    rig.time.move(1)
    rig.turn(look=False)
    assert rig.engine.patience_s is None


def lingers(rig: Rig) -> bool:
    """Whether there is more to commit soon than counters, which are written twice a second."""
    patience_s = rig.engine.patience_s
    return patience_s is not None and patience_s <= LINGER_S


def test_outcomes_for_which_nothing_waits_are_committed_together(rig: Rig) -> None:
    execution = rig.start(rig.publish(wide), xs=[1, 2, 3, 4])
    begun(rig)
    parts = rig.cluster.parts
    assert len(parts) == 4
    before = len(rig.store.commits)
    assert rig.engine.patience_s is None
    rig.turn(rig.done(parts[0]), look=False)
    assert rig.engine.patience_s == pytest.approx(LINGER_S)
    rig.time.move(LINGER_S / 3)
    rig.turn(rig.done(parts[1]), look=False)
    assert rig.engine.patience_s == pytest.approx(LINGER_S * 2 / 3)  # the first one decides when
    assert (len(rig.store.commits), rig.cluster.acknowledged) == (before, 0)
    rig.time.move(LINGER_S)
    rig.turn(look=False)
    assert len(rig.store.commits) == before + 1
    assert [len(commit.nodes) for commit in rig.store.commits[before:]] == [2]
    assert rig.cluster.acknowledged == 2
    assert not lingers(rig)
    rig.turn(rig.done(parts[2]), look=False)
    assert rig.engine.patience_s == pytest.approx(LINGER_S)  # measured anew
    rig.turn(rig.done(parts[3]), look=False)
    assert rig.record(execution).state == "completed"  # its end is urgent, and takes along what lingered
    assert [len(commit.nodes) for commit in rig.store.commits[before:]] == [2, 2]
    assert rig.cluster.acknowledged == 4
    assert rig.engine.patience_s is None


def test_what_makes_something_ready_is_committed_at_once(rig: Rig) -> None:
    rig.start(rig.publish(later))
    rig.turn()
    before = len(rig.store.commits)
    rig.turn(rig.done(rig.cluster.parts[0]), look=False)
    assert len(rig.store.commits) > before
    assert rig.engine.patience_s is None
    assert rig.engine.next_timer_at is not None  # the wait has begun


def test_a_command_is_followed_at_once_and_takes_along_what_lingered(rig: Rig) -> None:
    execution = rig.start(rig.publish(wide), xs=[1, 2, 3])
    rig.turn()
    rig.turn(rig.done(rig.cluster.parts[0]), look=False)
    before = len(rig.store.commits)
    rig.catalog.command(DEFAULT_TENANT, execution, "cancel")
    rig.turn()
    assert rig.record(execution).state == "cancelled"
    assert len(rig.store.commits) == before + 1


def test_an_engine_that_does_not_linger_commits_every_turn() -> None:
    rig = Rig(options=EngineOptions(limits=ONE_EACH))
    rig.start(rig.publish(wide), xs=[1, 2, 3])
    begun(rig)
    before = len(rig.store.commits)
    for part in rig.cluster.parts[:2]:
        rig.turn(rig.done(part), look=False)
        assert not lingers(rig)
    assert [len(commit.nodes) for commit in rig.store.commits[before:]] == [1, 1]


def test_what_makes_a_batch_urgent(rig: Rig) -> None:
    execution = rig.start(rig.publish(wide), xs=[1])
    rig.turn()
    live = rig.engine.live[execution]
    record = NodeRecord(execution, 1, Recorded("same", (0,), Run(NodeState.COMPLETED, 1), None, True))
    command = NewCommand(tenant_id=DEFAULT_TENANT, execution_id=execution, kind="cancel")

    def batch(**contents: Any) -> Batch:
        made = Batch(Timers())
        for name, value in contents.items():
            setattr(made, name, value)
        return made

    assert batch().urgent  # nothing is to be committed: nothing to linger for
    assert not batch(records=[record]).urgent
    assert not batch(records=[record], changed={execution: live}).urgent
    for name, value in {
        "to_plan": {execution: live},
        "to_cancel": [live],
        "finished": [live],
        "children": [(DEFAULT_TENANT, None)],
        "commands": [command],
        "commands_done": [1],
    }.items():
        assert batch(records=[record], **{name: value}).urgent, name


def test_what_lingers_is_committed_before_executions_are_given_back(rig: Rig) -> None:
    execution = rig.start(rig.publish(wide), xs=[1, 2])
    rig.turn()
    rig.turn(rig.done(rig.cluster.parts[0]), look=False)
    before = len(rig.store.commits)
    rig.engine.release_all()
    first, second = rig.store.commits[before:]
    assert [record.recorded.run.state for record in first.nodes] == ["completed"]
    assert list(second.released) == [execution]
