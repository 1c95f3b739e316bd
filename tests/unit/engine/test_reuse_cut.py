"""What hangs on a node that was computed anew runs only if its result is another one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from wfplatform import node, workflow
from wfplatform.bootstrap.inline import InlinePlatform
from wfplatform.core.execution import NodeState


@node
def rounded(x: float) -> int:
    """Not kept: it runs each time."""
    return round(x)


@node(cache=True)
def doubled(x: int) -> int:
    return 2 * x


@node(cache=True)
def summed(items: list[int]) -> int:
    return sum(items)


@workflow
def flow(xs: list[float]) -> Any:
    return summed(doubled.map(rounded.map(xs)))


@pytest.fixture
def platform() -> Iterator[InlinePlatform]:
    with InlinePlatform() as made:
        yield made


def reused(platform: InlinePlatform, xs: list[float]) -> tuple[Any, dict[str, list[bool]]]:
    """The result, and of each node whether its elements stand for results of an earlier execution."""
    execution = platform.run(flow, {"xs": xs})  # type: ignore[dict-item]
    result = execution.result(60)
    found: dict[str, list[bool]] = {}
    for one in execution.nodes():
        assert one.state is NodeState.COMPLETED
        found.setdefault(one.node, []).append(one.reused_from is not None)
    return result, found


def test_the_same_result_of_other_inputs_lets_the_rest_be(platform: InlinePlatform) -> None:
    assert reused(platform, [1.1, 2.1, 3.1])[0] == 12
    result, found = reused(platform, [0.9, 2.2, 2.8])
    assert result == 12
    assert found == {"rounded": [False] * 3, "doubled": [True] * 3, "summed": [True]}


def test_of_elements_those_run_whose_input_is_another_one(platform: InlinePlatform) -> None:
    reused(platform, [1.0, 2.0, 3.0])
    result, found = reused(platform, [1.2, 5.0, 3.2])
    assert result == 18
    assert found == {"rounded": [False] * 3, "doubled": [True, False, True], "summed": [False]}
    # 1 + 5 + 3 and 1 + 3 + 5 are different lists, and yet what was computed of each element is there.
    result, found = reused(platform, [1.0, 3.0, 5.0])
    assert (result, found["doubled"], found["summed"]) == (18, [True] * 3, [False])
