"""`.local()`: the same meaning as on a platform; failures, retries, skips and orderings."""

# ruff: noqa: PLW0108  # drawing is what is tested

from __future__ import annotations

import asyncio
import contextvars
import sys
import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfplatform import NodeError, Retry, each, if_, loop, merge, node, workflow
from wfplatform.authoring.ending import Completed, Failed, Skipped
from wfplatform.core.graph import Definition, Graph, Node


@node
def same(x: Any = None) -> Any:
    return x


@node
def inverse(x: float) -> float:
    return 1 / x


def endings(flow: Any) -> dict[str, list[str]]:
    """Node -> how each of its elements ended."""
    nodes = flow.local_execution().nodes
    return {name: [type(one).__name__ for one in found.endings.values()] for name, found in nodes.items()}


def test_a_failure_names_the_node_and_keeps_the_users_traceback() -> None:
    with pytest.raises(NodeError) as caught:
        workflow(lambda: inverse(same(0))).local()
    error = caught.value
    assert error.message == "Node `inverse` failed: ZeroDivisionError: division by zero"
    assert (error.code, error.node, error.facts["element"], error.facts["attempt"]) == ("node_failed", "inverse", [], 1)
    assert error.facts["type"] == "builtins.ZeroDivisionError"
    assert isinstance(error.__cause__, ZeroDivisionError)
    frames = traceback.extract_tb(error.__cause__.__traceback__)
    assert [frame.name for frame in frames] == ["inverse"]
    assert "return 1 / x" in error.traceback
    assert "wfplatform/authoring" not in error.traceback


def test_a_failed_element_is_named() -> None:
    with pytest.raises(NodeError, match=r"Node `inverse`, element \[1\], failed: ZeroDivisionError"):
        workflow(lambda: inverse.map([1, 0, 2])).local()


def test_what_does_not_depend_on_a_failure_still_runs() -> None:
    @workflow
    def parts() -> Any:
        results = inverse.map([1, 0, 2])
        after = same.map(results)
        return [same(results), after, same(5), same.options(on_failure="fail")(results), same.options(after=results)(6)]

    assert endings(parts) == {
        "inverse": ["Completed", "Failed", "Completed"],
        "same": ["Completed", "Skipped", "Completed"],
        "same-2": ["Skipped"],
        "same-3": ["Completed"],
        "same-4": ["Failed"],
        "same-5": ["Skipped"],
    }
    execution = parts.local_execution()
    assert [error.node for error in execution.failures] == ["inverse"]
    assert execution.result is None
    ending = execution.nodes["same-4"].endings[()]
    assert isinstance(ending, Failed)
    assert ending.error.code == "upstream_failed"
    skipped = execution.nodes["same-2"].endings[()]
    assert isinstance(skipped, Skipped)
    assert skipped.reason == "`inverse` failed"


def test_a_cleaning_node_runs_after_a_skipped_one() -> None:
    cleaned: list[Any] = []

    @node(on_skip="none")
    def clean(x: Any) -> None:
        cleaned.append(x)

    flow = workflow(lambda: clean(same(inverse(0))))
    with pytest.raises(NodeError):
        flow.local()
    assert cleaned == [None]


def test_retries_until_it_succeeds_or_tries_are_used_up() -> None:
    tries: list[int] = []

    @node(retry=Retry(attempts=3, delay_s=3600))
    def flaky(needed: int) -> int:
        tries.append(needed)
        if len(tries) < needed:
            raise ConnectionError("lost")
        return len(tries)

    assert workflow(lambda: flaky(3)).local() == 3
    tries.clear()
    with pytest.raises(NodeError, match="Node `flaky` failed after 3 tries: ConnectionError: lost") as caught:
        workflow(lambda: flaky(4)).local()
    assert caught.value.facts["attempt"] == 3


@pytest.mark.parametrize(
    ("retry", "tries"),
    [
        (Retry(attempts=3, on=("OSError",)), 3),
        (Retry(attempts=3, on=("builtins.ConnectionError",)), 3),
        (Retry(attempts=3, on=("ValueError",)), 1),
        (Retry(attempts=3, on=(OSError, "KeyError")), 3),  # type: ignore[arg-type]
        (Retry(attempts=3, never_on=ConnectionResetError), 1),  # type: ignore[arg-type]
        (Retry(attempts=3, never_on=("OSError",)), 1),
    ],
)
def test_retries_are_for_the_errors_named(retry: Retry, tries: int) -> None:
    @node(retry=retry)
    def broken() -> None:
        raise ConnectionResetError

    with pytest.raises(NodeError) as caught:
        workflow(lambda: broken()).local()
    assert caught.value.facts["attempt"] == tries


