"""What the end of one element does to others: failures, skips, branches, merges, maps, and what a retry opens again."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.unit.core.reach import Reached, failed, n, ok
from wfplatform.core.event import Plan, Retried
from wfplatform.core.graph import Literal, Node, OutputRef, PathStep
from wfplatform.core.policy import Retry

# -- failed and skipped inputs


def test_a_failure_skips_what_depends_on_it_and_nothing_else() -> None:
    reached = Reached(n("a"), n("b", "a"), n("c", "b"), n("d")).see(failed("a"))
    assert reached.states == {"a": "failed", "b": "skipped", "c": "skipped"}
    assert (reached.run("b").reason, reached.run("c").reason) == ("a failed", "b was skipped")
    assert reached.run("c").upstream is True
    assert reached.see(ok("d")).state == "failed"


def test_failures_of_elements_go_element_by_element_and_a_reduction_is_skipped() -> None:
    reached = _mapped().see(failed("m", 1))
    assert reached.states == {"m": {(1,): "failed"}, "p": {(1,): "skipped"}, "r": "skipped"}
    reached.see(ok("m", 0), ok("m", 2), ok("p", 0), ok("p", 2))
    assert reached.state == "failed"
    assert reached.states["p"] == {(0,): "completed", (1,): "skipped", (2,): "completed"}


def _mapped(**policy: Any) -> Reached:
    return Reached(
        n("m", inputs={"x": Literal([1, 2, 3])}, over={"x": 1}),
        n("p", "m", over={"m": 1}),
        n("r", "p", **policy),
        m=3,
    )


def test_a_node_told_to_fails_with_its_input() -> None:
    reached = Reached(n("a"), n("b", "a", on_failure="fail"), n("c", "b"), n("z")).see(failed("a"))
    assert reached.states == {"a": "failed", "b": "failed", "c": "skipped"}
    assert reached.run("b").error == {
        "type": "UpstreamFailed",
        "code": "upstream_failed",
        "message": "Not run: a failed.",
    }
    assert (reached.execution.error or {})["node"] == "a"


def test_a_node_told_to_runs_with_none_for_what_was_skipped() -> None:
    reached = Reached(n("a"), n("b", "a"), n("c", "b", on_skip="none")).see(failed("a"))
    assert reached.states == {"a": "failed", "b": "skipped"}
    assert reached.effects == [Plan()]
    assert reached.see(ok("c")).state == "failed"


def test_ordering_holds_up_after_a_failure_and_not_after_a_skip() -> None:
    reached = Reached(n("a"), n("b", "a"), n("c", after=("a",)), n("d", after=("b",))).see(failed("a"))
    assert reached.states == {"a": "failed", "b": "skipped", "c": "skipped"}
    assert reached.effects == [Plan()]


@pytest.mark.parametrize("order", list(itertools.permutations(["skip", "fail", "ok"])))
@pytest.mark.parametrize(
    ("on_failure", "on_skip", "state"),
    [("skip", "skip", "skipped"), ("fail", "skip", "failed"), ("skip", "none", "skipped"), ("fail", "none", "failed")],
)
def test_how_a_node_ends_does_not_depend_on_the_order_of_its_inputs(
    order: tuple[str, ...], on_failure: str, on_skip: str, state: str
) -> None:
    outcomes = {"skip": ok("if", verdict=False), "fail": failed("f"), "ok": ok("g")}
    reached = Reached(
        n("if", type="choice"),
        n("s", guard=("if", True)),
        n("f"),
        n("g"),
        n("t", "s", "f", "g", on_failure=on_failure, on_skip=on_skip),
        n("after", "t", on_skip="none"),
    ).see(*(outcomes[one] for one in order))
    assert reached.states["t"] == state
    assert ("after" in reached.states) is (state == "failed")


# -- choices


def test_the_branch_not_taken_is_skipped_with_all_that_hangs_on_it() -> None:
    reached = Reached(n("if", type="choice"), n("a", guard=("if", True)), n("b", guard=("if", False)), n("c", "b")).see(
        ok("if", verdict=True)
    )
    assert reached.states == {"if": "completed", "b": "skipped", "c": "skipped"}
    assert reached.run("b").reason == "the branch was not taken: if was true"
    assert (reached.run("b").upstream, reached.run("c").upstream) == (False, False)
    assert reached.see(ok("a")).state == "completed"


def test_in_a_branch_not_taken_nothing_fails() -> None:
    nodes = (n("f"), n("if", type="choice"), n("a", "f", guard=("if", True), on_failure="fail"))
    for order in itertools.permutations([failed("f"), ok("if", verdict=False)]):
        assert Reached(*nodes).see(*order).states["a"] == "skipped"


def test_a_nested_choice_that_was_skipped_skips_even_what_takes_none() -> None:
    reached = Reached(
        n("if", type="choice"),
        n("if-2", type="choice", guard=("if", True)),
        n("a", guard=("if-2", True)),
        n("merge", "a", type="merge", guard=("if-2", False), on_skip="none"),
    ).see(ok("if", verdict=False))
    assert reached.states == {"if": "completed", "if-2": "skipped", "a": "skipped", "merge": "skipped"}
    assert reached.state == "completed"


def test_a_guard_inside_a_map_rules_its_own_element() -> None:
    reached = Reached(
        n("if", type="choice", inputs={"x": Literal([1, 2])}, over={"x": 1}),
        n("a", inputs={"x": Literal([1, 2])}, over={"x": 1}, guard=("if", True)),
        n("r", "a", on_skip="none"),
        **{"if": 2, "a": 2},
    ).see(ok("if", 0, verdict=False), ok("if", 1, verdict=True))
    assert reached.states["a"] == {(0,): "skipped"}


# -- merges


def merge_of(*inner: Node) -> Reached:
    return Reached(n("if", type="choice"), *inner, n("merge", "a", "b", type="merge", on_skip="none"))


def test_a_merge_runs_when_one_branch_was_skipped() -> None:
    reached = merge_of(n("a", guard=("if", True)), n("b", guard=("if", False))).see(ok("if", verdict=False), ok("b"))
    assert reached.states == {"if": "completed", "a": "skipped", "b": "completed"}
    assert reached.see(ok("merge")).state == "completed"


def test_any_failed_input_bars_a_merge() -> None:
    for order in itertools.permutations([ok("if", verdict=True), ok("a"), failed("b")]):
        reached = merge_of(n("a", guard=("if", True)), n("b")).see(*order)
        assert reached.states["merge"] == "skipped"


# -- maps


def test_lengths_known_at_run_time_expand_all_that_is_mapped_along() -> None:
    reached = Reached(n("a"), n("m", "a", over={"a": 1}), n("p", "m", over={"m": 1}))
    reached.see(ok("a", sizes={"result": 2}))
    assert [reached.execution.nodes[x].sizes for x in "mp"] == [{(): 2}, {(): 2}]
    assert reached.effects == [Plan()]
    assert reached.see(*(ok(x, i) for x in "mp" for i in range(2))).state == "completed"


def test_an_empty_map_ends_with_what_it_is_mapped_over() -> None:
    reached = Reached(n("a"), n("m", "a", over={"a": 1}), n("r", "m")).see(ok("a", sizes={"result": 0}))
    assert reached.execution.open_nodes == 1
    assert reached.see(ok("r")).state == "completed"


def test_a_nested_map_of_empty_lists_ends_by_itself() -> None:
    reached = Reached(n("a"), n("m", "a", over={"a": 1}), n("p", "m", over={"m": 2}))
    reached.see(ok("a", sizes={"result": 2}), ok("m", 0, sizes={"result": 0}), ok("m", 1, sizes={"result": 0}))
    assert reached.execution.nodes["p"].sizes == {(): 2, (0,): 0, (1,): 0}
    assert reached.state == "completed"


def test_an_empty_list_among_others_holds_up_nobody_once_the_branch_is_known_to_be_taken() -> None:
    mapped = n("p", "m", over={"m": 2}, guard=("if", True))
    reached = Reached(n("if", type="choice"), n("a"), n("m", "a", over={"a": 1}), mapped, n("r", "p"))
    reached.see(ok("a", sizes={"result": 2}), ok("m", 0, sizes={"result": 1}), ok("m", 1, sizes={"result": 0}))
    assert reached.see(ok("if", verdict=True)).effects == [Plan()], "what needs all of p could not be planned before"
    assert reached.see(ok("p", 0, 0)).execution.open_nodes == 1


def test_two_levels_of_one_output_are_expanded_by_the_lengths_of_its_items() -> None:
    reached = Reached(n("a"), n("m", "a", over={"a": 2}))
    reached.see(ok("a", sizes={"result": 2, "result/0": 0, "result/1": 3}))
    assert reached.execution.nodes["m"].sizes == {(): 2, (0,): 0, (1,): 3}


def test_lengths_of_parts_go_by_their_own_names() -> None:
    part = OutputRef("a", path=(PathStep("rows"),))
    reached = Reached(n("a"), n("m", inputs={"x": part}, over={"x": 1})).see(ok("a", sizes={"result[rows]": 3}))
    assert reached.execution.nodes["m"].sizes == {(): 3}


@pytest.mark.parametrize("order", list(itertools.permutations(["a", "b", "if"])))
def test_lengths_that_disagree_fail_the_node_with_a_sentence(order: tuple[str, ...]) -> None:
    outcomes = {"a": ok("a", sizes={"result": 2}), "b": ok("b", sizes={"result": 3}), "if": ok("if", verdict=True)}
    nodes = (n("a"), n("b"), n("if", type="choice"))
    mapped = n("m", "a", "b", over={"a": 1, "b": 1}, guard=("if", True))
    reached = Reached(*nodes, mapped, n("r", "m")).see(*(outcomes[one] for one in order))
    assert (reached.states["m"], reached.states["r"], reached.state) == ("failed", "skipped", "failed")
    assert "collections of different lengths: `a` has 2, `b` has 3." in reached.run("m").error["message"]
    assert (reached.execution.error or {})["code"] == "map_sizes"


def test_lengths_that_disagree_do_not_matter_in_a_branch_not_taken() -> None:
    mapped = n("m", inputs={"x": Literal([1]), "y": Literal([1, 2])}, over={"x": 1, "y": 1}, guard=("if", True))
    reached = Reached(n("if", type="choice"), mapped, m=[((), 1), ((), 2)])
    assert reached.states == {}
    assert reached.fork().see(ok("if", verdict=False)).state == "completed"
    assert reached.see(ok("if", verdict=True)).states["m"] == "failed"


def test_what_is_no_list_fails_the_node_that_is_mapped_over_it() -> None:
    reached = Reached(n("a"), n("m", "a", over={"a": 1})).see(ok("a", sizes={}))
    assert reached.states == {"a": "completed", "m": "failed"}
    assert reached.run("m").error["code"] == "not_mappable"


def test_what_is_no_list_fails_where_it_lies_however_deep() -> None:
    reached = Reached(
        n("a", inputs={"x": Literal([1, 2])}, over={"x": 1}), n("m", "a", over={"a": 3}), n("z", "m"), a=2
    )
    reached.see(ok("a", 0, sizes={"result": 0}), ok("a", 1, sizes={"result": 2, "result/0": 1}))
    assert reached.run("m", 1, 1).error["code"] == "not_mappable"
    assert reached.execution.nodes["m"].sizes == {(): 2, (0,): 0, (1,): 2, (1, 0): 1}
    reached.see(ok("m", 1, 0, 0))
    assert reached.states["z"] == "skipped"
    assert reached.state == "failed"


def test_a_map_whose_collection_was_skipped_is_skipped_whatever_it_does_about_skips() -> None:
    reached = Reached(n("f"), n("a", "f"), n("m", "a", over={"a": 1}, on_skip="none")).see(failed("f"))
    assert reached.states == {"f": "failed", "a": "skipped", "m": "skipped"}


def test_a_branch_that_ends_as_a_whole_takes_its_elements_with_it() -> None:
    mapped = n("m", inputs={"x": Literal([1, 2])}, over={"x": 1})
    reached = Reached(mapped, n("z"), n("p", "m", "z", over={"m": 1}), m=2).see(failed("m", 0))
    assert reached.states["p"] == {(0,): "skipped"}
    reached.see(failed("z"))
    assert reached.states["p"] == {(): "skipped", (0,): "skipped"}
    assert reached.execution.nodes["p"].ended == 1
    assert reached.see(ok("m", 1)).state == "failed"


# -- retry of an execution


def test_a_retry_opens_what_failed_and_what_hangs_on_it_only() -> None:
    reached = Reached(n("a"), n("b", "a"), n("c"), n("if", type="choice"), n("d", "c", guard=("if", True)), n("e", "d"))
    reached.see(failed("a"), ok("c"), ok("if", verdict=False))
    assert reached.state == "failed"
    reached.see(Retried())
    assert reached.states == {
        "a": "pending",
        "b": "pending",
        "c": "completed",
        "if": "completed",
        "d": "skipped",
        "e": "skipped",
    }
    assert (reached.execution.error, reached.effects, reached.execution.finished_at) == (None, [Plan()], None)
    assert reached.see(ok("a", attempt=2), ok("b")).state == "completed"


def test_a_retry_opens_single_elements() -> None:
    reached = _mapped().see(ok("m", 0), failed("m", 1), ok("m", 2), ok("p", 0), ok("p", 2))
    assert reached.state == "failed"
    reached.see(Retried())
    assert reached.states["m"] == {(0,): "completed", (1,): "pending", (2,): "completed"}
    assert reached.see(ok("m", 1, attempt=2), ok("p", 1), ok("r")).state == "completed"


def test_what_a_retry_opens_is_skipped_again_if_its_branch_is_not_taken() -> None:
    nodes = (n("f"), n("if", type="choice"), n("a", "f", guard=("if", True)), n("b", "a"))
    reached = Reached(*nodes).see(failed("f"), ok("if", verdict=False))
    assert reached.state == "failed"
    reached.see(Retried())
    assert reached.states == {"f": "pending", "if": "completed", "a": "skipped", "b": "skipped"}
    assert reached.see(ok("f", attempt=2)).state == "completed"


def test_lengths_that_disagree_still_do_after_a_retry() -> None:
    reached = Reached(n("a"), n("b"), n("m", "a", "b", over={"a": 1, "b": 1}))
    reached.see(ok("a", sizes={"result": 1}), ok("b", sizes={"result": 2}), Retried())
    assert (reached.states["m"], reached.state) == ("failed", "failed")


def test_a_map_skipped_as_a_whole_is_open_again_after_a_retry() -> None:
    mapped = n("m", "f", inputs={"x": Literal([1, 2])}, over={"x": 1})
    reached = Reached(n("f"), mapped, m=2).see(failed("f"), Retried())
    assert reached.states == {"f": "pending"}
    assert reached.see(ok("f", attempt=2), ok("m", 0), ok("m", 1)).state == "completed"


def test_a_waiting_element_is_left_alone_by_a_retry() -> None:
    reached = Reached(n("a", retry=Retry(attempts=2)), n("b")).see(failed("a"), failed("b"))
    assert reached.see(Retried()).states == {"a": "waiting", "b": "pending"}
