"""`@node`: plain outside a workflow, recorded inside, and refusing what cannot be a node where it is said."""

# ruff: noqa: PLW0108  # drawing is what is tested

from __future__ import annotations

import asyncio
import functools
import inspect
import pickle
from typing import Any

import pytest

from wfplatform import Cache, DefinitionError, Lane, Limit, Retry, node, workflow
from wfplatform.authoring.options import node_id
from wfplatform.core.graph import ListOf, Literal, OutputRef


@node
def add(x: int, y: int = 2) -> int:
    """Add."""
    return x + y


@node
async def fetch(url: str) -> str:
    return url.upper()


@node(outputs=("low", "high"))
def ends(xs: list[int]) -> tuple[int, int]:
    return min(xs), max(xs)


@node
def gather(first: Any, /, *rest: Any, **named: Any) -> Any:
    return [first, rest, named]


def graph_of(function: Any) -> Any:
    return workflow(function).graph


def test_outside_a_workflow_it_is_the_plain_function() -> None:
    assert add(1) == 3
    assert add(1, y=5) == 6
    assert ends([3, 1, 2]) == (1, 3)
    assert add.__name__ == "add"
    assert add.__doc__ == "Add."
    assert str(inspect.signature(add)) == "(x: 'int', y: 'int' = 2) -> 'int'"
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        add()  # type: ignore[call-arg]


def test_an_async_node_gives_a_coroutine_outside() -> None:
    assert inspect.iscoroutinefunction(fetch)
    assert asyncio.run(fetch("a")) == "A"  # type: ignore[arg-type]


def test_inside_it_is_recorded_with_ports_in_the_order_of_the_signature() -> None:
    def drawn() -> Any:
        return add(y=1, x=add(2))

    first, second = graph_of(drawn).nodes
    assert (first.id, second.id) == ("add", "add-2")
    assert dict(first.inputs) == {"x": Literal(2)}
    assert list(second.inputs.items()) == [("x", OutputRef("add")), ("y", Literal(1))]
    assert second.config == {"function": f"{__name__}:add"}


def test_ids_are_names_with_numbers_that_avoid_each_other() -> None:
    def drawn() -> None:
        add.options(name="add-2")(1)
        add(1)
        add(1)
        add.options(name="Load Flights")(1)
        add.options(name="loadFlights")(1)

    nodes = graph_of(drawn).nodes
    assert [n.id for n in nodes] == ["add-2", "add", "add-3", "load_flights", "load_flights-2"]
    assert [n.label for n in nodes] == ["", "", "", "Load Flights", "loadFlights"]


def test_ids_and_keys_are_the_same_when_drawn_again() -> None:
    def drawn() -> Any:
        return [add(1), add(2), node(lambda x: x)(3)]

    assert graph_of(drawn) == graph_of(drawn)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("load", "load"), ("HTTPGet", "httpget"), ("getIt", "get_it"), ("a b/c", "a_b_c"), ("größe", "größe")],
)
def test_node_id(name: str, expected: str) -> None:
    assert node_id(name) == expected


@pytest.mark.parametrize("name", ["", "  ", "/", "___"])
def test_a_name_without_letters_is_refused(name: str) -> None:
    with pytest.raises(DefinitionError, match="name with letters or digits"):
        node(name=name)


def test_a_call_that_does_not_fit_tells_the_signature() -> None:
    def drawn() -> Any:
        return add(1, z=3)  # type: ignore[call-arg]

    with pytest.raises(DefinitionError, match=r"call of `add` does not fit: .*'z'; expected add\(x"):
        graph_of(drawn)


def test_variadic_functions_keep_their_arguments() -> None:
    @workflow
    def drawn() -> Any:
        return gather(add(1), 2, add(3), k=add(4), m=5)

    assert drawn.local() == [3, (2, 5), {"k": 6, "m": 5}]
    inputs = drawn.graph.by_id["gather"].inputs
    assert isinstance(inputs["rest"], ListOf)
    assert inputs["rest"].kind == "tuple"


