"""`.map`: what is mapped over, how deep, and what is refused when the workflow is drawn."""

# ruff: noqa: B018  # drawing is what is tested

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated, Any, NewType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfplatform import DefinitionError, NodeError, each, node, unmapped, workflow
from wfplatform.core.graph import ListOf, Literal


@node
def pair(x: Any, y: Any = 0) -> Any:
    return (x, y)


@node
def double(x: int) -> int:
    return 2 * x


@node
def total(xs: Any) -> Any:
    return sum(xs)


@node
def up_to(n: int) -> list[int]:
    return list(range(n))


@node
def same(x: Any) -> Any:
    return x


def drawn(function: Any) -> Any:
    return workflow(function).graph.nodes[-1]


@pytest.mark.parametrize(
    ("given_", "items"),
    [
        ([3, 1], [3, 1]),
        ((3, 1), [3, 1]),
        (range(2), [0, 1]),
        ({"b", "a"}, ["a", "b"]),
        (frozenset({2, 1}), [1, 2]),
        ((n for n in (3, 1)), [3, 1]),
        ({"k": 1}.keys(), ["k"]),
        ({"k": 1}.items(), [("k", 1)]),
        ([], []),
    ],
)
def test_iterables_are_mapped_over(given_: Any, items: list[Any]) -> None:
    @workflow
    def mapped() -> Any:
        return same.map(given_)

    assert mapped.graph.nodes[0].over == {"x": 1}
    assert mapped.local() == items


@pytest.mark.parametrize("given_", ["text", b"bytes", {"a": 1}, 5, None])
def test_other_literals_go_whole_to_every_element(given_: Any) -> None:
    assert workflow(lambda: pair.map([1, 2], given_)).local() == [(1, given_), (2, given_)]


def test_a_set_that_cannot_be_sorted_is_mapped_in_a_fixed_order() -> None:
    assert workflow(lambda: same.map({1, "a"})).local() == [1, "a"]


def test_items_that_json_cannot_say_are_constants_of_their_own() -> None:
    node_ = drawn(lambda: same.map([(1, 2), {3}]))
    assert isinstance(node_.inputs["x"], ListOf)
    assert workflow(lambda: same.map([(1, 2), {3}])).local() == [(1, 2), {3}]


def test_unmapped_hands_over_the_whole_list() -> None:
    node_ = drawn(lambda: pair.map([1, 2], unmapped([7])))
    assert (node_.over, node_.inputs["y"]) == ({"x": 1}, Literal([7]))


def test_lists_of_outputs_are_mapped_over() -> None:
    assert workflow(lambda: double.map([double(1), 5, double(2)])).local() == [4, 10, 8]


def test_an_output_is_mapped_over_its_items() -> None:
    assert drawn(lambda: double.map(up_to(3))).over == {"x": 1}
    assert workflow(lambda: double.map(up_to(3))).local() == [0, 2, 4]


def test_a_mapped_output_is_followed_element_by_element() -> None:
    @workflow
    def chain() -> Any:
        return pair.map(double.map([1, 2]), [10, 20])

    assert chain.graph.nodes[-1].over == {"x": 1, "y": 1}
    assert chain.local() == [(2, 10), (4, 20)]


def test_a_mapped_output_in_a_plain_call_is_the_list_of_all_results() -> None:
    assert workflow(lambda: total(double.map([1, 2, 3]))).local() == 12


def test_each_goes_one_level_deeper() -> None:
    @workflow
    def nested() -> Any:
        pages = up_to.map([2, 0, 1])
        deep = pair.map(each(pages), [10, 20, 30])
        return {"deep": deep, "sums": total.map(pages), "count": same(deep)}

    by_id = nested.graph.by_id
    assert by_id["pair"].over == {"x": 2, "y": 1}
    assert by_id["total"].over == {"xs": 1}
    assert nested.local() == {
        "deep": [[(0, 10), (1, 10)], [], [(0, 30)]],
        "sums": [1, 0, 0],
        "count": [[(0, 10), (1, 10)], [], [(0, 30)]],
    }


def test_each_of_a_list_and_each_twice() -> None:
    assert workflow(lambda: double.map(each(each([[1], [2, 3]])))).local() == [[2], [4, 6]]
    assert workflow(lambda: double.map(each([1, 2]))).local() == [2, 4]


