"""A result of an earlier execution stands in for a node only if it tells all that this workflow needs of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from wfplatform import each, node, workflow
from wfplatform.bootstrap.inline import InlinePlatform
from wfplatform.engine.reuse import has_lengths

WAIT_S = 30.0


@node(cache=True)
def grid(n: int) -> list[list[int]]:
    return [[n], [n, n]]


@node
def same(x: Any) -> Any:
    return x


@workflow
def whole(n: int) -> Any:
    """Needs no length of it."""
    return grid(n)


@workflow
def items(n: int) -> Any:
    """Needs how many rows it has."""
    return same.map(grid(n))


@workflow
def cells(n: int) -> Any:
    """Needs how long each row is."""
    return same.map(each(each(grid(n))))


@pytest.fixture
def platform() -> Iterator[InlinePlatform]:
    with InlinePlatform() as made:
        yield made


def reused(platform: InlinePlatform, flow: Any, n: int) -> bool:
    """Run it, compare it with here, and say whether the cached node was reused."""
    execution = platform.run(flow, {"n": n})
    assert execution.result(WAIT_S) == flow.local(n=n)
    return next(row for row in execution.nodes() if row.node == "grid").reused_from is not None


def test_an_entry_without_the_lengths_that_are_mapped_over_is_a_miss(platform: InlinePlatform) -> None:
    assert not reused(platform, whole, 1)
    assert reused(platform, whole, 1)
    assert not reused(platform, items, 1)
    assert reused(platform, items, 1)
    assert not reused(platform, cells, 1)
    for flow in (whole, items, cells):
        assert reused(platform, flow, 1)


def test_an_entry_that_lost_its_lengths_is_computed_again(platform: InlinePlatform) -> None:
    assert not reused(platform, cells, 2)
    contents = platform.store.contents
    contents.cache = {key: (result._replace(sizes=None), until) for key, (result, until) in contents.cache.items()}
    assert not reused(platform, cells, 2)
    assert reused(platform, cells, 2)


@node(cache=True)
def long(n: int) -> str:
    return "x" * n


@node
def count(text: str) -> int:
    return len(text)


@workflow
def counted(n: int) -> Any:
    """Reads a value that is kept in a file."""
    return count(long(n))


def test_an_entry_whose_file_is_gone_is_computed_again(platform: InlinePlatform) -> None:
    size = 200_000
    first = platform.run(counted, {"n": size})
    assert first.result(WAIT_S) == size
    output = next(row for row in first.nodes() if row.node == "long").outputs or {}
    assert platform.artifacts.delete(output["result"]["location"])
    second = platform.run(counted, {"n": size})
    assert second.result(WAIT_S) == size
    assert next(row for row in second.nodes() if row.node == "long").reused_from is None
    third = platform.run(counted, {"n": size})
    assert third.result(WAIT_S) == size
    assert next(row for row in third.nodes() if row.node == "long").reused_from == second.id


def test_which_lengths_suffice() -> None:
    assert has_lengths({}, {})
    assert has_lengths({"result": 2}, {"result": 1})
    assert not has_lengths({}, {"result": 1})
    assert not has_lengths({"result": 2}, {"result": 1, "result[a]": 1})
    assert not has_lengths({"result": 2, "result/0": 1}, {"result": 2})
    assert has_lengths({"result": 2, "result/0": 1, "result/1": 0}, {"result": 2})
    assert has_lengths({"result": 0}, {"result": 3})