def test_several_outputs_by_unpacking_name_and_place() -> None:
    @workflow
    def drawn() -> Any:
        out = ends([3, 1, 2])
        low, high = out
        return [low, high, out.low, out["high"], out[0], out[-1]]  # type: ignore[attr-defined, call-overload]

    assert drawn.graph.by_id["ends"].outputs == ("low", "high")
    assert drawn.local() == [1, 3, 1, 3, 1, 3]


def test_several_outputs_handed_over_as_one_are_refused() -> None:
    with pytest.raises(DefinitionError, match=r"`ends` has several outputs") as caught:
        graph_of(lambda: add(ends([1])))  # type: ignore[arg-type]
    assert "out.low, out.high" in caught.value.hint


def test_an_output_that_is_not_named_is_refused() -> None:
    with pytest.raises(DefinitionError, match="`ends` has no output 'mid'; its outputs are low, high"):
        graph_of(lambda: ends([1]).mid)  # type: ignore[attr-defined]


def test_options_become_policy() -> None:
    retry = Retry(attempts=5)

    @node(
        retry=retry, timeout_s=9, cache=True, io=True, resources={"GPU": 1}, priority=3, limit=("db", 4),
        on_failure="fail", on_skip="none", effect=True, tags=("a",),
    )  # fmt: skip
    def f() -> int:
        return 1

    policy = graph_of(lambda: f()).nodes[0].policy
    assert policy.retry == retry
    assert (policy.timeout_s, policy.cache, policy.lane) == (9.0, Cache(), Lane.IO)
    assert (policy.resources, policy.priority, policy.limit) == ({"GPU": 1}, 3, Limit("db", 4))
    assert (policy.on_failure, policy.on_skip, policy.effect, policy.tags) == ("fail", "none", True, ("a",))


def test_async_is_io_unless_told_otherwise() -> None:
    def drawn() -> None:
        _ = fetch("a"), fetch.options(io=False)("a")
        add(1)

    assert [n.policy.lane for n in graph_of(drawn).nodes] == [Lane.IO, Lane.CPU, Lane.CPU]


def test_options_at_the_call_stand_over_the_decorator() -> None:
    @node(timeout_s=5, cache=True, tags=("a",))
    def f() -> int:
        return 1

    def drawn() -> None:
        f.options(cache=False, priority=2)()
        f()

    first, second = graph_of(drawn).nodes
    assert (first.policy.timeout_s, first.policy.cache, first.policy.priority) == (5, None, 2)
    assert (second.policy.cache, second.policy.priority) == (Cache(), 0)


def test_defaults_of_the_workflow_hold_where_a_node_says_nothing() -> None:
    @node(retry=Retry(attempts=1), timeout_s=1)
    def own() -> int:
        return 1

    @workflow(retry=Retry(attempts=7), node_timeout_s=60, timeout_s=600)
    def drawn() -> None:
        own()
        add(1)

    first, second = drawn.graph.nodes
    assert (first.policy.attempts, first.policy.timeout_s) == (1, 1)
    assert (second.policy.attempts, second.policy.timeout_s) == (7, 60)
    assert drawn.policy.timeout_s == 600


def test_after_orders_without_data() -> None:
    def drawn() -> None:
        a = add(1)
        low, _ = ends([1])
        add.options(after=[a, low])(2)
        add.options(after=a)(2)
        add.options(after=ends([2]))(3)

    nodes = graph_of(drawn).by_id
    assert nodes["add-2"].after == ("add", "ends")
    assert nodes["add-3"].after == ("add",)
    assert nodes["add-4"].after == ("ends-2",)


