"""On a worker nothing is started: neither by a node nor by a module that it imports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from wfplatform import node, workflow
from wfplatform.bootstrap.inline import InlinePlatform
from wfplatform.errors import NodeError

WAIT_S = 30.0


@node
def one() -> int:
    return 1


@workflow
def other() -> Any:
    return one()


@node
def starts() -> Any:
    return other.run().result(WAIT_S)


@node
async def starts_many() -> Any:
    return other.run_many([{}, {}]).results(WAIT_S)


@workflow
def nested() -> Any:
    return starts()


@workflow
def nested_many() -> Any:
    return starts_many()


@pytest.fixture
def platform() -> Iterator[InlinePlatform]:
    with InlinePlatform() as made:
        yield made


@pytest.mark.parametrize("flow", [nested, nested_many], ids=lambda flow: flow.name)
def test_a_node_starts_no_execution(flow: Any, platform: InlinePlatform) -> None:
    with pytest.raises(NodeError, match=r"other\.run\(\) was called on a worker") as caught:
        platform.run(flow, {}).result(WAIT_S)
    assert "starts" in caught.value.facts["traceback"]
    assert platform.run(other, {}).result(WAIT_S) == 1
