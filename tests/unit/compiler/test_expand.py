"""Numbers of elements that stand in the definition and in the parameters."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.core.reach import graph_of, n
from wfplatform.compiler.expand import known_sizes
from wfplatform.core.graph import Constant, DictOf, ListOf, Literal, OutputRef, ParameterRef, PathStep
from wfplatform.errors import ParameterError


def sizes(levels: dict[str, int], parameters: dict[str, Any] | None = None, **inputs: Any) -> Any:
    return known_sizes(graph_of(n("a"), n("m", inputs=inputs, over=levels)), parameters or {})


def test_lists_of_the_definition_and_of_parameters_are_counted() -> None:
    assert sizes({"x": 1}, x=Literal([1, 2])) == {"m": [((), 2)]}
    assert sizes({"x": 1}, x=Literal([])) == {"m": [((), 0)]}
    assert sizes({"x": 1}, {"p": {"rows": [1]}}, x=ParameterRef("p", (PathStep("rows"),))) == {"m": [((), 1)]}
    assert sizes({"x": 1}, x=ListOf((OutputRef("a"), Literal(1)))) == {"m": [((), 2)]}


def test_lists_in_lists_are_counted_where_they_are_mapped_over() -> None:
    assert sizes({"x": 2}, x=Literal([[1], [], [1, 2]])) == {"m": [((), 3), ((0,), 1), ((1,), 0), ((2,), 2)]}


def test_what_is_not_mapped_over_or_not_known_is_left_out() -> None:
    assert sizes({}, x=Literal([1, 2])) == {}
    assert sizes({"x": 1}, x=OutputRef("a")) == {}


def test_lengths_that_disagree_stand_beside_each_other() -> None:
    assert sizes({"x": 1, "y": 1}, {"p": [1, 2, 3]}, x=Literal([1]), y=ParameterRef("p")) == {"m": [((), 1), ((), 3)]}
    assert sizes({"x": 1, "y": 1}, x=Literal([1]), y=Literal([2])) == {"m": [((), 1)]}


def test_a_parameter_that_is_no_list_is_refused_with_its_name() -> None:
    with pytest.raises(ParameterError, match=r"Node m is mapped over x, which must be a list; it is 5\."):
        sizes({"x": 1}, {"p": 5}, x=ParameterRef("p"))
    with pytest.raises(ParameterError, match=r"it is 1\."):
        sizes({"x": 2}, x=Literal([[1], 1]))


def test_a_part_of_a_parameter_that_is_not_there_is_refused_with_its_name() -> None:
    for given in ({"p": {}}, {"p": [1]}, {"p": None}):
        with pytest.raises(ParameterError, match="a part of the parameter p, which has no 'rows'"):
            sizes({"x": 1}, given, x=ParameterRef("p", (PathStep("rows"),)))


def test_lists_written_with_outputs_in_them_are_counted_as_deep_as_they_are_written() -> None:
    a = OutputRef("a")
    assert sizes({"x": 2}, x=ListOf((ListOf((a, a)), Literal([1]), ListOf((), "tuple")))) == {
        "m": [((), 3), ((0,), 2), ((1,), 1), ((2,), 0)]
    }
    assert sizes({"x": 2}, {"p": [1, 2]}, x=ListOf((ParameterRef("p"), ListOf((a,))))) == {
        "m": [((), 2), ((0,), 2), ((1,), 1)]
    }
    with pytest.raises(ParameterError, match=r"at \[1\]; it is 3\."):
        sizes({"x": 2}, {"p": 3}, x=ListOf((Literal([]), ParameterRef("p"))))


@pytest.mark.parametrize("item", [OutputRef("a"), Constant("d"), DictOf((("k", OutputRef("a")),))])
def test_what_only_a_worker_could_count_is_refused(item: Any) -> None:
    with pytest.raises(ParameterError, match=r"mapped over 2 levels of x, and how long its item \[1\] is"):
        sizes({"x": 2}, x=ListOf((Literal([1]), item)))
