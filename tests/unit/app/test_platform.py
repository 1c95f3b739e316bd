"""What is published can be loaded again, and what comes back is what `.local()` gives."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from wfplatform import Workflow, each, node, use_platform, workflow
from wfplatform.bootstrap.inline import InlinePlatform
from wfplatform.errors import DefinitionError


@node
def same(x: Any) -> Any:
    return x


@workflow
def too_deep(xs: list[int]) -> Any:
    """Maps over two levels of a list that has one, twice."""
    first = same.map(each(each(xs)))
    return [first, same.map(each(each(xs)))]


@workflow
def calls_it(xs: list[int]) -> Any:
    """Has a problem of its own, too."""
    return [too_deep(xs), same.map(each(each(xs)))]


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
        with pytest.raises(DefinitionError, match="mapped over 2 levels, but the value is not such a list") as caught:
            platform.run(flow, {"xs": [1]})
        assert [one["code"] for one in caught.value.facts["problems"]] == ["map_rank"] * problems
        assert (platform.store.contents.versions, platform.store.contents.executions) == ({}, {})


def test_lists_that_are_written_down_are_mapped_over_as_deep_as_that() -> None:
    with InlinePlatform() as platform:
        for flow, given in ((as_deep_as_written, {}), (over_parameters, {"xs": [1, 2]})):
            result = platform.run(flow, given).result(30.0)
            assert result == flow.local(**given)


@workflow
def handed_back(day: date, place: UUID, amount: Decimal, count: int = 3) -> dict[str, object]:
    return {"given": [day, place, amount], "again": day, "count": count}


def test_parameters_that_a_workflow_returns_keep_their_types() -> None:
    given: dict[str, Any] = {"day": date(2013, 2, 14), "place": UUID(int=7), "amount": Decimal("1.10")}
    with InlinePlatform() as platform, use_platform(platform):
        result = handed_back.run(**given).result(30)
    assert result == handed_back.local(**given) == {"given": list(given.values()), "again": given["day"], "count": 3}
    # What JSON brings back as it is needs no node to be made.
    assert [one["id"] for one in handed_back.definition["nodes"]] == ["day", "place", "amount"]
