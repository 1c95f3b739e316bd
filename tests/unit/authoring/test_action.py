"""A result that a platform could not keep is refused by `.local()` too, in the same words."""

from __future__ import annotations

import io
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from wfplatform import NodeError, Workflow, loop, node, workflow
from wfplatform.bootstrap.inline import InlinePlatform
from wfplatform.errors import TravelError


def squares() -> Iterator[int]:
    yield from (number * number for number in range(3))


def returning(make: Callable[[], Any]) -> Workflow[[], Any]:
    @node
    def made() -> Any:
        return make()

    @workflow(name="refused")
    def flow() -> Any:
        return made()

    return flow


@pytest.mark.parametrize(
    ("make", "part", "advice"),
    [
        (squares, "generator", "return list(...) of it"),
        (lambda: map(str, [1, 2]), "map", "return list(...) of it"),
        (lambda: iter([1, 2]), "list_iterator", "return list(...) of it"),
        (lambda: {"rows": reversed([1, 2])}, "list_reverseiterator", "return list(...) of it"),
        (lambda: itertools.chain([1], [2]), "itertools.chain", "return list(...) of it"),
        (lambda: [1, {"lock": threading.Lock()}], "_thread.lock", "Make it inside the node"),
        (lambda: memoryview(b"abc"), "memoryview", "bytes(...)"),
        (lambda: io.TextIOWrapper(io.BytesIO()), "_io.TextIOWrapper", "path or its content"),
    ],
)
def test_what_cannot_be_stored_is_refused_here_and_there_in_the_same_words(
    make: Callable[[], Any], part: str, advice: str
) -> None:
    flow = returning(make)
    with pytest.raises(NodeError) as here:
        flow.local()
    assert isinstance(here.value.__cause__, TravelError)
    assert here.value.__cause__.facts["part_type"] == part
    assert advice in here.value.hint
    with InlinePlatform() as platform, pytest.raises(NodeError) as there:
        platform.run(flow, {}).result(30.0)
    assert here.value.message.partition("TravelError: ")[2] in there.value.message
    assert here.value.hint in there.value.message
    assert here.value.facts["type"].rpartition(".")[2] == there.value.facts["type"].rpartition(".")[2]


def test_what_only_one_of_several_outputs_holds_is_refused() -> None:
    @node(outputs=("count", "rows"))
    def parts() -> Any:
        return 3, squares()

    with pytest.raises(NodeError, match="type generator cannot be stored"):
        workflow(lambda: parts().count).local()


def test_the_state_of_a_loop_is_stored_after_each_turn() -> None:
    @node
    def more(state: Any) -> Any:
        return squares()

    @node
    def unfinished(state: Any) -> bool:
        return state == 0

    with pytest.raises(NodeError, match="type generator cannot be stored"):
        workflow(lambda: loop(more, 0, while_=unfinished, limit=3)).local()