def test_a_retry_gets_its_inputs_as_they_were_written() -> None:
    @node(retry=Retry(attempts=2))
    def spoil(xs: list[int]) -> list[int]:
        xs.append(0)
        if len(xs) == 2 and not seen:
            seen.append(1)
            raise ValueError
        return xs

    seen: list[int] = []
    assert workflow(lambda: spoil([1])).local() == [1, 0]
    assert seen == [1]


def test_a_node_that_exits_is_a_node_that_failed() -> None:
    with pytest.raises(NodeError, match="SystemExit"):
        workflow(lambda: node(lambda: sys.exit(3))()).local()


def test_an_interrupt_is_not_swallowed() -> None:
    @node
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workflow(lambda: interrupted()).local()


@pytest.mark.parametrize(
    ("returned", "got"),
    [
        (5, "one int"),
        ((1, 2, 3), "a tuple of 3"),
        ([1], "a list of 1"),
        ({"a": 1}, "a dict without b"),
        ({"a": 1, "b": 2, "c": 3}, "a dict with c besides"),
    ],
)
def test_results_that_do_not_fit_the_outputs(returned: Any, got: str) -> None:
    @node(outputs=("a", "b"))
    def two() -> Any:
        return returned

    with pytest.raises(NodeError, match=rf"Node `two` names 2 outputs \(a, b\) and returned {got}\.") as caught:
        workflow(lambda: list(two())).local()
    assert caught.value.code == "outputs"


@pytest.mark.parametrize("returned", [(1, 2), [1, 2], {"b": 2, "a": 1}])
def test_results_that_fit_the_outputs(returned: Any) -> None:
    two = node(outputs=("a", "b"))(lambda: returned)
    assert workflow(lambda: list(two())).local() == [1, 2]


def test_a_part_that_is_not_there_says_what_is() -> None:
    def part_of(value: Any, get: Any) -> Any:
        return workflow(lambda: same(get(same(value)))).local()

    assert part_of({"a": [1, 2]}, lambda out: out["a"][1]) == 2
    assert part_of(3 + 4j, lambda out: out.imag) == 4
    with pytest.raises(NodeError, match=r"`same` is a dict without \['b'\]: KeyError: 'b'. It has a, c."):
        part_of({"a": 1, "c": 2}, lambda out: out["b"])
    with pytest.raises(NodeError, match=r"`same`\['a'\] is a list without \[5\]: IndexError: .* It has 1 items"):
        part_of({"a": [1]}, lambda out: out["a"][5])
    with pytest.raises(NodeError, match=r"`same` is a int without .nothing: AttributeError"):
        part_of(5, lambda out: out.nothing)


def test_nodes_after_others_see_what_they_did() -> None:
    done: list[str] = []
    note = node(name="note")(lambda text: done.append(text))

    @workflow
    def ordered() -> None:
        first = note.map(["a", "b"])
        note.options(after=[first])("c")

    ordered.local()
    assert done == ["a", "b", "c"]


# -- async


@node
async def doubled(x: int) -> int:
    await asyncio.sleep(0)
    return 2 * x


@node
async def loop_id() -> int:
    return id(asyncio.get_running_loop())


@workflow
def asynchronous() -> Any:
    return doubled.map([1, 2]), loop_id(), loop_id()


def test_async_nodes_share_one_loop() -> None:
    results, first, second = asynchronous.local()
    assert results == [2, 4]
    assert first == second


def test_async_nodes_run_where_a_loop_is_running_already() -> None:
    """As in a notebook."""

    async def cell() -> Any:
        return asynchronous.local(), id(asyncio.get_running_loop())

    (results, first, second), outer = asyncio.run(cell())
    assert results == [2, 4]
    assert first == second != outer


@pytest.mark.parametrize("inside", [False, True])
def test_errors_and_context_of_async_nodes(inside: bool) -> None:
    mark: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="unset")
    mark.set("set")

    @node
    async def read() -> str:
        return mark.get()

    @node
    async def broken() -> None:
        raise ValueError("async")

    async def cell(flow: Any) -> Any:
        return flow.local()

    def run(flow: Any) -> Any:
        return asyncio.run(cell(flow)) if inside else flow.local()

    assert run(workflow(lambda: read())) == "set"
    with pytest.raises(NodeError, match="ValueError: async") as caught:
        run(workflow(lambda: broken()))
    assert [frame.name for frame in traceback.extract_tb(caught.value.__cause__.__traceback__)][-1] == "broken"  # type: ignore[union-attr]


def test_a_plain_function_that_returns_a_coroutine_is_awaited() -> None:
    assert workflow(lambda: node(lambda: doubled.function(4))()).local() == 8


def test_nodes_called_inside_nodes_are_plain_functions() -> None:
    @node
    def outer(x: float) -> float:
        return inverse(x) + 1

    assert workflow(lambda: outer(2)).local() == 1.5


