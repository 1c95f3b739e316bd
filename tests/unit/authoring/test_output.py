"""Stand-ins for values: parts of them can be named; whatever needs the value is refused with what to do instead."""

# ruff: noqa: B018, PLW0108  # drawing is what is tested

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from wfplatform import DefinitionError, node, workflow
from wfplatform.authoring.output import Output, Reference, ref_of
from wfplatform.core.graph import OutputRef, ParameterRef, PathStep


@node
def load(x: Any = None) -> Any:
    return {"rows": [{"n": 1}, {"n": 2}], "x": x}


def drawn(function: Callable[[Any], Any]) -> Any:
    """Call a function with an output while a workflow is drawn."""
    found: list[Any] = []
    workflow(lambda: found.append(function(load()))).graph
    return found[0]


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "if": (lambda out: 1 if out else 2, "with if_(out):"),
    "not": (lambda out: not out, "with if_(out):"),
    "and": (lambda out: out and 1, "with if_(out):"),
    "for": (lambda out: list(out), "f.map(out)"),
    "unpack": (lambda out: [*out], "@node(outputs="),
    "len": (len, "f.map(out)"),
    "in": (lambda out: 1 in out, "with if_(verdict):"),
    "reversed": (reversed, "f.map(out)"),
    "==": (lambda out: out == 1, "with if_(verdict):"),
    "!=": (lambda out: out != 1, "with if_(verdict):"),
    "<": (lambda out: out < 1, "with if_(verdict):"),
    ">=": (lambda out: out >= 1, "with if_(verdict):"),
    "+": (lambda out: out + 1, "decorated with @node"),
    "r+": (lambda out: 1 + out, "decorated with @node"),
    "+=": (lambda out: operator.iadd(out, 1), "decorated with @node"),
    "-": (lambda out: out - 1, "decorated with @node"),
    "*": (lambda out: 2 * out, "decorated with @node"),
    "/": (lambda out: out / 2, "decorated with @node"),
    "//": (lambda out: out // 2, "decorated with @node"),
    "%": (lambda out: out % 2, "decorated with @node"),
    "**": (lambda out: out**2, "decorated with @node"),
    "@": (lambda out: out @ out, "decorated with @node"),
    "&": (lambda out: out & 1, "decorated with @node"),
    "|": (lambda out: out | 1, "decorated with @node"),
    "^": (lambda out: out ^ 1, "decorated with @node"),
    "<<": (lambda out: out << 1, "decorated with @node"),
    "neg": (operator.neg, "decorated with @node"),
    "abs": (abs, "decorated with @node"),
    "~": (operator.invert, "decorated with @node"),
    "int": (int, "decorated with @node"),
    "float": (float, "decorated with @node"),
    "round": (round, "decorated with @node"),
    "floor": (math.floor, "decorated with @node"),
    "index": (lambda out: [1, 2][out], "decorated with @node"),
    "range": (lambda out: range(out), "decorated with @node"),
    "str": (str, "Build the text in a node"),
    "f-string": (lambda out: f"s3://{out}", "Build the text in a node"),
    "format": (lambda out: f"{out:>5}", "Build the text in a node"),
    "path": (Path, "Build the text in a node"),
    "call": (lambda out: out.upper(), "Call methods of a value in a node"),
    "with": (lambda out: out.__enter__(), "decorated with @node"),
    "set attribute": (lambda out: setattr(out, "n", 1), "decorated with @node"),
    "set item": (lambda out: operator.setitem(out, "n", 1), "decorated with @node"),
    "delete item": (lambda out: operator.delitem(out, "n"), "decorated with @node"),
    "await": (lambda out: out.__await__(), "Leave out `await`"),
    "slice": (lambda out: out[1:2], "decorated with @node"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_needs_the_value_is_refused_with_what_to_do(name: str) -> None:
    act, instead = REFUSED[name]
    with pytest.raises(DefinitionError) as caught:
        drawn(act)
    assert "`load" in caught.value.message
    assert instead in caught.value.hint


def test_a_parameter_is_refused_in_the_same_way() -> None:
    @workflow
    def years(year: int) -> Any:
        return load(year + 1)

    with pytest.raises(DefinitionError, match="`parameter year` is a parameter: its value is known only when"):
        years.graph


def test_a_parameter_in_a_text_is_refused() -> None:
    @workflow
    def texts(bucket: str) -> Any:
        return load(f"s3://{bucket}/x.csv")

    with pytest.raises(DefinitionError, match="be written into a text"):
        texts.local("a")


def test_parts_become_a_path() -> None:
    out = drawn(lambda out: out.rows[0]["n"])
    path = (PathStep("rows", attribute=True), PathStep(0), PathStep("n"))
    assert ref_of(out) == OutputRef("load", "result", path)
    assert repr(out) == "<Output `load.rows[0]['n']`>"


def test_parts_of_parameters_become_a_path() -> None:
    @workflow
    def parts(settings: dict[str, int]) -> Any:
        return settings["a"]

    assert parts.graph.result == ParameterRef("settings", (PathStep("a"),))
    assert parts.local({"a": 5}) == 5


def test_an_index_of_a_mapped_output_is_refused_as_ambiguous() -> None:
    with pytest.raises(DefinitionError, match=r"`load` is mapped, so `\[0\]` could mean") as caught:
        workflow(lambda: load.map([1, 2])[0]).graph
    assert 'outputs=("first", "second")' in caught.value.hint


def test_a_name_of_a_mapped_output_is_the_part_of_each() -> None:
    assert workflow(lambda: load.map([1, 2])["x"]).local() == [1, 2]  # type: ignore[call-overload]


@pytest.mark.parametrize("name", ["_repr_html_", "__array__", "_ipython_display_", "__deepcopy__", "_x"])
def test_names_with_a_leading_underscore_are_no_parts(name: str) -> None:
    assert drawn(lambda out: hasattr(out, name)) is False


def test_outputs_may_stand_in_sets_and_be_keys() -> None:
    def use(out: Any) -> bool:
        other = out
        return len({out, other}) == 1 and {out: 5}[other] == 5

    assert drawn(use) is True


class Point(NamedTuple):
    x: Any


def test_an_output_inside_an_object_is_refused() -> None:
    with pytest.raises(DefinitionError, match="node `load-2`, input `x`: `load` stands inside an object") as caught:
        drawn(lambda out: load(Point(out)))
    assert "inside a plain list, tuple or dict" in caught.value.hint
    with pytest.raises(DefinitionError, match="stands inside an object"):
        drawn(copy.copy)


def test_an_output_of_another_workflow_is_refused() -> None:
    kept: list[Any] = []

    @workflow
    def first() -> None:
        kept.append(load())

    @workflow
    def second() -> Any:
        return load(kept[0])

    assert first.graph.nodes
    with pytest.raises(DefinitionError, match="`load` belongs to workflow `first` and is used in `second`"):
        second.graph


def test_an_output_of_an_earlier_drawing_is_refused() -> None:
    kept: list[Any] = []

    @workflow
    def again() -> None:
        kept.append(load(*kept[:1]))

    assert len(again.graph.nodes) == 1
    again._drawing = None
    with pytest.raises(DefinitionError, match="belongs to workflow `again`"):
        again.graph


def test_proxies_have_no_public_names_of_their_own() -> None:
    """Whatever follows the dot is a part of the value."""
    assert [name for name in vars(Reference) | vars(Output) if not name.startswith("_")] == []


def test_only_what_knows_its_parts_is_a_stand_in() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Reference(None, ParameterRef("x"))  # type: ignore[abstract,arg-type]
