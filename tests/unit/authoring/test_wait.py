"""How waits for events and for decisions are written, what their documents say, and what `.local()` does in their place."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from wfplatform import answering, approval, node, unmapped, wait_for_event, workflow
from wfplatform.authoring.document import from_document
from wfplatform.errors import DefinitionError, NodeError


class Release(BaseModel):
    version: str
    copies: int = 1


@node
def pair(x: Any, y: Any) -> list[Any]:
    return [x, y]


@workflow
def sale(order: int) -> Any:
    paid = wait_for_event("paid", match={"order": order}, timeout_s=timedelta(hours=1), on_timeout="continue")
    decision = approval("Ship it?", form=Release, details=paid, assignees=["ann"], timeout_s=60, name="ship")
    return pair(paid, decision["form"])


@workflow
def lenient() -> Any:
    return approval("Go on?", on_reject="continue")


@workflow
def strict() -> Any:
    return approval("Go on?")


def test_the_document_says_what_is_waited_for() -> None:
    definition = from_document(sale.definition)
    paid, ship, _ = definition.graph.nodes
    assert (paid.id, paid.type, paid.config) == (
        "paid", "event", {"event": "paid", "on_timeout": "continue", "timeout_s": 3600.0},
    )  # fmt: skip
    assert (ship.id, ship.type, ship.config["assignees"], ship.config["on_reject"]) == (
        "ship",
        "approval",
        ["ann"],
        "fail",
    )
    form: Any = ship.config["form"]
    assert form["required"] == ["version"]
    assert sale.definition["nodes"][0]["id"] == "paid"


def test_local_takes_answers_in_place_of_people() -> None:
    with answering(paid={"order": 1}, ship={"version": "2"}):
        assert sale.local(order=1) == [{"order": 1}, {"version": "2"}]
    with answering(approval=False):
        assert lenient.local()["approved"] is False
        with pytest.raises(NodeError, match="it was rejected"):
            strict.local()
    with answering(approval=True):
        found = strict.local()
    assert (found["approved"], found["form"]) == (True, None)


def test_local_without_an_answer_says_how_to_give_one() -> None:
    with pytest.raises(NodeError, match="waits for an event, which nobody brings") as caught:
        sale.local(order=1)
    assert "with answering(paid=...)" in str(caught.value)


@pytest.mark.parametrize(
    ("write", "code"),
    [
        (lambda: wait_for_event(" "), "event_name"),
        (lambda: wait_for_event("e", timeout_s=0), "wait_timeout"),
        (lambda: wait_for_event("e", timeout_s=float("nan")), "wait_timeout"),
        (lambda: wait_for_event("e", on_timeout="approve"), "on_timeout"),
        (lambda: wait_for_event("e", match=pair.map([1], unmapped(2))), "wait_mapped"),
        (lambda: approval(""), "approval_title"),
        (lambda: approval("?", on_timeout="continue"), "on_timeout"),
        (lambda: approval("?", on_reject="approve"), "on_reject"),
        (lambda: approval("?", assignees=[1]), "approval_assignees"),  # type: ignore[list-item]
        (lambda: approval("?", form=object()), "parameter_type"),
    ],
)
def test_what_does_not_fit_is_refused_where_it_is_written(write: Any, code: str) -> None:
    flow = workflow(name="flow")(write)
    with pytest.raises(DefinitionError) as caught:
        assert flow.definition
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"event": None}, "needs `event` in its configuration"),
        ({"timeout_s": -1}, "Expected seconds above 0, got -1"),
        ({"on_timeout": "approve"}, "Expected one of fail, continue, got 'approve'"),
    ],
)
def test_a_drawn_event_is_checked(config: dict[str, Any], message: str) -> None:
    document = {
        "schemaVersion": 1, "name": "drawn",
        "nodes": [{"id": "paid", "type": "event", "data": {"config": {"event": "paid", **config}}}],
    }  # fmt: skip
    with pytest.raises(DefinitionError, match=message):
        from_document(document)