def test_node_types_of_a_platform_are_refused_with_a_sentence() -> None:
    from wfplatform.authoring.local import run_here
    from wfplatform.authoring.trace import Traced

    class Foreign:
        """A workflow that came from a canvas, as far as a local run looks."""

        name = "drawn"
        traced = Traced(
            graph=Graph(nodes=(Node(id="call", type="http_request"),)), functions={}, constants={}, children={}
        )

    execution = run_here(Foreign(), {})  # type: ignore[arg-type]
    assert "`call` is of type `http_request`, which runs on a platform only" in execution.failures[0].message
    assert Definition(name="drawn", graph=Foreign.traced.graph).graph.by_id["call"].rank == 0


def test_a_choice_that_is_mapped_decides_for_each_element() -> None:
    """Authoring does not offer it; a drawn document may hold it."""
    from dataclasses import replace

    @workflow
    def flow() -> Any:
        flags = same.map([True, False, True])
        with if_(same(1)):
            a = same.map(flags)
        return same.options(on_skip="none")(a)

    traced = flow.traced
    nodes = {n.id: n for n in traced.graph.nodes}
    nodes["if"] = replace(nodes["if"], inputs={"condition": nodes["same-3"].inputs["x"]}, over={"condition": 1})
    drawing = flow._drawing
    assert drawing is not None
    drawing.traced = replace(traced, graph=replace(traced.graph, nodes=tuple(nodes.values())))
    assert flow.local() == [True, None, True]


def test_elements_and_sizes_are_known_afterwards() -> None:
    @workflow
    def flow() -> Any:
        return same.map(each(same.map([[1, 2], []])))

    nodes = flow.local_execution().nodes
    assert nodes["same-2"].sizes == {(): 2, (0,): 2, (1,): 0}
    assert list(nodes["same-2"].endings) == [(0, 0), (0, 1)]
    assert all(isinstance(one, Completed) for one in nodes["same-2"].endings.values())


@st.composite
def programs(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    """A random chain of steps over a list of numbers."""
    kinds = st.sampled_from(["map", "reduce", "choice", "loop"])
    return draw(st.lists(st.tuples(kinds, st.integers(-3, 3), st.integers(0, 3)), max_size=6))


@given(programs(), st.lists(st.integers(-5, 5), max_size=4))
def test_random_workflows_mean_what_plain_python_means(program: list[tuple[str, int, int]], start: list[int]) -> None:
    def plain() -> Any:
        values: list[int] = list(start)
        for kind, n, turns in program:
            if kind == "map":
                values = [v + n for v in values]
            elif kind == "reduce":
                values = [sum(values), *values]
            elif kind == "choice":
                values = [v * 2 for v in values] if sum(values) > n else [n, *values]
            else:
                for _ in range(turns):
                    values = values[1:]
        return values

    add = node(name="add")(lambda v, n: v + n)
    prepend = node(name="prepend")(lambda v, vs: [v, *vs])
    total = node(name="total")(sum)

    def drawn(xs: list[int]) -> Any:
        values = same(xs)
        for kind, n, turns in program:
            if kind == "map":
                values = same(add.map(values, n))
            elif kind == "reduce":
                values = prepend(total(values), values)
            elif kind == "choice":
                with if_(node(name="is_more")(lambda vs, n: sum(vs) > n)(values, n)) as _:
                    doubled_values = same(node(name="double")(lambda v: v * 2).map(values))
                with_else = prepend
                from wfplatform import else_

                with else_():
                    more = with_else(n, values)
                values = merge(doubled_values, more)
            else:
                state = node(name="state")(lambda vs, turns: [vs, turns])(values, turns)
                values = loop(lambda s: [s[0][1:], s[1] - 1], state, while_=lambda s: s[1] > 0)[0]
        return values

    assert workflow(drawn).local(xs=start) == plain()


class MuteError(Exception):
    """Its words cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


@node
def mute() -> None:
    raise MuteError


@node
def knot() -> list[Any]:
    held: list[Any] = [1]
    held.append(held)
    return held


@node
def first_of(held: list[Any]) -> Any:
    return held[1][1][0]


@workflow
def falls_mute() -> Any:
    return mute()


@workflow
def unties() -> Any:
    held = knot()
    return [first_of(held), first_of(held)]


def test_an_error_without_words_is_told_all_the_same() -> None:
    with pytest.raises(NodeError, match=r"MuteError: \(its message cannot be shown: RuntimeError\)") as caught:
        falls_mute.local()
    assert isinstance(caught.value.__cause__, MuteError)


def test_what_holds_itself_is_handed_over() -> None:
    assert unties.local() == [1, 1]
