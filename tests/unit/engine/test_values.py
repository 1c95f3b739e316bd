"""What the engine itself can see: plain data is read, the rest is passed on unopened."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.core.reach import graph_of, n
from wfplatform.compiler.tree import open_output
from wfplatform.core.graph import Binding, Constant, DictOf, ListOf, Literal, OutputRef, ParameterRef, PathStep
from wfplatform.engine.values import EngineInputs, UnreadableError, plain_output, tree_output

FRAME = {"codec": "parquet", "size": 9, "digest": "d", "location": "artifacts/d"}
SIZES: Any = {"m": {(): 2}}


def seen(binding: Binding, outputs: Any, levels: int = 0, sizes: Any = None) -> EngineInputs:
    m = n("m", inputs={"x": Literal([1, 2])}, over={"x": 1})
    graph = graph_of(
        n("a"), m, n("d", type="delay", inputs={"value": binding}, over={"value": levels} if levels else {})
    )
    committed = {key: None if value is None else {"result": value} for key, value in outputs.items()}
    return EngineInputs(graph, {"p": [1, {"k": 2}]}, committed, SIZES if sizes is None else sizes)


@pytest.mark.parametrize(
    ("binding", "levels", "element", "value"),
    [
        (Literal([1]), 0, (), [1]),
        (Literal([5, 6]), 1, (1,), 6),
        (ParameterRef("p", (PathStep(1), PathStep("k"))), 0, (), 2),
        (ParameterRef("p"), 1, (0,), 1),
        (OutputRef("a"), 0, (), {"rows": [1, 2]}),
        (OutputRef("a", path=(PathStep("rows"),)), 1, (1,), 2),
        (OutputRef("m"), 1, (1,), 20),
        (OutputRef("m"), 0, (), [10, 20]),
        (ListOf((OutputRef("m"), Literal(0))), 0, (), [[10, 20], 0]),
        (DictOf((("k", OutputRef("m")),)), 0, (), {"k": [10, 20]}),
    ],
)
def test_plain_data_is_read(binding: Binding, levels: int, element: tuple[int, ...], value: Any) -> None:
    outputs = {("a", ()): plain_output({"rows": [1, 2]}), ("m", (0,)): plain_output(10), ("m", (1,)): plain_output(20)}
    assert seen(binding, outputs, levels).read("d", "value", element) == value
    assert open_output(seen(binding, outputs, levels).output("d", "value", element), lambda one: one["value"]) == value


def test_a_tree_of_plain_data_is_read() -> None:
    tree = tree_output("list", [plain_output(1), tree_output("dict", [plain_output(2)], ["k"])])
    assert seen(OutputRef("a"), {("a", ()): tree}).read("d", "value", ()) == [1, {"k": 2}]


def test_skipped_elements_are_none_and_so_is_a_map_skipped_as_a_whole() -> None:
    assert seen(OutputRef("m"), {("m", (0,)): None, ("m", (1,)): plain_output(2)}).read("d", "value", ()) == [None, 2]
    assert seen(OutputRef("m"), {("m", ()): None}).read("d", "value", ()) is None
    assert seen(OutputRef("m"), {}, sizes={"m": {(): 0}}).read("d", "value", ()) == []


@pytest.mark.parametrize("binding", [OutputRef("a"), Constant("d"), ListOf((OutputRef("a"),))])
def test_what_is_not_plain_is_refused_by_name(binding: Binding) -> None:
    with pytest.raises(UnreadableError, match="input value of d is"):
        seen(binding, {("a", ()): FRAME}).read("d", "value", ())


def test_what_is_not_plain_is_passed_on() -> None:
    assert seen(OutputRef("a"), {("a", ()): FRAME}).output("d", "value", ()) == FRAME
    part = seen(OutputRef("a", path=(PathStep("rows"),)), {("a", ()): FRAME}).output("d", "value", ())
    assert part == {**FRAME, "path": [["rows", False]]}
    whole = seen(OutputRef("m"), {("m", (0,)): FRAME, ("m", (1,)): None}).output("d", "value", ())
    assert (whole["codec"], whole["items"]) == ("tree", [FRAME, plain_output(None)])


def test_a_result_is_gathered_as_it_is_written() -> None:
    binding = DictOf((("all", OutputRef("m")), ("one", ListOf((OutputRef("a"), Literal(1)), "tuple"))))
    outputs = {("a", ()): plain_output("x"), ("m", (0,)): plain_output(10), ("m", (1,)): None}
    gathered = seen(Literal(0), outputs).gathered(binding)
    assert open_output(gathered, lambda one: one["value"]) == {"all": [10, None], "one": ("x", 1)}


def test_digests_tell_inputs_apart() -> None:
    def digest(binding: Binding, **values: Any) -> str:
        outputs = {
            ("a", ()): plain_output(values.get("a", 1)),
            ("m", (0,)): plain_output(1),
            ("m", (1,)): plain_output(2),
        }
        return seen(binding, outputs).digest("d", "value", ())

    kinds: list[Binding] = [
        Literal(1),
        Constant("x"),
        OutputRef("a"),
        OutputRef("a", path=(PathStep(0),)),
        OutputRef("m"),
        ParameterRef("p"),
    ]
    assert len({digest(kind) for kind in kinds}) == len(kinds)
    assert digest(OutputRef("a")) != digest(OutputRef("a"), a=2)
    assert digest(OutputRef("a")) == digest(OutputRef("a"), a=1)
