"""What is refused before anything is told to an execution, and what its decisions are told by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from tests.integration.running import until
from wfplatform import approval, wait_for_event, workflow
from wfplatform.bootstrap.inline import InlinePlatform
from wfplatform.errors import ConflictError, NotFoundError, ParameterError, UserError


class Release(BaseModel):
    version: str
    copies: int = 1


@workflow
def release() -> Any:
    return approval("Release it?", form=Release, name="gate")["form"]


@workflow
def plain() -> Any:
    return approval("Go on?")["approved"]


@workflow
def two() -> Any:
    return approval("First?", name="first"), approval("Second?", name="second")


@workflow
def for_ann() -> Any:
    return approval("Go on?", assignees=["ann"])


@workflow
def told() -> Any:
    return wait_for_event("paid")


@pytest.fixture(scope="module")
def platform() -> Iterator[InlinePlatform]:
    with InlinePlatform() as made:
        yield made


def waiting(platform: InlinePlatform, flow: Any) -> Any:
    execution = platform.run(flow, {})
    until(lambda: execution.state == "waiting", "the wait")
    return execution


def test_a_form_is_checked_and_then_handed_on(platform: InlinePlatform) -> None:
    execution = waiting(platform, release)
    for given, complaint in (
        (None, "missing"),
        ({"copies": 2}, "version"),
        ({"version": "1", "copies": "x"}, "expected a whole number"),
    ):
        with pytest.raises(ParameterError, match=complaint):
            execution.approve(form=given)
    execution.approve(form={"version": "1", "copies": 3})
    assert execution.result() == {"version": "1", "copies": 3}


def test_one_without_a_form_takes_none(platform: InlinePlatform) -> None:
    execution = waiting(platform, plain)
    with pytest.raises(UserError, match="has no form to fill in"):
        execution.approve(form=1)
    execution.approve()
    assert execution.result() is True
    with pytest.raises(NotFoundError, match="waits for a decision"):
        execution.approve()


def test_several_must_be_named(platform: InlinePlatform) -> None:
    execution = waiting(platform, two)
    assert [one.node for one in platform.approvals() if one.execution_id == execution.id] == ["first", "second"]
    with pytest.raises(ConflictError, match="first, second"):
        execution.approve()
    with pytest.raises(NotFoundError, match="Waiting: first, second"):
        execution.approve("third")
    execution.approve("second")
    execution.approve("first")
    assert [one["approved"] for one in execution.result()] == [True, True]


def test_only_those_it_is_assigned_to_decide(platform: InlinePlatform) -> None:
    execution = waiting(platform, for_ann)
    with pytest.raises(ConflictError, match="is for ann to decide; you are"):
        execution.reject()
    execution.cancel()


def test_an_event_must_have_a_name_and_plain_data(platform: InlinePlatform) -> None:
    execution = waiting(platform, told)
    with pytest.raises(UserError, match="must not be blank"):
        execution.signal(" ")
    with pytest.raises(UserError, match="must be plain JSON"):
        execution.signal("paid", {"at": float("nan")})
    execution.signal("paid", {"amount": 3})
    assert execution.result() == {"amount": 3}
    with pytest.raises(ConflictError, match="has ended"):
        execution.signal("paid")


def test_what_is_paused_does_not_go_on_before_it_is_resumed(platform: InlinePlatform) -> None:
    execution = waiting(platform, told)
    execution.pause()
    until(lambda: execution.record.waiting_for == "paused", "the pause")
    execution.resume()
    execution.signal("paid", 1)
    assert execution.result() == 1
