"""What every store keeps of elements that wait for somebody, and of signals that nobody has waited for so far."""

from __future__ import annotations

from typing import Any

from tests.contract.steps import asked, change, claimed, commit, engine, standing
from wfplatform.core.execution import NodeState, Run, Signal
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.core.ports import Asleep

QUESTION = {
    "kind": "approval",
    "title": "Go on?",
    "assignees": ["ann"],
    "form": {"type": "integer"},
    "details": {"x": 1.5},
}
EVENT = {"kind": "event", "event": "paid", "match": {"order": 7}}


def waits(awaits: dict[str, Any], reason: str = "waits") -> Run:
    return Run(NodeState.WAITING, 1, reason=reason, awaits=awaits)


def test_what_waits_for_somebody_is_found_as_long_as_it_waits(subject: Any) -> None:
    owner = engine(subject)
    claim = claimed(subject, owner)
    commit(subject, owner, claim, standing("gate", waits(QUESTION, "waits for ann"), fresh=True))
    commit(subject, owner, claim, standing("paid", waits(EVENT), fresh=True), standing("b", Run(NodeState.PENDING)))
    (found,) = subject.reader.awaited(DEFAULT_TENANT, "approval")
    assert (found.execution_id, found.workflow_name, found.node, found.element) == (claim.id, "delays", "gate", ())
    assert (found.awaits, found.reason, found.due_at) == (QUESTION, "waits for ann", None)
    assert [one.node for one in subject.reader.awaited(DEFAULT_TENANT, "event", claim.id)] == ["paid"]
    assert list(subject.reader.awaited(DEFAULT_TENANT, "event", asked(subject)[0].id)) == []
    commit(subject, owner, claim, standing("gate", Run(NodeState.COMPLETED, 1)))
    assert list(subject.reader.awaited(DEFAULT_TENANT, "approval")) == []


def test_who_takes_it_up_knows_for_what_it_waits_and_what_was_told(subject: Any) -> None:
    owner, other = engine(subject), engine(subject)
    claim = claimed(subject, owner)
    mailbox = (Signal(3, "paid", {"a": [1, 2.5, "é", None]}, "ann"), Signal(4, "sent", None))
    commit(
        subject, owner, claim, standing("paid", waits(EVENT), fresh=True),
        executions=[change(claim, mailbox=mailbox)], asleep=[Asleep(claim.id, claim.epoch, None)],
    )  # fmt: skip
    subject.catalog.command(DEFAULT_TENANT, claim.id, "signal", {"event": "paid", "data": 1})
    (taken,) = subject.store.look(other, claims=1).claims
    assert taken.mailbox == mailbox
    assert [(run.node, run.run.awaits) for run in taken.runs] == [("paid", EVENT)]
    commit(subject, other, taken, executions=[change(taken)])
    subject.store.leave(other)
    (again,) = subject.store.look(owner, claims=1).claims
    assert again.mailbox == ()
