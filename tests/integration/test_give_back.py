"""Elements behind a long one in the same segment run on another worker, as soon as it is seen to be long."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.integration import workload
from tests.integration.running import PATIENCE_S, lines, nodes
from wfplatform import node, workflow
from wfplatform.bootstrap.platform import EmbeddedPlatform

pytestmark = pytest.mark.xdist_group("platform")


@node
def last(n: int, count: int, mark: str) -> int:
    """The first one ends after all the others have."""
    workload.tell(mark, n)
    if n == 0:
        for other in range(1, count):
            workload.wait_for(f"{mark}.{other}")
    Path(f"{mark}.{n}").touch()
    return n


@node
def double(n: int, mark: str) -> int:
    """Of the first one, after all the others have run."""
    workload.tell(f"{mark}.double", n)
    return 2 * n


@node
def late(n: int, count: int, mark: str) -> int:
    """The first one ends after what follows all the others has."""
    workload.tell(mark, n)
    if n == 0:
        for other in range(1, count):
            workload.wait_for(f"{mark}.{other}")
    return n


@node
def follow(n: int, mark: str) -> int:
    workload.tell(f"{mark}.follow", n)
    Path(f"{mark}.{n}").touch()
    return n + 1


@pytest.mark.parametrize("count", [8, 40])
def test_a_long_element_holds_up_none_that_stand_behind_it(platform: EmbeddedPlatform, mark: str, count: int) -> None:
    @workflow
    def first_is_last(mark: str) -> Any:
        # In the definition, so that each number is a version of its own: of the next one nobody knows yet how long it takes.
        found = last.map(list(range(count)), count=count, mark=mark)
        return double.map(found, mark=mark)

    execution = platform.run(first_is_last, {"mark": mark})
    assert execution.result(PATIENCE_S) == [2 * n for n in range(count)]
    ran = {name: Counter(map(int, lines(file))) for name, file in (("last", mark), ("double", f"{mark}.double"))}
    assert all(found == Counter(range(count)) for found in ran.values()), ran
    where = {one.element[0]: one.worker for one in nodes(execution, "last")}
    assert {one.attempt for one in nodes(execution, "last")} == {1}
    assert where[0] != where[1], "what stood behind it went to the other worker"


def test_what_follows_the_others_does_not_wait_for_the_long_one_either(platform: EmbeddedPlatform, mark: str) -> None:
    count = 8

    @workflow
    def fanned(mark: str) -> Any:
        found = late.map(list(range(count)), count=count, mark=mark)
        return follow.map(found, mark=mark), workload.total(found)

    execution = platform.run(fanned, {"mark": mark})
    followed, total = execution.result(PATIENCE_S)
    assert (followed, total) == ([n + 1 for n in range(count)], sum(range(count)))
    for file in (mark, f"{mark}.follow"):
        assert Counter(map(int, lines(file))) == Counter(range(count))