def test_a_nested_map_is_reduced_level_by_level() -> None:
    @workflow
    def levels() -> Any:
        deep = double.map(each(up_to.map([2, 3])))
        inner = total.map(same.map(deep))
        return [deep, inner]

    with pytest.raises(NodeError, match=r"TypeError"):
        levels.local()  # same.map(deep) follows deep: its elements are numbers, not lists

    @workflow
    def by_row(rows: list[list[int]]) -> Any:
        deep = double.map(each(each(rows)))
        return deep, total(total.map(same(deep)))

    assert by_row.local([[1, 2], [3]]) == ([[2, 4], [6]], 12)


Years = NewType("Years", list)  # type: ignore[type-arg]
type Names = list[str] | tuple[str, ...]


@pytest.mark.parametrize(
    ("annotation", "mapped"),
    [
        (list[int], True), (list, True), (tuple[int, ...], True), (set[int], True), (frozenset[int], True),
        (Sequence[int], True), (list[int] | None, True), (Annotated[list[int], "x"], True), (Years, True), (Names, True),
        (int, False), (str, False), (dict[str, int], False), (int | None, False), (bool | str, False),
    ],
)  # fmt: skip
def test_a_parameter_is_mapped_over_if_it_is_annotated_as_a_collection(annotation: Any, mapped: bool) -> None:
    def function(p):  # type: ignore[no-untyped-def]
        return pair.map([1, 2], p)

    function.__annotations__["p"] = annotation
    over = workflow(function).graph.nodes[0].over
    assert over == ({"x": 1, "y": 1} if mapped else {"x": 1})


@pytest.mark.parametrize("annotation", [None, Any, int | list[int]])
def test_a_parameter_that_may_be_a_list_must_be_marked(annotation: Any) -> None:
    def function(p):  # type: ignore[no-untyped-def]
        return same.map(p)

    if annotation is not None:
        function.__annotations__["p"] = annotation
    with pytest.raises(
        DefinitionError, match=r"`parameter p`, of which it is not known whether it is a list"
    ) as caught:
        workflow(function).graph
    assert "each(value)" in caught.value.hint


def test_a_marked_parameter_is_clear() -> None:
    def marked(p, q):  # type: ignore[no-untyped-def]
        return pair.map(each(p), unmapped(q))

    assert workflow(marked).local(p=[1, 2], q=[3]) == [(1, [3]), (2, [3])]


def test_lengths_that_differ_are_refused_naming_both() -> None:
    with pytest.raises(DefinitionError, match=r"`x` has 3, `y` has 2") as caught:
        drawn(lambda: pair.map([1, 2, 3], [1, 2]))
    assert "unmapped(list)" in caught.value.hint


def test_lengths_known_through_other_nodes_are_checked_too() -> None:
    with pytest.raises(DefinitionError, match=r"`x` has 3, `y` has 2"):
        drawn(lambda: pair.map(double.map(double.map([1, 2, 3])), [1, 2]))


def test_lengths_that_differ_at_run_time_fail_the_node() -> None:
    with pytest.raises(NodeError, match=r"`pair` is mapped over .* `x` has 3, `y` has 2") as caught:
        workflow(lambda: pair.map(up_to(3), [1, 2])).local()
    assert caught.value.code == "map_sizes"


@pytest.mark.parametrize("arguments", [(), (5,), ("text", None), (unmapped([1]),)])
def test_a_map_over_nothing_is_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(DefinitionError, match=r"pair.map\(...\): nothing to map over"):
        drawn(lambda: pair.map(*arguments) if arguments else pair.map(x=1))


def test_an_endless_iterator_is_refused() -> None:
    with pytest.raises(DefinitionError, match="`x` has more than 1000000 items; is it endless"):
        drawn(lambda: same.map(itertools.count()))


def test_each_of_one_value_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"`x` is each\(...\) of a str"):
        drawn(lambda: same.map(each("text")))


