"""Choices and merges."""

# ruff: noqa: B018  # drawing is what is tested

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfplatform import DefinitionError, NodeError, else_, if_, merge, node, workflow
from wfplatform.core.graph import Guard, Literal


@node
def same(x: Any) -> Any:
    return x


@node
def fail(x: Any = None) -> Any:
    raise ValueError("no")


@node(on_skip="none")
def whatever(x: Any = None) -> Any:
    return ["got", x]


@workflow
def nested(a: bool, b: bool) -> Any:
    with if_(a):
        with if_(b):
            ab = same("ab")
        with else_():
            a_only = same("a")
        inner = merge(ab, a_only)
    with else_(), if_(b):
        b_only = same("b")
    return {"inner": inner, "b": b_only, "all": merge(inner, b_only, "neither")}


def test_guards_of_nested_blocks() -> None:
    nodes = nested.graph.by_id
    assert [nodes[name].guard for name in ("if", "if-2", "same", "same-2", "merge", "if-3", "same-3", "merge-2")] == [
        None,
        Guard("if", True),
        Guard("if-2", True),
        Guard("if-2", False),
        Guard("if", True),
        Guard("if", False),
        Guard("if-3", True),
        None,
    ]
    assert nodes["if"].label == "if parameter a"
    assert nodes["if"].type == "choice"
    assert nodes["merge-2"].inputs["2"] == Literal("neither")


@given(st.booleans(), st.booleans())
def test_branches_run_as_pythons_if_would(a: bool, b: bool) -> None:
    inner = ("ab" if b else "a") if a else None
    b_only = "b" if b and not a else None
    assert nested.local(a, b) == {"inner": inner, "b": b_only, "all": inner or b_only or "neither"}


@pytest.mark.parametrize(("value", "taken"), [([], False), ([0], True), ("", False), ("no", True), (None, False)])
def test_a_condition_is_judged_as_python_would(value: Any, taken: bool) -> None:
    @workflow
    def judged() -> Any:
        with if_(same(value)):
            result = same("yes")
        return result

    assert judged.local() == ("yes" if taken else None)


def test_what_needs_a_skipped_result_is_skipped_unless_told_otherwise() -> None:
    @workflow
    def skipping() -> Any:
        with if_(False):
            a = same(1)
        return [same(a), same([a, 2]), whatever(a), same(whatever([a]))]

    assert skipping.local() == [None, None, ["got", None], ["got", [None]]]


def test_a_map_in_a_branch_is_skipped_as_a_whole() -> None:
    @workflow
    def maps(flag: bool) -> Any:
        with if_(flag):
            a = same.map([1, 2])
            b = same.map(a)
        with else_():
            c = same([7])
        return [b, merge(b, c), same.map(merge(b, c)), whatever(b), same.map(b)]

    assert maps.local(True) == [[1, 2], [1, 2], [1, 2], ["got", [1, 2]], [1, 2]]
    assert maps.local(False) == [None, [7], [7], ["got", None], None]


def test_ordering_after_a_skipped_node_holds_nobody_up() -> None:
    @workflow
    def ordered() -> Any:
        with if_(False):
            a = same(1)
        return same.options(after=a)(5)

    assert ordered.local() == 5


def test_a_merge_in_a_branch_not_taken_is_skipped() -> None:
    @workflow
    def guarded() -> Any:
        with if_(False):
            with if_(True):
                a = same(1)
            result = merge(a, "left")
        return merge(result, "outer")

    assert guarded.local() == "outer"


def test_a_merge_takes_none_that_was_computed() -> None:
    @workflow
    def none() -> Any:
        return merge(same(None), "left")

    assert none.local() is None


def test_a_failed_condition_skips_both_branches() -> None:
    @workflow
    def failing() -> Any:
        with if_(fail()):
            a = same(1)
        with else_():
            b = same(2)
        return merge(a, b)

    execution = failing.local_execution()
    assert [type(n.endings[()]).__name__ for n in execution.nodes.values()] == [
        "Failed", "Skipped", "Skipped", "Skipped", "Completed",
    ]  # fmt: skip
    with pytest.raises(NodeError, match="Node `fail` failed: ValueError: no"):
        failing.local()


def test_else_must_follow_its_if() -> None:
    def no_if() -> None:
        with else_():
            same(1)

    def node_between() -> None:
        with if_(True):
            same(1)
        same(2)
        with else_():
            same(3)

    def twice() -> None:
        with if_(True):
            same(1)
        with else_():
            same(2)
        with else_():
            same(3)

    def deeper() -> None:
        with if_(True):
            same(1)
        with if_(True), else_():
            same(2)

    for function in (no_if, node_between, twice, deeper):
        with pytest.raises(DefinitionError, match=rf"Workflow `{function.__name__}`: else_\(\) expects a `with if_"):
            workflow(function).graph


def test_a_mapped_condition_is_refused() -> None:
    @workflow
    def mapped() -> None:
        with if_(same.map([True, False])):
            same(1)

    with pytest.raises(DefinitionError, match=r"if_\(...\): `same` is mapped, so it is many verdicts"):
        mapped.graph


def test_a_merge_without_an_output_is_refused() -> None:
    with pytest.raises(DefinitionError, match="got 2 values without one"):
        workflow(lambda: merge(1, 2)).graph


@pytest.mark.parametrize("use", [lambda: if_(True).__enter__(), lambda: else_().__enter__(), lambda: merge(1)])
def test_outside_a_workflow_they_are_refused(use: Any) -> None:
    with pytest.raises(DefinitionError, match="only inside a function decorated with @workflow"):
        use()


def test_an_error_in_a_block_leaves_no_branch_behind() -> None:
    @workflow
    def caught() -> Any:
        try:
            with if_(True):
                raise KeyError("mine")
        except KeyError:
            return same(1)

    assert caught.graph.by_id["same"].guard is None


def test_a_failed_input_of_a_merge_skips_it_wherever_it_stands() -> None:
    @workflow
    def mixed() -> Any:
        return merge(same(1), fail())

    execution = mixed.local_execution()
    assert type(execution.nodes["merge"].endings[()]).__name__ == "Skipped"
