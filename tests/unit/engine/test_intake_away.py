"""While the cluster is away nothing is handed out, and what workers said in the meantime is not done again."""

from __future__ import annotations

from uuid import UUID

import pytest

from tests.unit.engine.rig import Rig, wide
from wfplatform.compiler.payload import Part
from wfplatform.compiler.segment import Limits
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.engine.cluster import ClusterAway, ClusterBack, TaskLost
from wfplatform.engine.options import EngineOptions
from wfplatform.engine.testing.memory_catalog import MemoryReader


@pytest.fixture
def rig() -> Rig:
    return Rig(options=EngineOptions(limits=Limits(most=1, most_unknown=1)))


def elements(parts: list[Part]) -> list[tuple[int, ...]]:
    return [element for part in parts for _, span, _ in part.members for element in span.elements()]


def states(rig: Rig, execution: UUID) -> dict[tuple[int, ...], str]:
    page = MemoryReader(rig.store).nodes(DEFAULT_TENANT, execution)
    return {one.element: str(one.state) for one in page.items}


def losses(rig: Rig) -> list[TaskLost]:
    return [TaskLost(task.key, "", "The scheduler was lost.", True) for task in rig.cluster.tasks]


def test_nothing_is_handed_out_until_it_is_back(rig: Rig) -> None:
    version = rig.publish(wide)
    rig.turn(ClusterAway())
    rig.start(version, xs=[1, 2])
    rig.turn()
    assert rig.cluster.tasks == []
    rig.turn(ClusterBack())
    assert elements(rig.cluster.parts) == [(0,), (1,)]


def test_what_was_said_in_the_meantime_is_not_done_again(rig: Rig) -> None:
    execution = rig.start(rig.publish(wide), xs=[1, 2])
    rig.turn()
    first, _ = rig.cluster.parts
    lost = losses(rig)
    rig.cluster.tasks.clear()
    rig.turn(ClusterAway(), *lost)
    assert rig.cluster.tasks == []
    rig.turn(rig.done(first), ClusterBack())
    assert elements(rig.cluster.parts) == [(1,)]
    assert states(rig, execution) == {(0,): "completed"}


def test_an_attempt_that_was_given_up_is_refused_once_another_may_have_begun(rig: Rig) -> None:
    execution = rig.start(rig.publish(wide), xs=[1])
    rig.turn()
    (old,) = rig.cluster.parts
    lost = losses(rig)
    rig.cluster.tasks.clear()
    rig.turn(*lost)
    (new,) = rig.cluster.parts
    rig.turn(rig.done(old))
    assert states(rig, execution) == {}
    rig.turn(rig.done(new))
    assert states(rig, execution) == {(0,): "completed"}