@pytest.mark.parametrize(
    ("given_", "said", "place"),
    [
        (lambda: each(each([[1], 2])), r"mapped over 2 levels, but its item \[1\] is 2 \(int\), which is no list", [1]),
        (lambda: each(each(["ab"])), r"its item \[0\] is 'ab' \(str\), which is no list", [0]),
        (
            lambda: each(each(each([[[1]], [[2], {"a": 1}]]))),
            r"mapped over 3 levels, but its item \[1\]\[1\] is",
            [1, 1],
        ),
        (lambda: each(each([[1], up_to(3)])), r"its item \[1\] is `up_to`, whose length is not known", [1]),
        (lambda: each(each([up_to.map([1])])), r"its item \[0\] is `up_to`, whose length is not known", [0]),
    ],
)
def test_more_levels_than_a_list_has_are_refused_when_drawn(given_: Any, said: str, place: list[int]) -> None:
    with pytest.raises(DefinitionError, match=rf"same\.map\(\.\.\.\): input `x` is .*{said}") as caught:
        drawn(lambda: same.map(given_()))
    assert (caught.value.code, caught.value.facts["place"]) == ("map_depth", place)
    assert caught.value.hint


def test_a_parameter_that_is_no_list_is_no_level() -> None:
    def function(xs: list[int], n: int) -> Any:
        return same.map(each(each([xs, n])))

    with pytest.raises(DefinitionError, match=r"its item \[1\] is `parameter n`, which is no list"):
        workflow(function).graph


def test_whatever_is_mapped_over_may_stand_at_every_level() -> None:
    flow = workflow(lambda: double.map(each(each([range(2), (3,), {5, 4}, iter([6])]))))
    assert flow.graph.nodes[-1].inputs["x"] == Literal([[0, 1], [3], [4, 5], [6]])
    assert flow.local() == [[0, 2], [6], [8, 10], [12]]


def test_opposite_marks_are_refused() -> None:
    with pytest.raises(DefinitionError, match="two opposite things"):
        each(unmapped([1]))


def test_variadic_functions_cannot_be_mapped() -> None:
    @node
    def variadic(*parts: int) -> int:
        return sum(parts)

    with pytest.raises(DefinitionError, match=r"takes `\*parts: 'int'`, whose parts have no names"):
        drawn(lambda: variadic.map([1]))


@pytest.mark.parametrize(
    ("value", "why"),
    [("text", "is one value"), ({"a": 1}, "is one value"), ({1, 2}, "has no order"), (5, "has no length")],
)
def test_an_output_that_is_no_list_is_refused_when_run(value: Any, why: str) -> None:
    with pytest.raises(NodeError, match=rf"Node `same-2`: input `x` is mapped over; expected a list, got .*{why}"):
        workflow(lambda: same.map(same(value))).local()


def test_arrays_and_series_are_lists_and_frames_are_not() -> None:
    import numpy as np
    import pandas as pd

    assert workflow(lambda: double.map(same(np.array([1, 2])))).local() == [2, 4]
    assert workflow(lambda: double.map(same(pd.Series([1, 2], index=[7, 8])))).local() == [2, 4]
    with pytest.raises(NodeError, match="DataFrame, which has 3 rows but 1 items"):
        workflow(lambda: same.map(same(pd.DataFrame({"a": [1, 2, 3]})))).local()


def test_an_element_of_each_mapped_parts() -> None:
    ends = node(outputs=("low", "high"))(lambda n: (n, n + 10))

    @workflow
    def parts() -> Any:
        low, high = ends.map([1, 2])
        return pair.map(low, high)

    assert parts.local() == [(1, 11), (2, 12)]


@given(st.lists(st.lists(st.integers(-100, 100), max_size=4), max_size=4), st.integers(-5, 5))
def test_maps_are_comprehensions(rows: list[list[int]], n: int) -> None:
    def shape(rows: list[list[int]], n: int) -> Any:
        sums = total.map(rows)
        deep = pair.map(each(same.map(rows)), unmapped(n))
        return {"sums": sums, "deep": deep, "zip": pair.map(sums, rows), "all": total(sums)}

    assert workflow(shape).local(rows=rows, n=n) == {
        "sums": [sum(row) for row in rows],
        "deep": [[(x, n) for x in row] for row in rows],
        "zip": [(sum(row), row) for row in rows],
        "all": sum(map(sum, rows)),
    }