def test_after_something_else_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"`after` expects what calls of nodes returned, got 5 \(int\)"):
        graph_of(lambda: add.options(after=5)(1))


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("retry", 3, "a Retry"),
        ("cache", "yes", "True, False or a Cache"),
        ("io", 1, "True or False"),
        ("effect", "x", 'True, False or "ask"'),
        ("priority", "high", "a whole number"),
        ("priority", True, "a whole number"),
        ("timeout_s", "1m", "a number of seconds"),
        ("resources", ["GPU"], "a dict of numbers"),
        ("resources", {"GPU": -1}, "0 or more"),
        ("limit", ("db", 0), "a number of 1 or more"),
        ("limit", "db", "a name and a number"),
        ("breaker", 3, "a Breaker"),
        ("limit", ("db", "4"), "a name and a number"),
        ("outputs", "ab", "a tuple of names"),
        ("outputs", ("a", "a"), "different names"),
        ("outputs", ("a", "not good"), "different names"),
        ("outputs", ("_a",), "different names"),
        ("outputs", (), "different names"),
        ("on_failure", "ignore", "'skip' or 'fail'"),
        ("on_skip", "fail", "'skip' or 'none'"),
        ("tags", "x", "a tuple of names"),
        ("name", 5, "text"),
    ],
)
def test_an_option_that_does_not_fit_is_refused_at_the_decorator(option: str, value: Any, expected: str) -> None:
    with pytest.raises(DefinitionError, match=f"`{option}` expects .*{expected}.*got") as caught:
        node(**{option: value})
    assert caught.value.code == "node_option"


def test_a_timeout_out_of_bounds_is_refused_at_the_decorator() -> None:
    with pytest.raises(DefinitionError, match="at most 86400 s"):
        node(timeout_s=100_000)


class Thing:
    @node
    def method(self) -> int:
        return 1

    @staticmethod
    @node
    def static(x: int) -> int:
        return x + 1


def generator() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (Thing, "is a class"),
        (functools.partial(print), "is a partial, not a function"),
        (staticmethod(print), "is a staticmethod"),
        (generator, "yields"),
        (add, "is a node already"),
        (5, "is a int, not a function"),
    ],
)
def test_what_cannot_be_a_node_is_refused(function: Any, why: str) -> None:
    with pytest.raises(DefinitionError, match=f"cannot be a node: it {why}"):
        node(function)


def test_what_is_refused_is_called_by_the_name_it_was_given() -> None:
    with pytest.raises(DefinitionError, match="`counted` cannot be a node: it yields") as caught:
        node(name="counted")(lambda: (yield 1))
    assert caught.value.facts["node"] == "counted"
    with pytest.raises(DefinitionError, match="`<lambda>` cannot be a node"):
        node(lambda: (yield 1))


def test_a_method_is_refused_when_used() -> None:
    with pytest.raises(DefinitionError, match="`method` is a method of Thing"):
        Thing().method()
    assert Thing.static(1) == 2
    assert workflow(lambda: Thing.static(2)).local() == 3


def test_a_builtin_can_be_a_node() -> None:
    total = node(sum)
    assert total([1, 2]) == 3
    assert workflow(lambda: total([1, 2])).local() == 3


def test_nodes_pickle_by_name_or_with_their_function() -> None:
    assert pickle.loads(pickle.dumps(add)) is add
    import cloudpickle

    factor = 3
    scaled = node(name="scaled", timeout_s=4)(lambda x: x * factor)
    back = cloudpickle.loads(cloudpickle.dumps(scaled))
    assert back(2) == 6
    assert (back.name, back.declared.timeout_s) == ("scaled", 4)


def test_map_outside_a_workflow_says_where_it_belongs() -> None:
    with pytest.raises(DefinitionError, match=r"add.map\(...\) can be used only inside a function decorated"):
        add.map([1])


def test_an_output_given_to_a_node_outside_is_refused() -> None:
    kept: list[Any] = []

    @workflow
    def leaky() -> None:
        kept.extend([add(1), ends([1])])

    assert leaky.graph.nodes
    for output in kept:
        with pytest.raises(DefinitionError, match=r"`add` was called with .* outside the workflow function"):
            add(output)


def test_the_representation_shows_the_signature() -> None:
    assert repr(add) == "<node add(x: 'int', y: 'int' = 2) -> 'int'>"
