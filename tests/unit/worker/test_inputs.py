"""Where arguments come from: each kind of binding at each depth, what is absent, and that readers do not disturb others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.unit.core.reach import graph_of, n
from wfplatform.core.graph import Constant, DictOf, Graph, ListOf, Literal, Node, OutputRef, ParameterRef, PathStep
from wfplatform.errors import NodeError
from wfplatform.worker.inputs import Absent, Inputs, Scope


def scope_of(values: Mapping[Any, Any], sizes: Any = None, **parameters: Any) -> Scope:
    """Values by (index of the node, element); digests are made of them."""
    made = Scope(
        parameters, {name: repr(value) for name, value in parameters.items()}, sizes or {}, lambda digest: [digest]
    )
    made.values = dict(values)
    made.digests = {key: f"digest of {value}" for key, value in values.items() if not isinstance(value, Absent)}
    return made


def inputs_of(node: Node, *before: Node) -> Inputs:
    return Inputs(Graph(nodes=(*before, node)), node)


def resolved(node: Node, before: tuple[Node, ...], scope: Scope, element: tuple[int, ...] = ()) -> Any:
    return inputs_of(node, *before).resolve(scope, element)


A = n("a")
M = n("m", inputs={"x": Literal([1, 2])}, over={"x": 1})


def test_plain_values_constants_and_parameters() -> None:
    node = n(
        "t",
        inputs={
            "one": Literal(1),
            "list": Literal([1, [2]]),
            "constant": Constant("d1"),
            "parameter": ParameterRef("p", (PathStep("rows"), PathStep(0))),
            "both": ListOf((ParameterRef("q"), DictOf((("k", Literal(None)),))), "tuple"),
        },
    )
    scope = scope_of({}, p={"rows": [[7]]}, q=2)
    first = resolved(node, (), scope)
    assert first == {"one": 1, "list": [1, [2]], "constant": ["d1"], "parameter": [7], "both": (2, {"k": None})}
    first["list"][1].append(3)
    first["parameter"].append(8)
    again = resolved(node, (), scope)
    assert (again["list"], again["parameter"]) == ([1, [2]], [7])


@pytest.mark.parametrize(
    ("inputs", "element", "value"),
    [
        (Literal([5, 6]), (1,), 6),
        (Literal([[5], [6, 7]]), (1, 1), 7),
        (ParameterRef("p"), (2,), 3),
        (ListOf((Literal(8), OutputRef("a"))), (1,), 1.5),
        (DictOf((("k", OutputRef("a")),)), (), {"k": 1.5}),
    ],
)
def test_items_of_what_is_mapped_over(inputs: Any, element: tuple[int, ...], value: Any) -> None:
    node = n("t", inputs={"x": inputs}, over={"x": len(element)} if element else {})
    assert resolved(node, (A,), scope_of({(0, ()): 1.5}, p=[1, 2, 3]), element) == {"x": value}


def test_outputs_are_followed_element_by_element_reduced_and_expanded() -> None:
    values = {(0, (0,)): [1, 2], (0, (1,)): [3]}
    sizes = {0: {(): 2}}
    aligned = n("t", inputs={"x": OutputRef("m")}, over={"x": 1})
    assert resolved(aligned, (M,), scope_of(values, sizes), (1,)) == {"x": [3]}
    reduced = n("t", inputs={"x": OutputRef("m")})
    assert resolved(reduced, (M,), scope_of(values, sizes)) == {"x": [[1, 2], [3]]}
    expanded = n("t", inputs={"x": OutputRef("m")}, over={"x": 2})
    assert resolved(expanded, (M,), scope_of(values, sizes), (0, 1)) == {"x": 2}
    broadcast = n("t", inputs={"x": OutputRef("a"), "y": Literal([0, 0])}, over={"y": 1})
    assert resolved(broadcast, (A,), scope_of({(0, ()): "whole"}), (1,)) == {"x": "whole", "y": 0}


def test_an_empty_map_is_an_empty_list_and_a_skipped_one_is_none() -> None:
    node = n("t", inputs={"x": OutputRef("m")}, on_skip="none")
    assert resolved(node, (M,), scope_of({}, {0: {(): 0}})) == {"x": []}
    assert resolved(node, (M,), scope_of({(0, ()): Absent.SKIPPED}, {0: {(): 2}})) == {"x": None}
    assert resolved(node, (M,), scope_of({(0, (0,)): Absent.SKIPPED, (0, (1,)): 5}, {0: {(): 2}})) == {"x": [None, 5]}


def test_parts_and_ports_of_outputs() -> None:
    two = Node(id="two", outputs=("left", "right"))
    node = n("t", inputs={"x": OutputRef("two", "right", (PathStep("real", attribute=True),))})
    assert resolved(node, (two,), scope_of({(0, ()): {"left": 1, "right": 3 + 4j}})) == {"x": 3.0}
    missing = n("t", inputs={"x": OutputRef("a", path=(PathStep("no"),))})
    with pytest.raises(NodeError, match=r"`a` is a dict without \['no'\]"):
        resolved(missing, (A,), scope_of({(0, ()): {}}))


@pytest.mark.parametrize(
    ("value", "policy", "found"),
    [
        (Absent.SKIPPED, {}, Absent.SKIPPED),
        (Absent.SKIPPED, {"on_skip": "none"}, {"a": None}),
        (Absent.GONE, {}, Absent.GONE),
        (Absent.GONE, {"on_skip": "none"}, Absent.GONE),
        (None, {}, {"a": None}),
    ],
)
def test_what_is_absent_makes_absent(value: Any, policy: dict[str, Any], found: Any) -> None:
    assert resolved(n("t", "a", **policy), (A,), scope_of({(0, ()): value})) == found
    if value is Absent.GONE:
        assert resolved(n("t", "a", **policy), (A,), scope_of({})) == found


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({}, Absent.GONE),
        ({(0, ()): True}, {}),
        ({(0, ()): False}, Absent.SKIPPED),
        ({(0, ()): Absent.SKIPPED}, Absent.SKIPPED),
    ],
)
def test_the_choice_rules_its_branch(said: Any, found: Any) -> None:
    assert resolved(n("t", guard=("if", True)), (n("if", type="choice"),), scope_of(said)) == found


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({}, Absent.GONE),
        ({(0, (0,)): 1}, Absent.GONE),
        ({(0, (0,)): 1, (0, (1,)): Absent.GONE}, Absent.GONE),
        ({(0, (0,)): 1, (0, (1,)): Absent.SKIPPED}, {}),
        ({(0, ()): Absent.SKIPPED}, {}),
    ],
)
def test_what_comes_after_others_waits_for_all_of_them(values: Any, found: Any) -> None:
    assert resolved(n("t", after=("m",)), (M,), scope_of(values, {0: {(): 2}})) == found


def test_a_branch_is_skipped_at_the_depth_at_which_that_was_decided() -> None:
    mapped = n("t", "m", "a", over={"m": 1}, guard=("if", True))
    inputs = inputs_of(mapped, M, A, n("if", type="choice"))
    both = {(0, (1,)): 1, (1, ()): 2}
    assert inputs.skipped_at(scope_of({**both, (2, ()): False}), (1,)) == ()
    assert inputs.skipped_at(scope_of({(0, (1,)): 1, (1, ()): Absent.SKIPPED, (2, ()): True}), (1,)) == ()
    assert inputs.skipped_at(scope_of({(0, (1,)): Absent.SKIPPED, (1, ()): 2, (2, ()): True}), (1,)) == (1,)
    assert inputs.skipped_at(scope_of({(0, ()): Absent.SKIPPED, (1, ()): 2, (2, ()): True}), (1,)) == ()


def test_several_readers_of_a_value_do_not_see_what_the_others_do_to_it() -> None:
    first, second = n("t", "a"), n("u", "a")
    graph = graph_of(A, first, second)
    scope = scope_of({(0, ()): {"rows": [1]}})
    Inputs(graph, first).resolve(scope, ())["a"]["rows"].append(2)  # type: ignore[index]
    assert Inputs(graph, second).resolve(scope, ()) == {"a": {"rows": [1]}}
    only = Inputs(graph_of(A, first), first).resolve(scope, ())
    assert only["a"] is scope.values[0, ()], "one reader gets the value itself"  # type: ignore[index]


def test_digests_tell_inputs_apart() -> None:
    node = n("t", "a", inputs={"x": Literal([1, 2]), "p": ParameterRef("p")}, over={"x": 1})
    inputs = inputs_of(node, A)
    scopes = [
        (scope_of({(0, ()): 1}, p=1), (0,)),
        (scope_of({(0, ()): 1}, p=1), (1,)),
        (scope_of({(0, ()): 2}, p=1), (0,)),
        (scope_of({(0, ()): 1}, p=2), (0,)),
    ]
    digests = [inputs.digest(scope, element) for scope, element in scopes]
    assert len(set(digests)) == 4
    assert digests[0] == inputs.digest(scope_of({(0, ()): 1}, p=1), (0,))


def test_what_was_replaced_stands_in_for_one_element_alone_and_changes_its_digest() -> None:
    node = n("t", "m", inputs={"word": Literal("a"), "gone": OutputRef("a")}, over={"m": 1})
    found = inputs_of(node, A, M)
    scope = scope_of({(1, (0,)): 5, (1, (1,)): 6})
    scope.edits = {(2, (0,)): {"gone": [1], "word": {"b": 1, "a": 2}}}
    first = found.resolve(scope, (0,))
    assert first == {"m": 5, "word": {"b": 1, "a": 2}, "gone": [1]}
    assert isinstance(first, dict)
    first["gone"].append(2)
    assert found.resolve(scope, (0,)) == {"m": 5, "word": {"b": 1, "a": 2}, "gone": [1]}, "each gets a value of its own"
    assert found.resolve(scope, (1,)) is Absent.GONE
    edited = found.digest(scope, (0,))
    scope.edits = {}
    assert edited != found.digest(scope, (0,))
