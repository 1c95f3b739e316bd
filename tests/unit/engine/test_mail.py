"""Events and decisions: who gets a signal, what is kept, when nobody waits any more, and what a decision leaves."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tests.unit.engine.rig import Rig, same
from wfplatform import approval, each, wait_for_event, workflow
from wfplatform.core.execution import NodeState, Signal
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.engine.mail import fits

WAIT_S = 60.0


@workflow
def sale(order: int) -> Any:
    return wait_for_event("paid", match={"order": order}, timeout_s=WAIT_S)


@workflow
def twice() -> Any:
    first = wait_for_event("step", name="first")
    return first, wait_for_event("step", name="second", after=first)


@workflow
def patient() -> Any:
    return wait_for_event("step", timeout_s=WAIT_S, on_timeout="continue")


@workflow
def later(x: int) -> Any:
    return wait_for_event("step", after=same(x))


@workflow
def over_items() -> Any:
    return same.map(each(wait_for_event("items")))


@workflow
def gate(x: int) -> Any:
    return approval("Go on?", details={"x": x}, assignees=["ann", "bob"], timeout_s=WAIT_S)


@workflow
def lenient() -> Any:
    return approval("Go on?", on_reject="continue", timeout_s=WAIT_S, on_timeout="reject")


@workflow
def sure() -> Any:
    return approval("Go on?", timeout_s=WAIT_S, on_timeout="approve")


def begun(rig: Rig, flow: Any, **parameters: Any) -> UUID:
    execution = rig.start(rig.publish(flow), **parameters)
    rig.turn()
    return execution


def tell(rig: Rig, execution: UUID, event: str, data: Any = None) -> None:
    rig.catalog.command(DEFAULT_TENANT, execution, "signal", {"event": event, "data": data}, created_by="ann")
    rig.turn()


def decide(rig: Rig, execution: UUID, node: str = "approval", **more: Any) -> None:
    payload = {"node": node, "element": [], "approved": True, "form": None, "comment": "", **more}
    rig.catalog.command(DEFAULT_TENANT, execution, "decide", payload, created_by="ann")
    rig.turn()


def value(rig: Rig, execution: UUID, node: str) -> Any:
    stored = rig.store.contents.elements[execution][node, ()]
    assert stored.run.state is NodeState.COMPLETED, stored
    assert stored.outcome is not None
    return (stored.outcome.outputs or {})["result"]["value"]


# -- signals


def test_what_waits_says_for_what_and_until_when() -> None:
    rig = Rig()
    execution = begun(rig, sale, order=7)
    record = rig.record(execution)
    assert record.state == "waiting"
    assert record.waiting_for == 'paid: waits for the event paid with {"order": 7} until 2026-01-02 00:01:00 UTC'


def test_it_goes_on_with_the_data_of_a_signal_that_fits_and_with_no_other() -> None:
    rig = Rig()
    execution = begun(rig, sale, order=7)
    for event, data in (("sent", {"order": 7}), ("paid", {"order": 8}), ("paid", None)):
        tell(rig, execution, event, data)
        assert rig.record(execution).state == "waiting"
    tell(rig, execution, "paid", {"order": 7, "amount": 1.5})
    assert rig.record(execution).state == "completed"
    assert value(rig, execution, "paid") == {"order": 7, "amount": 1.5}


def test_each_signal_counts_for_one_wait_and_those_that_come_early_are_kept_in_their_order() -> None:
    rig = Rig()
    execution = rig.start(rig.publish(twice))
    for number in range(2):
        rig.catalog.command(DEFAULT_TENANT, execution, "signal", {"event": "step", "data": number}, created_by="ann")
    rig.turn()
    assert rig.record(execution).state == "completed"
    assert [value(rig, execution, node) for node in ("first", "second")] == [0, 1]


def test_what_is_kept_survives_its_engine() -> None:
    rig = Rig()
    execution = begun(rig, later, x=1)
    tell(rig, execution, "step", 5)
    rig.store.leave(rig.engine.engine_id)
    other = Rig(store=rig.store, time=rig.time)
    other.turn()
    other.turn(other.done(other.cluster.parts[0]))
    assert other.record(execution).state == "completed"
    assert value(other, execution, "step") == 5
    assert other.store.contents.mailboxes[execution] == ()


def test_a_signal_wakes_one_that_is_asleep() -> None:
    rig = Rig()
    execution = begun(rig, sale, order=7)
    for _ in range(3):
        rig.time.move(2)
        rig.turn(look=False)
    assert execution in rig.store.contents.asleep
    tell(rig, execution, "paid", {"order": 7})
    assert rig.record(execution).state == "completed"


def test_what_is_mapped_over_its_data_has_as_many_elements() -> None:
    rig = Rig()
    execution = begun(rig, over_items)
    tell(rig, execution, "items", [1, 2, 3])
    assert sum(len(list(span.elements())) for part in rig.cluster.parts for _, span, _ in part.members) == 3


def test_after_its_time_it_fails_and_says_so() -> None:
    rig = Rig()
    execution = begun(rig, sale, order=7)
    rig.time.move(WAIT_S + 1)
    rig.turn()
    error = rig.error(execution)
    assert (error["code"], error["message"]) == ("event_timeout", "The event paid did not come within 60 s.")


def test_or_goes_on_with_nothing_if_told_so() -> None:
    rig = Rig()
    execution = begun(rig, patient)
    rig.time.move(WAIT_S + 1)
    rig.turn()
    assert value(rig, execution, "step") is None


@pytest.mark.parametrize(
    ("match", "data", "expected"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": {"b": [1]}}, {"a": {"b": [1], "c": 0}}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": None}, {}, False),
        ({"a": 1}, [1], False),
        ("x", "x", True),
        ({}, {"a": 1}, True),
    ],
)
def test_a_match_is_what_must_stand_in_the_data(match: Any, data: Any, *, expected: bool) -> None:
    awaits = {"kind": "event", "event": "e", "match": match}
    assert fits(awaits, Signal(1, "e", data)) is expected
    assert not fits(awaits, Signal(1, "f", data))


# -- decisions


def test_a_decision_is_waited_for_with_all_that_people_need() -> None:
    rig = Rig()
    execution = begun(rig, gate, x=3)
    assert rig.record(execution).waiting_for == (
        "approval: waits for ann or bob to decide: Go on? until 2026-01-02 00:01:00 UTC"
    )
    awaits = rig.store.contents.elements[execution]["approval", ()].run.awaits
    assert awaits == {
        "kind": "approval", "title": "Go on?", "assignees": ["ann", "bob"], "form": None, "details": {"x": 3},
    }  # fmt: skip


def test_it_goes_on_when_it_is_approved_and_a_second_decision_changes_nothing() -> None:
    rig = Rig()
    execution = begun(rig, gate, x=3)
    decide(rig, execution, comment="fine", form=4)
    assert rig.record(execution).state == "completed"
    assert value(rig, execution, "approval") == {
        "approved": True, "by": "ann", "at": "2026-01-02T00:00:00.000+00:00", "comment": "fine", "form": 4,
    }  # fmt: skip


def test_it_fails_when_it_is_rejected_and_a_retry_asks_again() -> None:
    rig = Rig()
    execution = begun(rig, gate, x=3)
    decide(rig, execution, approved=False, comment="too early")
    error = rig.error(execution)
    assert (error["code"], error["message"]) == ("approval_rejected", "ann rejected it: too early.")
    rig.catalog.command(DEFAULT_TENANT, execution, "retry", created_by="ann")
    rig.turn()
    assert rig.record(execution).state == "waiting"
    decide(rig, execution)
    assert rig.record(execution).state == "completed"


def test_a_rejection_is_an_answer_like_any_other_if_the_workflow_says_so() -> None:
    rig = Rig()
    execution = begun(rig, lenient)
    decide(rig, execution, approved=False)
    assert value(rig, execution, "approval")["approved"] is False


@pytest.mark.parametrize(("flow", "approved"), [(lenient, False), (sure, True)], ids=["rejects", "approves"])
def test_its_time_decides_if_the_workflow_says_so(flow: Any, *, approved: bool) -> None:
    rig = Rig()
    execution = begun(rig, flow)
    rig.time.move(WAIT_S + 1)
    rig.turn()
    found = value(rig, execution, "approval")
    assert (found["approved"], found["by"], found["comment"]) == (approved, "", "timeout")


def test_a_decision_that_is_not_waited_for_is_done_and_changes_nothing() -> None:
    rig = Rig()
    execution = begun(rig, sale, order=1)
    for node in ("approval", "paid"):
        decide(rig, execution, node)
    assert rig.record(execution).state == "waiting"
    assert all(stored.done for stored in rig.store.contents.commands.values())


def test_a_cancelled_one_waits_no_more() -> None:
    rig = Rig()
    execution = begun(rig, gate, x=1)
    rig.catalog.command(DEFAULT_TENANT, execution, "cancel", created_by="ann")
    rig.turn()
    assert rig.record(execution).state == "cancelled"
    assert rig.store.contents.elements[execution]["approval", ()].run.awaits is None
