"""A workflow whose document would not load again is not published."""

from __future__ import annotations

from typing import Any

import pytest

from wfplatform import Workflow, each, node, workflow
from wfplatform.bootstrap.inline import InlinePlatform
from wfplatform.errors import DefinitionError


@node
def same(x: Any) -> Any:
    return x


@workflow
def too_deep() -> Any:
    """Maps over two levels of a list with an output in it, twice."""
    first = same.map(each(each([same([1]), [2]])))
    return [first, same.map(each(each([same([1]), [2]])))]


@workflow
def calls_it() -> Any:
    """Has a problem of its own, too."""
    return [too_deep(), same.map(each(each([same([1])])))]


@workflow
def as_deep_as_written() -> Any:
    """Every level that is mapped over is written down."""
    return same.map(each(each([[same([1]), same([2])], (3,), [4, 5]])))


@workflow
def over_parameters(xs: list[int]) -> Any:
    """The lengths are those of a parameter."""
    return same.map(each(each([xs, xs])))


@pytest.mark.parametrize(("flow", "problems"), [(too_deep, 2), (calls_it, 3)], ids=lambda value: str(value)[:20])
def test_all_that_would_not_load_is_told_at_once(flow: Workflow[..., Any], problems: int) -> None:
    with InlinePlatform() as platform:
        with pytest.raises(DefinitionError, match="has a length that is not known before it runs") as caught:
            platform.run(flow, {})
        assert [one["code"] for one in caught.value.facts["problems"]] == ["map_depth"] * problems
        assert (platform.store.contents.versions, platform.store.contents.executions) == ({}, {})


def test_lists_that_are_written_down_are_mapped_over_as_deep_as_that() -> None:
    with InlinePlatform() as platform:
        for flow, given in ((as_deep_as_written, {}), (over_parameters, {"xs": [1, 2]})):
            result = platform.run(flow, given).result(30.0)
            assert result == flow.local(**given)
