"""What undoes and cleans up: laid out with the workflow, written and read again, run by `.local()`; misfits are refused."""

from __future__ import annotations

from typing import Any

import pytest

from wfplatform import Cache, Retry, node, unmapped, workflow
from wfplatform.authoring.document import definition_digest, from_document, to_document
from wfplatform.core.unwinds import UnwindOccasion, Unwinds
from wfplatform.errors import DefinitionError


@node
def made(x: int, said: Any = None) -> int:
    return x * 10


def test_they_stand_beside_the_work_with_its_inputs() -> None:
    @node(retry=Retry(attempts=4))
    def back(result: int, x: int, extra: str = "e") -> None:
        pass

    @node(undo=back, cleanup=lambda x, y: None)
    def work(x: int, y: int = 3) -> int:
        return x + y

    @workflow
    def mapped(xs: list[int]) -> Any:
        return work.map(xs)

    graph = mapped.graph
    assert [one.id for one in graph.nodes] == ["work"]
    undo, cleanup = graph.unwinding
    assert (undo.id, undo.unwinds, undo.rank) == ("work-undo", Unwinds("work", UnwindOccasion.UNDO), 1)
    assert (list(undo.inputs), undo.policy.attempts, undo.policy.effect) == (["result", "x"], 4, False)
    assert (cleanup.id, list(cleanup.inputs), cleanup.over) == ("work-cleanup", ["x", "y"], {"x": 1})
    assert graph.by_id["work"].policy.effect
    assert graph.dependants["work"] == ()
    again = from_document(to_document(mapped.as_definition()))
    assert again.graph == graph


def test_a_workflow_without_them_is_what_it_was() -> None:
    @workflow
    def plain(x: int) -> Any:
        return made(x)

    document = to_document(plain.as_definition())
    assert "unwinds" not in str(document)
    assert plain.graph.every is not None
    assert plain.graph.unwinding == ()
    assert len(definition_digest(plain.as_definition(), "c")) == 64


def test_local_undoes_in_reverse_and_goes_on_when_an_undo_fails() -> None:
    said: list[Any] = []

    def forget(result: int, x: int) -> None:
        said.append(("forget", result, x))
        if x == 1:
            raise OSError("gone")

    def tidy(x: int) -> None:
        said.append(("tidy", x))

    @node(undo=forget)
    def first(x: int) -> int:
        return x * 10

    @node(undo=forget, cleanup=tidy)
    def second(x: int, before: Any) -> int:
        if x == 2:
            raise ValueError("no")
        return x * 100

    @workflow
    def both(x: int) -> Any:
        return second.map([3, 2, 1], before=unmapped(first(x)))

    found = both.local_execution(4)
    assert said == [("forget", 100, 1), ("tidy", 2), ("forget", 300, 3), ("forget", 40, 4)]
    assert [failure.node for failure in found.failures] == ["second", "second-undo"]


def test_local_undoes_nothing_when_all_goes_well() -> None:
    said: list[Any] = []

    @workflow
    def fine(x: int) -> Any:
        return made.options(undo=lambda result: said.extend([result]))(x)

    assert (fine.local(4), said) == (40, [])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"undo": lambda result, other: None}, "wants `other`"),
        ({"undo": lambda *all_of_it: None}, "whose parts have no names"),
        ({"cleanup": lambda result: None}, "wants `result`"),
        ({"undo": node(cache=Cache())(lambda result: None)}, "option `cache`"),
        ({"undo": 3}, "expects a function"),
    ],
)
def test_a_function_that_cannot_be_called_is_refused(options: dict[str, Any], words: str) -> None:
    @workflow
    def flow(x: int) -> Any:
        return made.options(**options)(x)

    with pytest.raises(DefinitionError, match=words):
        flow.graph  # noqa: B018


def test_what_tells_no_elements_apart_is_refused_for_a_map() -> None:
    @workflow
    def flow(xs: list[int]) -> Any:
        return made.options(undo=lambda said=None: None).map(xs)

    with pytest.raises(DefinitionError, match="told apart"):
        flow.graph  # noqa: B018


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"unwinds": {"node": "nobody", "occasion": "undo"}}, "edge_to_nowhere"),
        ({"unwinds": {"node": "made", "occasion": "never"}}, "unwinds"),
        ({"after": ["made"]}, "unwind_order"),
        ({"inputs": {"x": 1, "z": {"$ref": "other"}}}, "unwind_input"),
        ({"policy": {"cache": {}}}, "unwind_option"),
    ],
)
def test_a_drawn_one_that_is_not_sound_is_refused(changes: dict[str, Any], code: str) -> None:
    @workflow
    def flow(x: int) -> Any:
        other = made.options(name="other")(x)
        return other, made.options(undo=lambda result, x: None)(x)

    document = to_document(flow.as_definition())
    drawn = next(one for one in document["nodes"] if "unwinds" in one["data"])
    drawn["data"] |= changes
    with pytest.raises(DefinitionError) as caught:
        from_document(document)
    assert code in [problem["code"] for problem in caught.value.facts["problems"]]
