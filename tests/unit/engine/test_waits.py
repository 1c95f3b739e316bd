"""Delays and child executions: lengths of what they give, and what happens when they cannot begin or end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.engine.rig import Rig
from wfplatform import Retry, Workflow, delay, each, node, workflow
from wfplatform.bootstrap.inline import InlinePlatform
from wfplatform.compiler.measure import lengths
from wfplatform.core.graph import OutputRef
from wfplatform.engine.values import UnreadableError, seen_value
from wfplatform.errors import NodeError, StorageError, UnreachableError

WAIT_S = 30.0


class Row:
    """Something that is kept as a pickle."""

    def __init__(self, x: int) -> None:
        self.x = x


@node
def same(x: Any) -> Any:
    return x


@node
def number(row: Any) -> int:
    return int(row.x)


@node
def grid() -> list[list[int]]:
    return [[1, 2], [], [3]]


@node
def record() -> dict[str, Any]:
    return {"rows": [1, 2, 3], "deep": {"grid": [[1], [2, 3]]}, "n": 1}


@node
def rows() -> list[Row]:
    return [Row(1), Row(2)]


@node
def boxes() -> list[list[Row]]:
    return [[Row(1)], [Row(2)]]


@workflow
def gives_grid() -> Any:
    return grid()


@workflow
def gives_record() -> Any:
    return record()


@workflow
def gives_tree() -> Any:
    return {"rows": same.map([1, 2]), "grid": grid(), "pair": (grid(), [1])}


@workflow
def gives_pair(n: int) -> Any:
    return [n, same(n)]


@workflow
def gives_rows() -> Any:
    return rows()


@workflow
def gives_row_tree() -> Any:
    return {"rows": rows()}


@workflow
def gives_boxes() -> Any:
    return boxes()


@workflow
def over_child() -> Any:
    return same.map(gives_grid())


@workflow
def over_child_nested() -> Any:
    return same.map(each(each(gives_grid())))


@workflow
def over_part_of_child() -> Any:
    child = gives_record()
    return [same.map(child["rows"]), same.map(each(each(child["deep"]["grid"])))]


@workflow
def part_of_tree() -> Any:
    child = gives_tree()
    return [child["grid"], child["pair"][1], same(child["rows"]), gives_part()]


@workflow
def gives_part() -> Any:
    return gives_tree()["pair"]


@workflow
def over_part_of_part() -> Any:
    return same.map(gives_part()[0])


@workflow
def over_tree() -> Any:
    child = gives_tree()
    whole, deep = same.map(child["pair"]), same.map(each(each(child["grid"])))
    return [same.map(child["rows"]), deep, same.map(child["pair"][0]), whole]


@workflow
def over_children() -> Any:
    return same.map(each(gives_pair.map([1, 5])))


@workflow
def over_delay() -> Any:
    later = delay(seconds=0, value=record())
    return [same.map(later["rows"]), same.map(each(each(later["deep"]["grid"])))]


@workflow
def over_delays() -> Any:
    return same.map(each(each(delay(seconds=0, value=delay(seconds=0, value=grid())))))


@workflow
def over_delayed_parameter(given: dict[str, Any]) -> Any:
    return same.map(delay(seconds=0, value=given)["rows"])


@workflow
def over_delayed_objects() -> Any:
    return number.map(delay(seconds=0, value=rows()))


@workflow
def over_delayed_structure() -> Any:
    later = delay(seconds=0, value={"a": [grid(), [[1, 2]]], "b": gives_grid()})
    return [same.map(each(each(later["a"]))), same.map(later["b"])]


@workflow
def over_delayed_child() -> Any:
    return same.map(each(each(delay(seconds=0, value=gives_grid()))))


@workflow
def over_objects_of_child() -> Any:
    return number.map(gives_rows())


@workflow
def over_tree_of_child() -> Any:
    return number.map(gives_row_tree()["rows"])


@workflow
def over_objects_within_objects() -> Any:
    return number.map(each(each(gives_boxes())))


@pytest.fixture(scope="module")
def platform() -> Iterator[InlinePlatform]:
    with InlinePlatform() as made:
        yield made


LENGTHS: list[tuple[Workflow[..., Any], dict[str, Any]]] = [
    (over_child, {}),
    (over_child_nested, {}),
    (over_part_of_child, {}),
    (over_tree, {}),
    (part_of_tree, {}),
    (over_part_of_part, {}),
    (over_children, {}),
    (over_delay, {}),
    (over_delays, {}),
    (over_delayed_parameter, {"given": {"rows": [1, 2]}}),
    (over_delayed_objects, {}),
    (over_delayed_structure, {}),
    (over_delayed_child, {}),
    (over_objects_of_child, {}),
    (over_tree_of_child, {}),
]


@pytest.mark.parametrize(("flow", "given"), LENGTHS, ids=lambda value: getattr(value, "name", ""))
def test_what_waits_give_is_mapped_over_as_here(
    flow: Workflow[..., Any], given: dict[str, Any], platform: InlinePlatform
) -> None:
    assert platform.run(flow, given).result(WAIT_S) == flow.local(**given)


def test_a_length_that_only_workers_could_tell_is_refused_with_what_to_do(platform: InlinePlatform) -> None:
    with pytest.raises(NodeError, match="only workers open") as caught:
        platform.run(over_objects_within_objects, {}).result(WAIT_S)
    assert caught.value.node == "gives_boxes"
    assert "Let the workflow return plain lists" in str(caught.value)


def test_larger_plain_data_is_opened_to_be_measured() -> None:
    refs, levels = (OutputRef("c"), OutputRef("c", path=())), {"result": 2}
    output = {"codec": "json", "size": 10**6, "digest": "d", "location": "artifacts/d"}
    opened = seen_value(output, lambda asked: [[1], [2, 3]] if asked == output else None, "It")
    assert lengths("c", refs, levels, opened, several=False) == {"result": 2, "result/0": 1, "result/1": 2}
    part = {**output, "path": [[1, False]]}
    assert seen_value(part, lambda asked: [[1], [2, 3]], "It") == [2, 3]
    assert seen_value({**output, "path": [["x", False]]}, lambda asked: [1], "It") is None
    for load in (None, _damaged):
        with pytest.raises(UnreadableError, match="It is mapped over"):
            lengths("c", refs, levels, seen_value(output, load, "It"), several=False)
    with pytest.raises(StorageError, match="No answer"):
        seen_value(output, _away, "It")
    pickled = {**output, "codec": "pickle"}
    with pytest.raises(UnreadableError):
        seen_value({**pickled, "path": [["x", True]]}, _away, "It")
    assert lengths("c", refs[:1], {"result": 1}, seen_value({**pickled, "length": 3}, None, "It"), several=False) == {
        "result": 3
    }


def _damaged(output: Any) -> Any:
    raise StorageError("artifact_corrupt", "It is damaged.")


def _away(output: Any) -> Any:
    raise StorageError("storage_away", "No answer.")


# -- children that cannot begin


@workflow
def takes_number(n: int) -> Any:
    return same(n)


@workflow
def calls() -> Any:
    """The child takes what its node gives; another branch has nothing to do with it."""
    return [takes_number(same("no number")), same(1)]


@workflow
def calls_well() -> Any:
    return takes_number(same(5))


def test_refused_parameters_and_missing_workflows_fail_their_node(platform: InlinePlatform) -> None:
    execution = platform.run(calls, {})
    execution.wait(WAIT_S)
    error = execution.record.error or {}
    assert (execution.state, error["node"]) == ("failed", "takes_number")
    assert {row.node: str(row.state) for row in execution.nodes()} == {
        "same": "completed",
        "same-2": "completed",
        "takes_number": "failed",
    }
    rig = Rig()
    one = rig.start(rig.publish(calls_well))  # the child is not
    rig.turn()
    rig.turn(rig.done(rig.cluster.parts[0], 5))
    assert (rig.error(one)["node"], rig.error(one)["code"]) == ("takes_number", "version_not_found")


def test_an_unforeseen_error_fails_the_node_that_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*args: Any) -> Any:
        raise RecursionError("too deep")

    monkeypatch.setattr("wfplatform.engine.waits.bind", stumble)
    rig = Rig()
    rig.publish(takes_number)
    execution = rig.start(rig.publish(calls_well))
    rig.turn()
    rig.turn(rig.done(rig.cluster.parts[0], 5))
    error = rig.error(execution)
    assert (error["node"], error["code"]) == ("takes_number", "engine_error")
    assert "RecursionError: too deep" in error["message"]


@workflow
def retried() -> Any:
    return takes_number.options(retry=Retry(attempts=2, delay_s=0.0))(same(5))


@pytest.mark.parametrize("flow", [calls_well, retried], ids=lambda flow: flow.name)
def test_a_service_that_does_not_answer_fails_no_child(flow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    rig.publish(takes_number)
    execution = rig.start(rig.publish(flow))
    rig.turn()
    real = rig.store.find_version
    asked: list[str] = []

    def away(*args: Any) -> Any:
        asked.append("")
        raise UnreachableError("database_down", "It does not answer.")

    monkeypatch.setattr(rig.store, "find_version", away)
    rig.turn(rig.done(rig.cluster.parts[0], 5))
    for _ in range(5):
        rig.turn()
    assert len(asked) == 1
    assert rig.record(execution).state in ("running", "waiting")
    assert rig.engine.patience_s is not None
    monkeypatch.setattr(rig.store, "find_version", real)
    rig.time.move(rig.engine.patience_s)
    rig.turn(look=False)
    children = [row for row in rig.store.contents.executions.values() if row.parent is not None]
    assert [(row.parent or ())[0] for row in children] == [execution]
    rig.turn(rig.done(rig.cluster.parts[-1], 5))
    rig.turn()
    assert rig.record(execution).state == "completed"
    assert rig.engine.patience_s is None


def test_a_delay_and_a_childs_end_wait_for_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    @workflow
    def both() -> Any:
        return [delay(seconds=60, value=same(1)), takes_number(same(5))]

    rig = Rig()
    rig.publish(takes_number)
    execution = rig.start(rig.publish(both))
    rig.turn()
    rig.turn(*map(rig.done, rig.cluster.parts))
    real = rig.store.outputs

    def away(*args: Any) -> Any:
        raise UnreachableError("database_down", "It does not answer.")

    monkeypatch.setattr(rig.store, "outputs", away)
    rig.time.move(61)
    rig.turn(rig.done(rig.cluster.parts[-1]))  # the child ends, and so does the delay
    rig.turn()
    assert rig.record(execution).state in ("running", "waiting")
    monkeypatch.setattr(rig.store, "outputs", real)
    rig.time.move(1.1)
    rig.turn()
    assert rig.record(execution).state == "completed"
