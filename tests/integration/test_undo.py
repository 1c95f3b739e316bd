"""Executions that fail or are cancelled undo what they did: with real workers, told by what the nodes did outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration import saga, workload
from tests.integration.running import PATIENCE_S, ended, lines, node, nodes, pid_of, running, script_environment, until
from wfplatform import unmapped, workflow
from wfplatform.bootstrap.platform import EmbeddedPlatform
from wfplatform.errors import ExecutionCancelledError, NodeError

pytestmark = pytest.mark.xdist_group("platform")


@workflow
def trip(mark: str, bad: int, go: str) -> Any:
    """Charges, books three seats, announces them, and may fail afterwards."""
    paid = saga.charge("ann", mark)
    seats = saga.book.map([0, 1, 2], paid=unmapped(paid), mark=mark, bad=bad)
    told = saga.announce(seats, mark)
    return saga.fail_until(go, told)


def undone(mark: str) -> list[str]:
    """What was taken back, in the order in which it was."""
    words = ("refund", "unbook", "sweep", "recall")
    return [line for line in lines(mark) if line.startswith(words)]


def test_what_was_done_is_undone_in_reverse_order(platform: EmbeddedPlatform, mark: str) -> None:
    execution = platform.run(trip, {"mark": mark, "bad": -1, "go": f"{mark}.go"})
    with pytest.raises(NodeError, match="not yet"):
        execution.result(PATIENCE_S)
    found = undone(mark)
    assert (found[0], sorted(found[1:4])) == ("recall told", [f"unbook {n} seat-{n}" for n in range(3)])
    assert found[4:] == ["refund ann paid-ann"]
    assert [str(one.state) for one in nodes(execution, "book-undo")] == ["completed"] * 3
    assert [str(one.state) for one in nodes(execution, "book-cleanup")] == ["skipped"]
    assert node(execution, "charge-undo").attempt == 2


def test_an_element_that_failed_is_cleaned_up_after_and_the_others_are_undone(
    platform: EmbeddedPlatform, mark: str
) -> None:
    execution = platform.run(trip, {"mark": mark, "bad": 1, "go": mark})
    assert ended(execution) == "failed"
    found = undone(mark)
    assert sorted(found[:3]) == ["sweep 1", "unbook 0 seat-0", "unbook 2 seat-2"]
    assert found[3:] == ["refund ann paid-ann"]


def test_nothing_is_undone_when_all_goes_well(platform: EmbeddedPlatform, mark: str) -> None:
    Path(f"{mark}.go").touch()
    execution = platform.run(trip, {"mark": mark, "bad": -1, "go": f"{mark}.go"})
    assert execution.result(PATIENCE_S) == "well"
    assert undone(mark) == []
    culled = {
        one.node: (str(one.state), one.reason) for one in execution.nodes() if one.node.endswith(("undo", "cleanup"))
    }
    names = ("charge-undo", "book-undo", "book-cleanup", "announce-undo")
    assert culled == dict.fromkeys(names, ("skipped", "the execution completed"))


def test_a_retry_runs_again_what_was_undone_and_what_came_of_it(platform: EmbeddedPlatform, mark: str) -> None:
    execution = platform.run(trip, {"mark": mark, "bad": -1, "go": f"{mark}.go"})
    assert ended(execution) == "failed"
    Path(f"{mark}.go").touch()
    execution.retry()
    assert execution.result(PATIENCE_S) == "well"
    done = [line for line in lines(mark) if line not in undone(mark)]
    assert done == [*done[: len(done) // 2], *done[len(done) // 2 :]]
    assert [lines(mark).count(line) for line in ("charge ann", "book 0", "book 2", "announce 3")] == [2, 2, 2, 2]
    assert len(undone(mark)) == 5
    assert {str(one.state) for one in nodes(execution, "book-undo")} == {"skipped"}


def test_a_cancelled_execution_stops_and_is_undone(platform: EmbeddedPlatform, mark: str) -> None:
    @workflow
    def stopped(mark: str) -> Any:
        paid = saga.charge("bob", mark)
        return saga.stubborn.options(after=[paid])(7, "spins", mark)

    execution = platform.run(stopped, {"mark": mark})
    until(lambda: running(execution, "stubborn"), "the start")
    until(lambda: "begin" in lines(mark), "its first word")
    execution.cancel()
    with pytest.raises(ExecutionCancelledError):
        execution.result(PATIENCE_S)
    assert lines(mark) == ["charge bob", "begin", "finally", "sweep 7", "refund bob paid-bob"]
    assert str(node(execution, "stubborn").state) == "cancelled"


@pytest.mark.parametrize("how", ["cancel", "timeout"])
@pytest.mark.parametrize(
    ("lane", "kind"),
    [
        *((saga.stubborn, kind) for kind in ("asks", "spins", "ignores", "holds")),
        *((saga.stubborn_io, kind) for kind in ("asks", "ignores", "holds")),
        *((saga.stubborn_async, kind) for kind in ("asks", "spins", "ignores")),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_running_code_is_told_then_stopped_then_its_place_is_taken(
    platform: EmbeddedPlatform, kind: str, lane: Any, how: str, mark: str
) -> None:
    options = {"timeout_s": 1} if how == "timeout" else {}

    @workflow
    def told(kind: str, mark: str) -> Any:
        return lane.options(**options, name="told")(7, kind, mark)

    execution = platform.run(told, {"kind": kind, "mark": mark})
    if how == "cancel":
        word = "holding" if kind == "holds" else "begin"
        until(lambda: word in lines(mark), "its first word")
        until(lambda: running(execution, "told"), "the start")
        execution.cancel()
    assert ended(execution) == ("cancelled" if how == "cancel" else "failed")
    found = lines(mark)
    assert found[0] == "begin"
    assert found[-1] == "sweep 7"
    middle = {"asks": ["asked", "finally"], "spins": ["finally"], "ignores": ["ignored"], "holds": ["holding"]}
    if kind != "holds" or how == "cancel":  # whoever holds it to the end of its time is run once more, alone
        assert found[1:-1] == middle[kind]
    assert platform.run(workload_places, {}).result(PATIENCE_S) == [0, 1, 4, 9]


@workflow
def workload_places() -> Any:
    """Something small for all places."""
    return workload.square.map([0, 1, 2, 3])


def test_an_undo_that_fails_keeps_nothing_else_from_being_undone(platform: EmbeddedPlatform, mark: str) -> None:
    @workflow
    def written(mark: str) -> Any:
        sent = saga.letter(mark, saga.charge("eve", mark))
        return saga.fail(sent)

    execution = platform.run(written, {"mark": mark})
    with pytest.raises(NodeError, match="no more"):
        execution.result(PATIENCE_S)
    assert undone(mark) == ["refund eve paid-eve"]
    error = platform.executions.record(execution.id).error
    assert error["not_undone_count"] == 1
    assert error["not_undone"][0]["node"] == "letter"
    assert "the letter is gone" in error["not_undone"][0]["message"]


def test_an_effect_of_which_nobody_knows_whether_it_happened_is_undone(platform: EmbeddedPlatform, mark: str) -> None:
    @workflow
    def uncertain(mark: str) -> Any:
        return saga.charge_and_die("tom", mark)

    execution = platform.run(uncertain, {"mark": mark})
    until(lambda: execution.state == "waiting", "the question")
    execution.cancel()
    assert ended(execution) == "cancelled"
    assert lines(mark) == ["charge tom", "refund tom None"]


def test_an_engine_that_dies_while_it_undoes_loses_nothing(platform: EmbeddedPlatform, mark: str) -> None:
    @workflow
    def held(mark: str, go: str) -> Any:
        paid = saga.charge("kim", mark)
        return saga.fail(saga.slow_undone(go, mark, paid))

    execution = platform.run(held, {"mark": mark, "go": f"{mark}.go"})
    until(lambda: "slow" in lines(mark), "the first undo")
    assert "undoing" in str(platform.executions.record(execution.id).waiting_for)
    execution.cancel()  # it is on its way already
    os.kill(pid_of(platform.settings, "engine-0"), signal.SIGKILL)
    Path(f"{mark}.go").touch()
    assert ended(execution) == "failed"
    assert undone(mark) == ["refund kim paid-kim"]


def test_a_cancelled_parent_cancels_its_children_and_waits_for_them_to_be_undone(
    platform: EmbeddedPlatform, mark: str
) -> None:
    @workflow
    def inner(mark: str) -> Any:
        paid = saga.charge("child", mark)
        return saga.stubborn.options(after=[paid])(1, "spins", mark)

    @workflow
    def outer(mark: str) -> Any:
        paid = saga.charge("parent", mark)
        return inner.options(after=[paid])(mark)

    execution = platform.run(outer, {"mark": mark})
    until(lambda: "begin" in lines(mark), "the child's last node")
    execution.cancel()
    assert ended(execution) == "cancelled"
    expected = ["charge parent", "charge child", "begin", "finally", "sweep 1", "refund child paid-child"]
    assert lines(mark) == [*expected, "refund parent paid-parent"]


def test_the_command_line_tells_what_could_not_be_undone(platform: EmbeddedPlatform, mark: str) -> None:
    @workflow
    def written(mark: str) -> Any:
        return saga.fail(saga.letter(mark))

    execution = platform.run(written, {"mark": mark})
    assert ended(execution) == "failed"
    shown = subprocess.run(
        [sys.executable, "-m", "wfplatform.cli", "executions", "show", str(execution.id)],
        env=script_environment(platform), capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    ).stdout  # fmt: skip
    assert "letter-undo" in shown
    assert "Not undone: letter: " in shown
    assert "the letter is gone" in shown
    assert "fail-undo" not in shown
