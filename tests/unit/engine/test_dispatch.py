"""Executions that begin together share one plan, under names of their own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.engine.rig import Rig
from wfplatform import node, workflow
from wfplatform.compiler.payload import Part
from wfplatform.compiler.plan import plan
from wfplatform.compiler.segment import Limits, Member, Planned, Segment
from wfplatform.core.execution import Span
from wfplatform.core.policy import Lane
from wfplatform.engine.options import EngineOptions


@node
def same(x: Any) -> Any:
    return x


@node(limit=("door", 1))
def narrow(x: Any) -> Any:
    return x


@workflow
def two(x: int) -> Any:
    """Two nodes, in two segments if each holds one element."""
    return same(same(x))


@workflow
def limited(x: int) -> Any:
    """Nodes that wait for each other across the execution."""
    return [narrow(x), narrow(x)]


@workflow
def mapped(xs: list[int]) -> Any:
    """As many elements as a parameter says."""
    return same.map(xs)


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[Planned]:
    """Every plan that is made, in order."""
    made: list[Planned] = []

    def counted(*args: Any, **more: Any) -> Planned:
        made.append(plan(*args, **more))
        return made[-1]

    monkeypatch.setattr("wfplatform.engine.dispatch.plan", counted)
    return made


def shape(part: Part) -> Any:
    """What a part does, whoever's it is."""
    return [(index, span, attempt) for index, span, attempt in part.members]


def test_executions_of_one_version_that_begin_together_are_planned_once(plans: list[Planned]) -> None:
    rig = Rig(options=EngineOptions(limits=Limits(most=1, most_unknown=1)))
    version = rig.publish(two)
    executions = [rig.start(version, x=x) for x in range(5)]
    rig.turn()
    assert len(plans) == 1
    parts = rig.cluster.parts
    assert len(parts) == 10
    assert len({part.segment for part in parts}) == 10
    by_execution = {one: [part for part in parts if part.execution == one] for one in executions}
    assert {str([shape(part) for part in own]) for own in by_execution.values()} == {
        str([shape(part) for part in parts if part.execution == executions[0]])
    }
    assert [own[0].parameters for own in by_execution.values()] == [{"x": x} for x in range(5)]
    flying = [rig.engine.live[one].flights for one in executions]
    assert [sorted(flights) for flights in flying] == [
        sorted(part.segment for part in by_execution[one]) for one in executions
    ]
    # Dask tasks of the second node read those of the first of the same execution.
    keys = {task.key for task in rig.cluster.tasks}
    assert all(need in keys for task in rig.cluster.tasks for need in task.needs)
    rig.turn(*map(rig.done, parts))
    assert {rig.record(one).state for one in executions} == {"completed"}


def test_what_was_learned_in_the_meantime_is_used_for_those_that_come_later(plans: list[Planned]) -> None:
    rig = Rig()
    version = rig.publish(two)
    rig.start(version, x=1)
    rig.turn()
    rig.turn(*map(rig.done, rig.cluster.parts))
    rig.start(version, x=2)
    rig.turn()
    assert len(plans) == 2
    assert plans[0].segments[0].expected_s < plans[1].segments[0].expected_s


def test_those_that_differ_are_planned_each_for_itself(plans: list[Planned]) -> None:
    rig = Rig()
    for version, given in ((rig.publish(mapped), "xs"), (rig.publish(limited), "x")):
        plans.clear()
        for _ in range(3):
            rig.start(version, **{given: [1, 2] if given == "xs" else 1})
        rig.turn()
        assert len(plans) == 3


def test_one_that_has_begun_before_gets_a_plan_of_its_own(plans: list[Planned]) -> None:
    rig = Rig(options=EngineOptions(limits=Limits(most=1, most_unknown=1)))
    version = rig.publish(two)
    first = rig.start(version, x=1)
    rig.turn()
    rig.turn(rig.done(rig.cluster.parts[0]))
    rig.engine.release_all()
    other = Rig(store=rig.store, time=rig.time)
    second = other.start(version, x=2)
    plans.clear()
    other.turn()
    assert len(plans) == 2
    sizes = {part.execution: sum(len(span) for _, span, _ in part.members) for part in other.cluster.parts}
    assert sizes == {first: 1, second: 2}


def test_a_renamed_plan_differs_in_names_alone() -> None:
    first = Segment(id="a", members=(Member(Span.whole("n"), 1),), lane=Lane.IO, priority=3, expected_s=0.5)
    second = Segment(
        id="b",
        members=(Member(Span("m", (), 0, 2), 1),),
        needs=frozenset({"a"}),
        known=(("k", ()),),
        resources={"gpu": 1.0},
        solo=True,
        announce=True,
    )
    names = iter(["x", "y"])
    renamed = Planned(segments=(first, second), actions=(("d", ()),)).renamed(lambda: next(names))
    assert [one.id for one in renamed.segments] == ["x", "y"]
    assert renamed.segments[1].needs == frozenset({"x"})
    assert renamed.actions == (("d", ()),)
    for before, after in zip((first, second), renamed.segments, strict=True):
        for field in Segment.__slots__:
            if field not in ("id", "needs"):
                assert getattr(before, field) == getattr(after, field), field
