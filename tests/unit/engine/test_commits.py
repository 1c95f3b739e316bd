"""An execution that cannot be recorded fails with a sentence; the engine and the other executions go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from tests.unit.engine.rig import Away, Rig, Time
from wfplatform import delay, node, workflow
from wfplatform.compiler.payload import Delivery, Part, pack_delivery, stage_of
from wfplatform.compiler.segment import Limits
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.core.ports import Commit
from wfplatform.engine.cluster import OutcomesArrived
from wfplatform.engine.options import EngineOptions
from wfplatform.errors import UnreachableError, UnstorableError

ONE_EACH = Limits(most=1, most_unknown=1)


@node
def same(x: Any) -> Any:
    return x


@node
def other(x: Any) -> Any:
    return x


@workflow
def plain(x: int = 1) -> Any:
    """One node."""
    return same(x)


@workflow
def wide(xs: list[int]) -> Any:
    """A node for each, and one behind all."""
    return other(same.map(xs))


@workflow
def above(x: int = 1) -> Any:
    """Waits for another workflow."""
    return plain(x)


@workflow
def patient() -> Any:
    """Waits before it works."""
    return same(delay(seconds=60, value=1))


class Picky(Away):
    """Refuses commits in which something is bad, and counts what it is asked."""

    def __init__(self, time: Time) -> None:
        super().__init__(time)
        self.bad: Callable[[Commit], bool] = lambda commit: False
        self.tries = 0

    def commit(self, commit: Commit) -> None:
        self.tries += 1
        if not self.is_away and self.bad(commit):
            raise UnstorableError("commit_refused", "PostgreSQL cannot hold it: index row too large.")
        super().commit(commit)


def picky() -> tuple[Rig, Picky]:
    time = Time()
    store = Picky(time)
    return Rig(store=store, time=time), store


def spoilt(rig: Rig, part: Part) -> OutcomesArrived:
    """Everything of a part has completed, and what it says of where it came from cannot be stored."""
    output = {"codec": "json", "size": 1, "digest": "d", "value": 1}
    said = [
        [index, element, attempt, "c", 1.0, 2.0, 0.5, 1, "a\0", {"result": output}, None, None, None, [], None]
        for index, span, attempt in part.members
        for element in span.elements()
    ]
    rig.messages += 1
    delivery = Delivery(part.execution, part.epoch, part.segment, said, True)
    return OutcomesArrived(pack_delivery("stream", rig.messages, "tcp://w", [delivery]))


def states(rig: Rig, execution: UUID) -> dict[str, str]:
    found = rig.store.contents.elements[execution]
    return {f"{node}{list(element) or ''}": one.run.state for (node, element), one in found.items()}


def test_the_offender_fails_and_the_other_one_of_the_same_commit_completes() -> None:
    rig = Rig()
    version = rig.publish(plain)
    good, bad, last = (rig.start(version) for _ in range(3))
    rig.turn()
    parts = {part.execution: part for part in rig.cluster.parts}
    rig.turn(rig.done(parts[good]), spoilt(rig, parts[bad]), rig.done(parts[last]))
    assert {rig.record(one).state for one in (good, last)} == {"completed"}
    error = rig.error(bad)
    assert (error["code"], error["node"], error["retryable"]) == ("commit_refused", "same", False)
    assert error["message"].startswith(
        "The database refuses to record what came of same, so the execution cannot go on."
    )
    assert "'a\\x00'" in error["message"]
    assert states(rig, bad) == {"same": "failed"}
    assert (rig.record(bad).nodes_failed, rig.record(bad).nodes_ended, rig.record(bad).engine_id) == (1, 1, None)
    assert rig.engine.live == {}
    assert rig.cluster.acknowledged == 3  # else workers would send it again for ever


def test_what_can_be_recorded_of_the_offender_is_and_a_retry_computes_the_rest_only() -> None:
    rig = Rig(options=EngineOptions(limits=ONE_EACH))
    execution = rig.start(rig.publish(wide), xs=[1, 2, 3, 4])
    rig.turn()
    first, second, third, fourth = rig.cluster.parts[:4]
    rig.turn(rig.done(first), rig.done(second), spoilt(rig, third), rig.done(fourth))
    rig.error(execution)
    assert states(rig, execution) == {
        "same[0]": "completed",
        "same[1]": "completed",
        "same[2]": "failed",
        "same[3]": "completed",
    }
    rig.catalog.command(DEFAULT_TENANT, execution, "retry")
    rig.turn()
    again = [part for part in rig.cluster.parts if part.epoch == 2]
    assert [element for part in again for _, span, _ in part.members for element in span.elements()] == [(2,), ()]
    rig.turn(*map(rig.done, again))
    assert rig.record(execution).state == "completed"
    assert rig.record(execution).error is None


def test_what_still_runs_of_it_is_cancelled() -> None:
    rig = Rig(options=EngineOptions(limits=ONE_EACH))
    execution = rig.start(rig.publish(wide), xs=[1, 2])
    rig.turn()
    rig.turn(spoilt(rig, rig.cluster.parts[0]))
    rig.error(execution)
    assert (execution, stage_of(1, unwinds=True)) in rig.cluster.cancelled
    late = len(rig.store.commits)
    rig.turn(rig.done(rig.cluster.parts[1]), look=False)
    assert len(rig.store.commits) == late  # it comes too late


def test_the_parent_learns_of_the_failure_and_of_nothing_else() -> None:
    rig = Rig()
    rig.publish(plain)
    parent = rig.start(rig.publish(above), x=1)
    rig.turn()
    rig.turn()
    (part,) = rig.cluster.parts
    assert part.execution != parent
    rig.turn(spoilt(rig, part))
    rig.turn()
    error = rig.error(parent)
    assert "The database refuses to record" in error["message"]
    told = [one.command.payload["state"] for one in rig.store.contents.commands.values()]
    assert told == ["failed"]


def test_a_failure_that_cannot_be_told_of_its_nodes_is_told_of_the_execution() -> None:
    rig, store = picky()
    bad = rig.start(rig.publish(plain))
    good = rig.start(rig.publish(wide), xs=[1])
    rig.turn()
    store.bad = lambda commit: any(record.execution_id == bad for record in commit.nodes)
    rig.turn(*map(rig.done, rig.cluster.parts))
    error = rig.error(bad)
    assert "what came of same" in error["message"]
    assert "index row too large" in error["message"]
    assert rig.record(good).state == "completed"


def test_a_failure_that_cannot_be_written_at_all_is_tried_later_and_later_by_the_same_engine() -> None:
    rig, store = picky()
    bad = rig.start(rig.publish(plain))
    good = rig.start(rig.publish(wide), xs=[1, 2])
    rig.turn()

    def is_bad(commit: Commit) -> bool:
        touched = [record.execution_id for record in commit.nodes] + [one.id for one in commit.executions]
        return bad in touched

    store.bad = is_bad
    rig.turn(*map(rig.done, rig.cluster.parts))
    assert rig.record(good).state == "completed"
    assert rig.record(bad).state == "running"
    assert rig.record(bad).engine_id == rig.engine.engine_id, "given back, it would be claimed again at once"
    before = store.tries
    for _ in range(20):
        rig.turn()
    assert store.tries == before, "not before its time"
    waits_s = []
    for _ in range(8):
        wait_s = rig.engine.patience_s
        assert wait_s is not None
        waits_s.append(wait_s)
        rig.time.move(wait_s)
        rig.turn(look=False)
    assert waits_s == sorted(waits_s)
    assert max(waits_s) == pytest.approx(10)
    assert store.tries - before <= 8 * 10
    store.bad = lambda commit: False
    rig.time.move(10)
    rig.turn(look=False)
    assert rig.error(bad)["code"] == "commit_refused"
    assert rig.engine.patience_s is None
    assert rig.engine.live == {}


def test_another_engine_that_takes_it_over_is_not_caught_in_a_loop() -> None:
    rig, store = picky()
    bad = rig.start(rig.publish(plain))
    rig.turn()
    store.bad = lambda commit: (
        bad in [record.execution_id for record in commit.nodes] + [one.id for one in commit.executions]
    )
    rig.turn(*map(rig.done, rig.cluster.parts))
    rig.engine.release_all()
    assert rig.record(bad).engine_id is None
    second = Rig(store=store, time=rig.time)
    second.turn()
    second.turn(*map(second.done, second.cluster.parts))
    before = store.tries
    for _ in range(20):
        second.turn()
    assert store.tries == before
    assert rig.record(bad).epoch == 2
    assert rig.record(bad).engine_id == second.engine.engine_id


def test_a_refusal_that_a_lost_database_interrupts_is_met_again(monkeypatch: pytest.MonkeyPatch) -> None:
    rig, store = picky()
    version = rig.publish(plain)
    good, bad = rig.start(version), rig.start(version)
    rig.turn()
    parts = {part.execution: part for part in rig.cluster.parts}
    refused: list[Commit] = []

    def is_bad(commit: Commit) -> bool:
        if any(record.execution_id == bad and record.recorded.outcome is not None for record in commit.nodes):
            refused.append(commit)
            store.is_away = len(refused) == 2
            return True
        return False

    store.bad = is_bad
    with pytest.raises(UnreachableError):
        rig.turn(rig.done(parts[good]), rig.done(parts[bad]))
    store.is_away = False
    rig.turn()
    assert rig.record(good).state == "completed"
    assert rig.error(bad)["code"] == "commit_refused"


def test_nobody_is_told_of_an_end_that_was_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    told: list[str] = []
    monkeypatch.setattr(rig.engine._commits._notifier, "notify", lambda channel, payloads: told.extend(payloads))
    execution = rig.start(rig.publish(plain))
    rig.turn()
    told.clear()
    rig.turn(spoilt(rig, rig.cluster.parts[0]))
    rig.error(execution)
    assert told
    assert not any("completed" in one for one in told)
    assert any("failed" in one for one in told)


def test_a_wait_of_it_is_over_too() -> None:
    rig, store = picky()
    execution = rig.start(rig.publish(patient))
    store.bad = lambda commit: any(
        "waits until" in r.recorded.run.reason and r.recorded.run.state == "waiting" for r in commit.nodes
    )
    rig.turn()
    assert rig.error(execution)["code"] == "commit_refused"
    rig.time.move(120)
    rig.turn()
    assert rig.cluster.parts == []
