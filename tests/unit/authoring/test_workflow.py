"""`@workflow`: drawing, redrawing, running through the port, and workflows inside workflows."""

# ruff: noqa: B018, PLW0108  # drawing is what is tested

from __future__ import annotations

import datetime
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

import pytest

from wfplatform import (
    DefinitionError,
    NodeError,
    OnFailure,
    ParameterError,
    Retry,
    Workflow,
    if_,
    merge,
    node,
    use_platform,
    workflow,
)
from wfplatform.authoring.platform import RunOptions, current_platform
from wfplatform.core.graph import Json, Literal, OutputRef, ParameterRef


@node
def add(x: int, y: int = 1) -> int:
    return x + y


@node
def total(xs: Any) -> Any:
    return sum(xs)


@workflow(name="sum up", tags=("a", "b"), priority=4, max_executions=2, timeout_s=60)
def summed(numbers: list[int], by: int = 1) -> Any:
    """Add and sum.

    More text.
    """
    return total(add.map(numbers, by))


class Platform:
    """A platform that notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def run(self, workflow: Workflow[..., Any], parameters: Mapping[str, Json], options: RunOptions) -> Any:
        self.asked.append((workflow.name, dict(parameters), options))
        return UUID(int=len(self.asked))

    def run_many(
        self, workflow: Workflow[..., Any], parameters: Sequence[Mapping[str, Json]], options: RunOptions
    ) -> Any:
        return [self.run(workflow, one, options) for one in parameters]


@pytest.fixture
def platform() -> Iterator[Platform]:
    with use_platform(Platform()) as platform:
        yield platform


def test_name_description_and_policy() -> None:
    assert (summed.name, summed.__name__) == ("sum up", "summed")
    assert summed.description == "Add and sum.\n\nMore text."
    assert (summed.policy.tags, summed.policy.priority, summed.policy.max_executions) == (("a", "b"), 4, 2)
    assert workflow(description="other")(lambda: None).description == "other"
    assert workflow(lambda: None).policy.timeout_s == 1800
    assert repr(summed).startswith("<workflow sum up(numbers: 'list[int]', by: 'int' = 1)")


def test_the_graph_says_what_the_function_drew() -> None:
    graph = summed.graph
    assert [n.id for n in graph.nodes] == ["add", "total"]
    assert graph.result == OutputRef("total")
    assert graph.by_id["add"].inputs == {"x": ParameterRef("numbers"), "y": ParameterRef("by")}
    assert [p.name for p in graph.parameters] == ["numbers", "by"]
    assert summed.children == {}


def test_the_definition_is_a_document() -> None:
    document = summed.definition
    assert (document["schemaVersion"], document["name"]) == (1, "sum up")
    assert {n["id"] for n in document["nodes"]} == {"add", "total"}


def test_the_version_follows_graph_and_code() -> None:
    def other(by: int) -> Workflow[..., Any]:
        return workflow(name="sum up")(lambda numbers: total(add.map(numbers, by) if by else numbers))

    def factory(step: int) -> Workflow[..., Any]:
        shifted = node(name="shifted")(lambda x: x + step)
        return workflow(name="w")(lambda x: shifted(x))

    assert len(summed.version) == 64
    assert summed.version == summed.version
    assert factory(1).version == factory(1).version != factory(2).version
    assert other(0).version != summed.version


def test_it_is_drawn_once() -> None:
    calls: list[int] = []

    @workflow
    def counted() -> Any:
        calls.append(1)
        return add(1)

    assert calls == []
    assert [counted.local(), counted.local(), len(counted.graph.nodes)] == [2, 2, 1]
    assert calls == [1]


class Imitate(Protocol):
    def __call__(self, source: str, name: str) -> types.ModuleType: ...


@pytest.fixture
def imitate(monkeypatch: pytest.MonkeyPatch) -> Imitate:
    """Make a module without a file, as a notebook is one."""

    def make(source: str, name: str) -> types.ModuleType:
        module = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(source, vars(module))
        return module

    return make


CELL = """
from wfplatform import node, workflow
def helper(x): return x + 1
@node
def step(x): return helper(x)
def both(x): return [step(x), step(x)]
@workflow
def notebook(x): return both(x)
@workflow
def outer(x): return notebook(x)
"""


@pytest.mark.parametrize(
    "cell",
    [
        "@node\ndef step(x): return helper(x) + 9",
        "def helper(x): return x + 10",
        "def both(x): return [step(x), step(x) if 0 else step(step(x))]",
    ],
)
def test_it_is_drawn_again_when_a_function_it_reaches_is_replaced(imitate: Imitate, cell: str) -> None:
    module = imitate(CELL, "notebook_like")
    before = (module.notebook.local(1), module.notebook.version, module.outer.version)
    assert module.notebook.traced is module.notebook.traced
    exec(cell, vars(module))
    after = (module.notebook.local(1), module.notebook.version, module.outer.version)
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, False, False]
    assert module.outer.local(1) == module.notebook.local(1)


def test_it_is_drawn_again_when_a_module_it_names_is_reloaded(imitate: Imitate) -> None:
    steps = imitate(CELL, "steps_like")
    user = imitate("from wfplatform import workflow\n@workflow\ndef w(): return steps.step(1)", "user_like")
    user.steps = steps  # type: ignore[attr-defined]
    assert user.w.local() == 2
    exec("@node\ndef step(x): return -x", vars(steps))
    assert user.w.local() == -1


def test_calling_it_outside_offers_run_and_local() -> None:
    with pytest.raises(TypeError, match=r"summed.run\(...\).*summed.local\(...\)"):
        summed([1])


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 201])
def test_names_are_checked(name: str) -> None:
    with pytest.raises(DefinitionError, match="name of 1 to 200 printable characters"):
        workflow(name=name)(lambda: None)


async def is_async() -> None:
    pass


def generator() -> Any:
    yield


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (is_async, "is async"),
        (generator, "yields"),
        (int, "is a type"),
        (add, "is a NodeFunction"),
        (print, "is a builtin"),
    ],
)
def test_what_cannot_be_a_workflow_is_refused(function: Any, why: str) -> None:
    with pytest.raises(DefinitionError, match=f"cannot be a workflow: it {why}"):
        workflow(function)


def test_a_result_of_any_shape() -> None:
    @workflow
    def shapes(n: int) -> Any:
        return {"a": add(n), "b": [(n, {1})], "c": datetime.date(2013, 1, 1), "d": None}

    assert shapes.local(1) == {"a": 2, "b": [(1, {1})], "c": datetime.date(2013, 1, 1), "d": None}
    assert workflow(lambda: None).local() is None


# -- running


def test_run_hands_checked_parameters_to_the_platform(platform: Platform) -> None:
    assert summed.run(["1", 2]) == UUID(int=1)  # type: ignore[list-item, comparison-overlap]
    options = summed.options(priority=9, timeout_s=5, tags=("x",), idempotency_key="k")
    options.options(tags=("y",)).run(numbers=[], by=3)
    assert platform.asked == [
        ("sum up", {"numbers": [1, 2], "by": 1}, RunOptions()),
        ("sum up", {"numbers": [], "by": 3}, RunOptions(priority=9, timeout_s=5, tags=("x", "y"), idempotency_key="k")),
    ]


def test_run_refuses_before_the_platform_is_asked(platform: Platform) -> None:
    with pytest.raises(ParameterError, match="numbers: expected"):
        summed.run(5)  # type: ignore[arg-type]
    assert platform.asked == []


def test_run_many(platform: Platform) -> None:
    assert list(summed.run_many([{"numbers": [1]}, {"numbers": [2], "by": "5"}])) == [UUID(int=1), UUID(int=2)]  # type: ignore[comparison-overlap]
    assert [parameters for _, parameters, _ in platform.asked] == [{"numbers": [1], "by": 1}, {"numbers": [2], "by": 5}]


def test_run_many_tells_all_problems_and_starts_nothing(platform: Platform) -> None:
    with pytest.raises(ParameterError) as caught:
        summed.run_many([{"numbers": 1}, {"numbers": []}, {}])
    assert "sum up, run 0: a parameter does not fit" in caught.value.message
    assert "sum up, run 2: a parameter does not fit" in caught.value.message
    assert [problem["run"] for problem in caught.value.facts["problems"]] == [0, 2]
    assert platform.asked == []


def test_the_platform_is_the_default_one_unless_told(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    assert current_platform() is platform
    other = Platform()
    with use_platform(other):
        assert current_platform() is other
    assert current_platform() is platform
    default = types.ModuleType("wfplatform.bootstrap")
    default.default_platform = lambda: other  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wfplatform.bootstrap", default)
    with use_platform(None):  # type: ignore[arg-type]
        assert current_platform() is other


# -- workflows inside workflows


@workflow
def child(n: int, day: datetime.date = datetime.date(2013, 1, 1), label: str = "x") -> Any:
    return [add(n), day, label]


def test_a_workflow_inside_another_is_a_node() -> None:
    @workflow
    def parent(k: int) -> Any:
        return child(add(k), "2014-02-03"), child(k, label="z")  # type: ignore[arg-type]

    first, second = (n for n in parent.graph.nodes if n.type == "workflow")
    assert (first.id, second.id) == ("child", "child-2")
    assert first.config == {"workflow": "child", "version": child.version}
    assert first.inputs == {"n": OutputRef("add"), "day": Literal("2014-02-03")}
    assert second.inputs == {"n": ParameterRef("k"), "label": Literal("z")}
    assert dict(parent.children) == {"child": child}
    assert "version" not in parent.traced.graph.by_id["child"].config
    assert parent.local(1) == ([3, datetime.date(2014, 2, 3), "x"], [2, datetime.date(2013, 1, 1), "z"])


def test_the_version_of_a_parent_follows_its_child() -> None:
    def parent_of(step: int) -> Workflow[..., Any]:
        shifted = node(name="shifted")(lambda x: x + step)
        inner = workflow(name="inner")(lambda x: shifted(x))
        return workflow(name="outer")(lambda x: inner(x))

    assert parent_of(1).version == parent_of(1).version != parent_of(2).version


def test_a_mapped_workflow() -> None:
    @workflow
    def parent(ns: list[int]) -> Any:
        return child.map(ns, label="l"), child.map([1, "2"], day=datetime.date(2014, 1, 1))

    day, other = datetime.date(2013, 1, 1), datetime.date(2014, 1, 1)
    assert parent.local([5]) == ([[6, day, "l"]], [[2, other, "x"], [3, other, "x"]])
    assert parent.graph.by_id["child"].over == {"n": 1}
    assert parent.graph.by_id["child-2"].inputs["n"] == Literal([1, 2])


def test_a_workflow_mapped_over_an_iterator_and_a_set() -> None:
    day = datetime.date(2013, 1, 1)
    assert workflow(lambda: child.map(n for n in (1, 2))).local() == [[2, day, "x"], [3, day, "x"]]
    assert workflow(lambda: child.map(1, label={"b", "a"})).local() == [[2, day, "a"], [2, day, "b"]]


def test_options_of_a_workflow_as_a_node() -> None:
    @workflow(retry=Retry(attempts=9))
    def parent() -> Any:
        a = add(1)
        return child.options(name="Inner one", after=a, retry=Retry(attempts=2), on_failure="fail")(n=1)

    inner = parent.graph.by_id["inner_one"]
    assert (inner.label, inner.after, inner.policy.attempts) == ("Inner one", ("add",), 2)
    assert inner.policy.on_failure is OnFailure.FAIL
    assert workflow(retry=Retry())(lambda: child(1)).graph.nodes[0].policy.retry is None


def test_parameters_of_a_child_are_checked_when_drawn() -> None:
    with pytest.raises(ParameterError) as caught:
        workflow(lambda: child(lable="a")).graph  # type: ignore[call-arg]
    assert "node `child`: the parameters of workflow `child` do not fit" in caught.value.message
    assert "lable: unknown parameter; did you mean `label`?" in caught.value.message
    assert "n: expected int, got nothing" in caught.value.message
    with pytest.raises(ParameterError, match=r"n: expected int, got 'x' \(str\)"):
        workflow(lambda: child("x")).graph  # type: ignore[arg-type]


def test_what_json_cannot_say_beside_an_output_is_refused_for_a_child() -> None:
    @workflow
    def taker(xs: list[Any]) -> Any:
        return xs

    with pytest.raises(DefinitionError, match=r"node `taker`, parameter `xs`: .* cannot be written as JSON"):
        workflow(lambda: taker([add(1), {1, 2}])).graph


def test_two_children_of_one_name_are_refused() -> None:
    def make(n: int) -> Workflow[..., Any]:
        return workflow(name="twin")(lambda: add(n))

    first, second = make(1), make(2)
    with pytest.raises(DefinitionError, match="calls two different workflows that are both called `twin`"):
        workflow(lambda: [first(), second()]).graph


def test_a_failed_child_fails_its_node() -> None:
    @node
    def broken() -> None:
        raise KeyError("deep")

    inner = workflow(name="inner")(lambda: broken())
    outer = workflow(name="outer")(lambda: inner())
    with pytest.raises(
        NodeError, match="Node `inner`: workflow `inner` failed: Node `broken` failed: KeyError"
    ) as caught:
        outer.local()
    assert isinstance(caught.value.__cause__, NodeError)
    assert isinstance(caught.value.__cause__.__cause__, KeyError)


@node
def less(n: int) -> int:
    return n - 1


@workflow
def countdown(n: int) -> Any:
    with if_(n):
        below = countdown.again(depth=5)(less(n))
    return merge(below, "done")


def test_recursion_by_name_with_a_bound() -> None:
    (inner,) = [n for n in countdown.graph.nodes if n.type == "workflow"]
    assert inner.config == {"workflow": "countdown", "depth": 5}
    assert countdown.children == {}
    assert len(countdown.version) == 64
    assert countdown.local(5) == "done"
    with pytest.raises(NodeError) as caught:
        countdown.local(6)
    innermost: BaseException = caught.value
    while innermost.__cause__ is not None:
        innermost = innermost.__cause__
    assert "workflow `countdown` called itself 5 deep, which is its limit" in str(innermost)


def test_recursion_without_a_bound_is_refused() -> None:
    @workflow
    def forever(n: int) -> Any:
        return forever(n)

    with pytest.raises(DefinitionError, match=r"`forever` calls itself \(forever -> forever\)") as caught:
        forever.graph
    assert "forever.again(depth=10)" in caught.value.hint


def test_recursion_by_way_of_another_is_refused() -> None:
    @workflow
    def ping() -> Any:
        return pong()

    @workflow
    def pong() -> Any:
        return ping()

    with pytest.raises(DefinitionError, match=r"\(ping -> pong -> ping\)"):
        ping.graph


@pytest.mark.parametrize("depth", [0, 101, True, "5"])
def test_depths_are_checked(depth: Any) -> None:
    with pytest.raises(DefinitionError, match="depth must be 1 to 100"):
        countdown.again(depth=depth)


def test_again_belongs_into_the_workflow_itself() -> None:
    with pytest.raises(DefinitionError, match="is for calling a workflow inside itself"):
        workflow(lambda: countdown.again(depth=1)(3)).graph
    with pytest.raises(DefinitionError, match="only inside a function decorated with @workflow"):
        countdown.again(depth=1)(3)
