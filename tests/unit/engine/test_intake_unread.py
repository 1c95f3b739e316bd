"""Results that cannot be read where they are needed: computed again, and given up when that does not help."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from wfplatform import node, workflow
from wfplatform.bootstrap.inline import InlinePlatform
from wfplatform.errors import NodeError

WAIT_S = 30.0


class Sealed:
    """Something that can be packed and not opened again."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _open, ()


def _open() -> Sealed:
    raise RuntimeError("the seal is broken")


@node
def sealed() -> Sealed:
    return Sealed()


@node(effect=True)
def reader(value: Any) -> str:
    return type(value).__name__


@node
def other() -> int:
    return 1


@workflow
def reads_what_is_sealed() -> Any:
    return [reader(sealed()), other()]


@pytest.fixture
def platform() -> Iterator[InlinePlatform]:
    with InlinePlatform() as made:
        yield made


def test_what_never_can_be_read_is_given_up_with_a_sentence(platform: InlinePlatform) -> None:
    execution = platform.run(reads_what_is_sealed, {})
    with pytest.raises(NodeError, match=r"None of its last 4 results could be read.*the seal is broken") as caught:
        execution.result(WAIT_S)
    assert caught.value.node == "sealed"
    found = {one.node: (str(one.state), one.attempt) for one in execution.nodes()}
    assert found == {"sealed": ("failed", 4), "reader": ("skipped", 4), "other": ("completed", 1)}
