"""Values in a workflow function: what JSON says stays readable, the rest travels, what cannot travel is refused."""

# ruff: noqa: B018  # drawing is what is tested

from __future__ import annotations

import datetime
import enum
import math
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfplatform import DefinitionError, TravelError, each, node, unmapped, workflow
from wfplatform.authoring.value import MAX_INLINE_BYTES, is_plain_json
from wfplatform.core.graph import Constant, DictOf, ListOf, Literal, OutputRef


class Colour(enum.IntEnum):
    RED = 1


@node
def use(x: Any) -> Any:
    return x


def binding(value: Any) -> Any:
    return workflow(lambda: use(value)).graph.nodes[0].inputs["x"]


def came_back(value: Any) -> Any:
    return workflow(lambda: use(value)).local()


@pytest.mark.parametrize("value", [None, True, 0, -1.5, "a", "größe", [], {}, [1, [2, {"a": None}]], {"a": [1]}])
def test_plain_json_is_written_out(value: Any) -> None:
    assert binding(value) == Literal(value)


@pytest.mark.parametrize(
    ("value", "preview"),
    [
        (math.inf, "inf"),
        (2**60, str(2**60)),
        ("a\0b", "'a\\x00b'"),
        ("\ud800", "'\\ud800'"),
        (Colour.RED, "Colour.RED"),
        (Decimal("1.50"), "Decimal('1.50')"),
        (Path("/data"), repr(Path("/data"))),
        (datetime.date(2013, 1, 2), "datetime.date(2013, 1, 2)"),
        ({1, 2}, "set of 2"),
        ({1: "a"}, "dict of 1"),
        ([datetime.date(2013, 1, 2)], "list of 1"),
        (np.float64(1.5), "1.5"),
        (object, "type"),
    ],
)
def test_what_json_cannot_say_travels_as_a_constant(value: Any, preview: str) -> None:
    found = binding(value)
    assert isinstance(found, Constant)
    assert preview in found.preview
    back = came_back(value)
    assert type(back) is type(value)
    assert back == value


def test_arrays_come_back() -> None:
    assert (came_back(np.arange(5)) == np.arange(5)).all()


def test_tuples_stay_tuples() -> None:
    assert binding((1, "a")) == ListOf((Literal(1), Literal("a")), "tuple")
    assert came_back((1, ("a", [2]))) == (1, ("a", [2]))


def test_a_large_literal_travels_beside_the_document() -> None:
    text = "x" * MAX_INLINE_BYTES
    assert isinstance(binding(text), Constant)
    assert came_back(text) == text


def test_outputs_inside_containers_are_filled_in() -> None:
    @workflow
    def mixed(n: int) -> Any:
        a = use(1)
        return use({"a": a, "b": [n, (a, {2})], "c": {"d": 4}})

    assert mixed.local(n=7) == {"a": 1, "b": [7, (1, {2})], "c": {"d": 4}}
    inputs = mixed.graph.by_id["use-2"].inputs["x"]
    assert isinstance(inputs, DictOf)
    assert dict(inputs.items)["a"] == OutputRef("use")


def test_a_dict_with_outputs_needs_text_as_keys() -> None:
    with pytest.raises(DefinitionError, match=r"node `use-2`, input `x`: a dict with outputs .* got 1 \(int\)"):
        workflow(lambda: use({1: use(1)})).graph


@pytest.mark.parametrize("mark", [unmapped, each])
def test_marks_of_map_are_refused_in_plain_calls(mark: Any) -> None:
    with pytest.raises(DefinitionError, match=rf"{mark.__name__}\(...\) says how to map and has no meaning here"):
        workflow(lambda: use(mark([1]))).graph


def test_what_cannot_travel_is_refused_with_node_port_and_part() -> None:
    value = {"path": "a", "guard": threading.Lock()}
    with pytest.raises(TravelError, match=r"Node `use`, input `x` cannot travel .*\['guard'\].*lock"):
        binding(value)


def test_an_open_file_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "a").open("w") as file, pytest.raises(TravelError, match="TextIOWrapper") as caught:
        binding(file)
    assert "open the file inside" in caught.value.hint


def test_a_generator_is_refused() -> None:
    with pytest.raises(TravelError, match="generator"):
        binding(x for x in [1])


def test_a_cycle_is_no_endless_search() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert isinstance(binding(loop), Constant)


def test_equal_constants_are_kept_once() -> None:
    @workflow
    def twice() -> Any:
        return [use(datetime.date(2013, 1, 1)), use(datetime.date(2013, 1, 1)), use(datetime.date(2013, 1, 2))]

    assert len(twice.traced.constants) == 2
    for content in twice.traced.constants.values():
        assert isinstance(cloudpickle.loads(content), datetime.date)


PROGRAM = """
from wfplatform import node, workflow
@node
def use(x): return x
@workflow
def sets(): return use({"a", "bb", "ccc", "dddd"}), use([frozenset({"x", "yy", "z"})])
print([n.inputs["x"].digest for n in sets.graph.nodes])
"""


def test_constants_have_the_same_digest_in_every_process() -> None:
    def digests(seed: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        return done.stdout

    assert digests("1") == digests("2") != ""


def test_literals_are_fresh_for_every_node() -> None:
    @node
    def spoil(xs: list[int]) -> list[int]:
        xs.append(9)
        return xs

    shared = [1]
    spoilt = workflow(lambda: [spoil(shared), spoil(shared)])
    assert spoilt.local() == [[1, 9], [1, 9]]
    assert spoilt.local() == [[1, 9], [1, 9]]
    assert shared == [1]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_every_value_comes_back_as_it_was(value: Any) -> None:
    back = came_back(value)
    assert repr(back) == repr(value)


@given(JSON)
def test_what_is_called_plain_survives_json(value: Any) -> None:
    import json

    if is_plain_json(value):
        assert json.loads(json.dumps(value, allow_nan=False)) == value
