"""What follows from a definition: links, lengths to record, and which nodes wait for more than one word."""

from __future__ import annotations

from tests.unit.core.reach import graph_of, n
from wfplatform.core.graph import (
    DictOf,
    Link,
    ListOf,
    Literal,
    OutputRef,
    PathStep,
    references,
    size_key,
    size_within,
)
from wfplatform.core.policy import Cache


def test_links_say_how_many_indices_are_shared() -> None:
    graph = graph_of(
        n("a"),
        n("m", "a", over={"a": 1}),
        n("p", "m", over={"m": 2}),
        n("r", "p", over={"p": 1}),
        n("all", "p", after=("a", "m")),
    )
    assert graph.links["m"] == (Link("a", "m", "result", 0, expands=True),)
    assert graph.links["p"] == (Link("m", "p", "result", 1, expands=True),)
    assert graph.links["r"] == (Link("p", "r", "result", 1, expands=False),)
    assert graph.links["all"] == (
        Link("p", "all", "result", 0, expands=False),
        Link("a", "all", "", 0, expands=False),
        Link("m", "all", "", 0, expands=False),
    )
    assert [link.target for link in graph.dependants["p"]] == ["r", "all"]
    assert [graph.by_id[name].rank for name in ("a", "m", "p", "r")] == [0, 1, 2, 1]


def test_a_guard_comes_first_and_is_told_from_ordering() -> None:
    graph = graph_of(n("if", type="choice"), n("a"), n("b", "a", after=("if",), guard=("if", True)))
    assert [(link.source, link.port, link.guards) for link in graph.links["b"]] == [
        ("if", "", True),
        ("a", "result", False),
        ("if", "", False),
    ]


def test_inside_a_list_the_whole_value_is_meant() -> None:
    whole = ListOf((OutputRef("m"), DictOf((("k", OutputRef("a")),)), Literal(1)))
    assert list(references(whole)) == [OutputRef("m"), OutputRef("a")]
    graph = graph_of(n("a"), n("m", "a", over={"a": 1}), n("p", inputs={"x": whole}, over={"x": 1}))
    assert [(link.source, link.shared, link.expands) for link in graph.links["p"]] == [("m", 0, False), ("a", 0, False)]


def test_lengths_are_recorded_where_items_are_mapped_over() -> None:
    part = OutputRef("a", path=(PathStep("rows"), PathStep("first", attribute=True), PathStep(0)))
    graph = graph_of(n("a"), n("m", inputs={"x": part, "y": OutputRef("a")}, over={"x": 1, "y": 2}))
    assert graph.sized == {"a": (part, OutputRef("a"))}
    assert size_key(part) == "result[rows].first[0]"
    assert graph.size_levels == {"a": {"result[rows].first[0]": 1, "result": 2}}
    assert size_within("result", (3, 1)) == "result/3/1"


def test_barriers_are_what_makes_something_plannable() -> None:
    graph = graph_of(
        n("a"),
        n("m", "a", over={"a": 1}),
        n("l", "m", type="loop"),
        n("b"),
        n("d", "b", type="delay"),
        n("c"),
        n("e", "c", cache=Cache()),
        n("f", "e", effect=True),
    )
    assert graph.barriers == {"a", "l", "b", "d", "c", "e", "f"}


def test_common_nodes_are_not_careful() -> None:
    chain = graph_of(n("a"), n("b", "a"), n("c", "a", "b"), n("m", inputs={"x": Literal([1])}, over={"x": 1}))
    assert (chain.careful, chain.watched, chain.releasing) == (frozenset(), frozenset(), frozenset())
    zipped = graph_of(
        n("a"), n("m", "a", over={"a": 1}), n("p", "m", over={"m": 1}), n("q", "m", "p", over={"m": 1, "p": 1})
    )
    assert zipped.careful == {"m"}, "the lengths of m and p cannot disagree"


def test_careful_are_those_with_more_than_one_way_to_end() -> None:
    graph = graph_of(
        n("a"),
        n("b"),
        n("c", "a", "b"),
        n("d", "c"),
        n("merge", "d", type="merge", on_skip="none"),
        n("f", "a", on_failure="fail"),
        n("g", "a", "b"),
        n("z", "a", "b", over={"a": 1, "b": 1}),
    )
    assert graph.careful == {"c", "merge", "f", "z"}
    assert graph.watched == {"a", "b", "d"}
    assert graph.releasing == {"d"}


def test_gates_are_what_even_an_empty_map_waits_for() -> None:
    graph = graph_of(
        n("if", type="choice"),
        n("a"),
        n("b"),
        n("m", "a", "b", inputs={"x": Literal([])}, over={"x": 1}, guard=("if", True)),
        n("p", "m", over={"m": 1}),
    )
    assert graph.gates == {"if", "a", "b"}
