"""Loops."""

# ruff: noqa: B018  # drawing is what is tested

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfplatform import DefinitionError, NodeError, Retry, loop, node, workflow
from wfplatform.core.graph import Literal, ParameterRef


@node(retry=Retry(attempts=2), timeout_s=7)
def halve(n: int, by: int = 2) -> int:
    return n // by


def is_large(n: int) -> bool:
    return n > 10


def test_a_loop_is_one_node_with_the_options_of_its_body() -> None:
    @workflow
    def halved(start: int) -> Any:
        return loop(halve, start, while_=is_large, limit=9, by=3)

    (only,) = halved.graph.nodes
    assert (only.id, only.type) == ("halve", "loop")
    assert only.inputs == {"state": ParameterRef("start"), "by": Literal(3)}
    assert only.config == {"function": f"{__name__}:halve", "while": f"{__name__}:is_large", "limit": 9}
    assert (only.policy.attempts, only.policy.timeout_s) == (2, 7)
    assert halved.traced.functions[f"{__name__}:halve"] is halve.function


@given(st.integers(0, 10_000))
def test_the_condition_is_asked_before_each_turn(start: int) -> None:
    expected = start
    while expected > 10:
        expected //= 2
    assert workflow(lambda: loop(halve, start, while_=is_large)).local() == expected


def test_async_bodies_and_conditions() -> None:
    async def more(n: int) -> bool:
        return n < 3

    async def body(n: int) -> int:
        return n + 1

    assert workflow(lambda: loop(body, 0, while_=more)).local() == 3


def test_a_loop_that_reaches_its_limit_fails() -> None:
    def up(n: int) -> int:
        return n + 1

    assert workflow(lambda: loop(up, 0, while_=lambda n: n < 5, limit=5)).local() == 5
    with pytest.raises(NodeError, match="`up`: the condition of the loop still holds after 5 turns") as caught:
        workflow(lambda: loop(up, 0, while_=lambda n: n < 6, limit=5)).local()
    assert caught.value.code == "loop_limit"


@pytest.mark.parametrize("limit", [0, -1, True, 2.5, 1_000_001])
def test_limits_are_checked(limit: Any) -> None:
    with pytest.raises(DefinitionError, match="limit must be a whole number from 1 to 1000000"):
        workflow(lambda: loop(halve, 1, while_=is_large, limit=limit)).graph


def test_calls_that_do_not_fit_are_refused_when_drawn() -> None:
    def draw(*args: Any, **kwargs: Any) -> None:
        workflow(lambda: loop(*args, **kwargs)).graph

    with pytest.raises(DefinitionError, match=r"body `halve\(.*cannot be called as halve\(state, too=...\)"):
        draw(halve, 1, while_=is_large, too=1)
    with pytest.raises(DefinitionError, match=r"while_ `<?lambda>?\(\)` cannot be called as"):
        draw(halve, 1, while_=lambda: True)
    with pytest.raises(DefinitionError, match="`state` is what the loop itself hands on"):
        draw(lambda n, state: n, 1, while_=is_large, state=1)
    with pytest.raises(DefinitionError, match="has several outputs, and a loop hands on one state"):
        draw(node(outputs=("a", "b"))(lambda n: (n, n)), 1, while_=is_large)
    with pytest.raises(DefinitionError, match="`int` cannot be a node: it is a class"):
        draw(int, 1, while_=is_large)


def test_outside_a_workflow_it_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"loop\(...\) can be used only inside"):
        loop(halve, 1, while_=is_large)
