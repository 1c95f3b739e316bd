"""Effects: committed as running before they run, over before others begin that need them, and asked about when they were lost."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tests.unit.engine.rig import Away, Rig, Time
from wfplatform import node, workflow
from wfplatform.core.execution import NodeState
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.errors import UnreachableError


@node
def before(x: int) -> int:
    return x


@node(effect=True)
def pay(x: int) -> int:
    return x


@node(effect="ask")
def launch(x: int) -> int:
    return x


@node
def after(x: int) -> int:
    return x


@workflow
def pays(x: int) -> Any:
    return after(pay(before(x)))


@workflow
def launches(x: int) -> Any:
    return after(launch(before(x)))


@workflow
def pays_many(xs: list[int]) -> Any:
    return pay.map(xs)


def rigged() -> tuple[Rig, Away]:
    time = Time()
    store = Away(time)
    return Rig(store=store, time=time), store


def running(rig: Rig, flow: Any) -> UUID:
    """An execution whose effect runs."""
    execution = rig.start(rig.publish(flow), x=1)
    rig.turn()
    rig.turn(rig.done(rig.cluster.parts[-1]))
    return execution


def lost(rig: Rig, execution: UUID) -> Rig:
    """The engine that takes over what this one leaves."""
    rig.store.leave(rig.engine.engine_id)
    other = Rig(store=rig.store, time=rig.time)
    other.turn()
    assert rig.record(execution).engine_id == other.engine.engine_id
    return other


def run_of(rig: Rig, execution: UUID, name: str) -> Any:
    return rig.store.contents.elements[execution][name, ()].run


def names(rig: Rig, flow: Any) -> list[str]:
    return [flow.graph.nodes[index].id for part in rig.cluster.parts for index, _, _ in part.members]


def test_it_is_handed_out_only_when_it_is_committed_that_it_runs() -> None:
    rig, store = rigged()
    execution = rig.start(rig.publish(pays), x=1)
    rig.turn()
    assert names(rig, pays) == ["before"]
    outcome = rig.done(rig.cluster.parts[0])
    store.is_away = True
    for reports in ([outcome], [outcome]):
        with pytest.raises(UnreachableError):
            rig.turn(*reports)
    assert names(rig, pays) == ["before"]
    store.is_away = False
    rig.turn()
    assert names(rig, pays) == ["before", "pay"]
    run = run_of(rig, execution, "pay")
    assert (run.state, run.attempt) == (NodeState.RUNNING, 1)
    order = [(record.recorded.node, record.recorded.state) for commit in store.commits for record in commit.nodes]
    assert order.index(("before", NodeState.COMPLETED)) < order.index(("pay", NodeState.RUNNING))


def test_what_needs_it_begins_when_its_end_is_committed() -> None:
    rig, store = rigged()
    execution = running(rig, pays)
    outcome = rig.done(rig.cluster.parts[-1])
    store.is_away = True
    with pytest.raises(UnreachableError):
        rig.turn(outcome)
    assert names(rig, pays) == ["before", "pay"]
    store.is_away = False
    rig.turn()
    assert names(rig, pays) == ["before", "pay", "after"]
    rig.turn(rig.done(rig.cluster.parts[-1]))
    assert rig.record(execution).state == "completed"


def test_many_are_committed_together() -> None:
    rig = Rig()
    rig.start(rig.publish(pays_many), xs=list(range(50)))
    rig.turn()
    assert len(rig.cluster.parts) == 50, "each is a segment of its own"
    intents = [commit for commit in rig.store.commits if len(commit.nodes) == 50]
    assert len(intents) == 1


def test_lost_while_it_ran_it_runs_again() -> None:
    rig = Rig()
    execution = running(rig, pays)
    other = lost(rig, execution)
    (part,) = other.cluster.parts
    assert [attempt for _, _, attempt in part.members] == [2]
    other.turn(other.done(part))
    other.turn(other.done(other.cluster.parts[-1]))
    assert other.record(execution).state == "completed"
    tries = [(key[1], key[3], record.state) for key, record in other.store.contents.attempts.items()]
    assert tries == [("pay", 1, "lost")]


@pytest.mark.parametrize("approved", [True, False])
def test_or_a_person_is_asked(*, approved: bool) -> None:
    rig = Rig()
    execution = running(rig, launches)
    other = lost(rig, execution)
    assert other.cluster.parts == []
    record = other.record(execution)
    assert record.state == "waiting"
    assert "nobody knows whether it happened" in record.waiting_for
    payload = {"node": "launch", "element": [], "approved": approved, "form": None, "comment": ""}
    other.catalog.command(DEFAULT_TENANT, execution, "decide", payload, created_by="ann")
    other.turn()
    if approved:
        (part,) = other.cluster.parts
        assert [attempt for _, _, attempt in part.members] == [2]
    else:
        assert other.error(execution)["code"] == "effect_unknown"
    assert [(key[1], key[3], one.state) for key, one in other.store.contents.attempts.items()] == [
        ("launch", 1, "lost")
    ]


def test_one_that_was_to_run_does_so_although_the_execution_is_paused() -> None:
    rig, store = rigged()
    execution = rig.start(rig.publish(pays), x=1)
    rig.turn()
    outcome = rig.done(rig.cluster.parts[0])
    real, calls = store.outputs, []

    def refusing(wanted: Any) -> Any:
        calls.append(wanted)
        raise UnreachableError("store_unreachable", "It does not answer.")

    store.outputs = refusing  # type: ignore[method-assign]
    with pytest.raises(UnreachableError):
        rig.turn(outcome)
    assert run_of(rig, execution, "pay").state is NodeState.RUNNING
    store.outputs = real  # type: ignore[method-assign]
    rig.catalog.command(DEFAULT_TENANT, execution, "pause", created_by="ann")
    rig.turn()
    assert names(rig, pays) == ["before", "pay"], "it counts as running, so it is finished"
    assert len(calls) == 1
