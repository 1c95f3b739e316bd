"""Hooks in one engine: once for each end, of everything that ends, and never of what tells."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from tests.unit.engine.rig import Away, Rig, Time, same
from wfplatform import Notice, workflow
from wfplatform.core.hook import Occasion
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.core.ports import Commit, ExecutionChange
from wfplatform.core.record import ExecutionRecord
from wfplatform.errors import UnstorableError


def tell(notice: Notice) -> str:
    return notice.state


@workflow(on_failure=tell)
def inner(x: int) -> Any:
    """Fails, and tells it."""
    return same(x)


@workflow
def by_child(notice: Notice) -> Any:
    """A hook that runs another workflow, which has hooks of its own."""
    return inner(1)


@workflow(on_failure=[tell, by_child], on_completion=tell, on_cancellation=tell)
def outer(x: int) -> Any:
    """Told of in all ends."""
    return same(x)


@workflow
def holds_inner(x: int) -> Any:
    """A workflow that calls one with hooks."""
    return inner(x)


@workflow(late_after_s=10, on_late=tell)
def slow(x: int) -> Any:
    """Late after a while."""
    return same(x)


def published(rig: Rig, flow: Any) -> Any:
    """A workflow, with all that it needs."""
    for other in (*flow.children.values(), *(teller.workflow for teller in flow.hooks)):
        published(rig, other)
    return rig.publish(flow)


def told(rig: Rig, execution_id: UUID) -> list[ExecutionRecord]:
    rows = rig.store.contents.executions.values()
    return [row for row in rows if row.hook is not None and row.hook.execution == execution_id and row.parent is None]


def occasions(rig: Rig, execution_id: UUID) -> list[str]:
    return [str(row.hook.on) for row in told(rig, execution_id) if row.hook]


def fail(rig: Rig, execution_id: UUID) -> None:
    rig.turn()
    part = next(part for part in reversed(rig.cluster.parts) if part.execution == execution_id)
    rig.turn(rig.failed(part))


def test_an_end_and_what_tells_of_it_are_one_commit() -> None:
    rig = Rig()
    execution = rig.start(published(rig, outer), x=1)
    rig.time.move(5)
    fail(rig, execution)
    first, second = told(rig, execution)
    assert [row.workflow_name for row in (first, second)] == ["outer: on failure", "by_child"]
    commit = next(one for one in rig.store.commits if one.children)
    assert [change.state for change in commit.executions if change.id == execution] == ["failed"]
    notice = first.parameters["notice"]
    assert isinstance(notice, dict)
    assert (notice["execution_id"], notice["workflow"], notice["version"]) == (str(execution), "outer", 1)
    assert notice["error"] == {"type": "ValueError", "message": "no", "code": "", "node": "same", "element": []}
    assert (notice["parameters"], notice["state"], notice["occasion"]) == ({"x": 1}, "failed", "failure")


def test_every_end_is_told_once_and_the_next_one_too() -> None:
    rig = Rig()
    execution = rig.start(published(rig, outer), x=1)
    fail(rig, execution)
    assert occasions(rig, execution) == ["failure"] * 2
    rig.catalog.command(DEFAULT_TENANT, execution, "retry")
    fail(rig, execution)
    assert occasions(rig, execution) == ["failure"] * 4
    rig.catalog.command(DEFAULT_TENANT, execution, "retry")
    rig.turn()
    rig.turn(rig.done(next(part for part in reversed(rig.cluster.parts) if part.execution == execution)))
    assert occasions(rig, execution) == ["failure"] * 4 + ["completion"]


def test_who_cancels_is_told_of_it() -> None:
    rig = Rig()
    execution = rig.start(published(rig, outer), x=1)
    rig.turn()
    rig.catalog.command(DEFAULT_TENANT, execution, "cancel")
    rig.turn()
    assert occasions(rig, execution) == ["cancellation"]


def test_nobody_tells_of_who_tells_nor_of_what_that_runs() -> None:
    rig = Rig()
    execution = rig.start(published(rig, outer), x=1)
    fail(rig, execution)
    hook = told(rig, execution)[1]
    rig.turn()
    (child,) = [row for row in rig.store.contents.executions.values() if row.parent and row.parent[0] == hook.id]
    assert child.hook == hook.hook
    fail(rig, child.id)
    rig.turn()
    assert rig.record(hook.id).state == "failed"
    assert told(rig, child.id) == told(rig, hook.id) == []
    assert len(told(rig, execution)) == 2


def test_a_child_is_told_of_like_any_other() -> None:
    rig = Rig()
    execution = rig.start(published(rig, holds_inner), x=1)
    rig.turn()
    (child,) = [row for row in rig.store.contents.executions.values() if row.parent]
    fail(rig, child.id)
    assert occasions(rig, child.id) == ["failure"]
    assert rig.error(execution)["node"] == "inner"


def test_an_end_that_is_written_again_is_told_once() -> None:
    time = Time()
    store = Away(time)
    rig = Rig(store=store, time=time)
    execution = rig.start(published(rig, outer), x=1)
    rig.turn()
    (part,) = rig.cluster.parts
    wrote = type(store).commit

    def unsaid(commit: Commit) -> None:
        wrote(store, commit)
        if commit.children:
            wrote(store, commit)

    store.commit = unsaid  # type: ignore[method-assign]
    rig.turn(rig.failed(part))
    assert len(told(rig, execution)) == 2


def test_an_end_that_cannot_be_recorded_is_told_as_the_one_that_is() -> None:
    time = Time()
    store = Away(time)
    rig = Rig(store=store, time=time)
    execution = rig.start(published(rig, outer), x=1)
    rig.turn()
    (part,) = rig.cluster.parts
    wrote = type(store).commit

    def choosy(commit: Commit) -> None:
        if any(is_completed(change) for change in commit.executions):
            raise UnstorableError("commit_refused", "It does not fit.")
        wrote(store, commit)

    def is_completed(change: ExecutionChange) -> bool:
        return change.id == execution and change.state == "completed"

    store.commit = choosy  # type: ignore[method-assign]
    rig.turn(rig.done(part))
    assert rig.error(execution)["code"] == "commit_refused"
    assert occasions(rig, execution) == ["failure"] * 2


def test_a_version_that_cannot_be_run_is_told_of_all_the_same() -> None:
    rig = Rig()
    published(rig, outer)
    document = {**outer.definition, "schemaVersion": 99}
    execution = rig.start(rig.publish(outer, digest="d" * 64, document=document), x=1)
    rig.turn()
    assert rig.error(execution)["code"] == "version_unreadable"
    assert occasions(rig, execution) == ["failure"] * 2


def test_a_hook_that_was_never_published_is_told_at_once() -> None:
    rig = Rig()
    execution = rig.start(rig.publish(outer), x=1)
    rig.turn()
    assert rig.error(execution)["code"] == "hook_not_published"
    assert "outer: on failure" in rig.error(execution)["message"]
    assert told(rig, execution) == []


def test_a_hook_runs_in_the_version_with_which_it_was_published() -> None:
    rig = Rig()
    version = published(rig, outer)
    (hook, *_) = [one.workflow for one in outer.hooks]
    rig.publish(hook, digest="e" * 64)
    execution = rig.start(version, x=1)
    fail(rig, execution)
    found = rig.store.version(told(rig, execution)[0].version_id)
    assert found.digest == hook.version


def test_one_that_is_late_is_told_of_once_and_goes_on() -> None:
    rig = Rig()
    version = published(rig, slow)
    execution = rig.start(version, x=1)
    rig.store.contents.update(execution, late_at=rig.time.at.replace(second=10))
    rig.turn()
    assert rig.engine.next_timer_at == rig.time.at.replace(second=10)
    assert occasions(rig, execution) == []
    rig.time.move(10)
    for _ in range(3):
        rig.turn(look=False)
        rig.time.move(1)
    assert occasions(rig, execution) == ["lateness"]
    assert rig.record(execution).state == "running"
    notice = told(rig, execution)[0].parameters["notice"]
    assert isinstance(notice, dict)
    assert (notice["late_after_s"], notice["duration_s"], notice["finished_at"]) == (10, 10, None)
    rig.turn(rig.done(next(part for part in rig.cluster.parts if part.execution == execution)))
    assert occasions(rig, execution) == ["lateness"]


def test_one_that_nobody_has_taken_is_late_too() -> None:
    rig = Rig()
    version = published(rig, slow)
    rig.engine._options = replace(rig.engine._options, max_executions=0)
    execution = rig.start(version, x=1)
    rig.store.contents.update(execution, late_at=rig.time.at)
    rig.turn()
    rig.turn()
    assert rig.record(execution).state == "pending"
    [row] = told(rig, execution)
    assert row.hook == (execution, Occasion.LATENESS)
    assert rig.engine.next_timer_at is None


def test_one_that_is_taken_up_in_vain_tells_nothing_again() -> None:
    rig = Rig()
    execution = rig.start(published(rig, inner), x=1)
    fail(rig, execution)
    gone: dict[str, Any] = {"node": "same", "element": [], "attempt": 7}
    rig.catalog.command(DEFAULT_TENANT, execution, "retry", {"elements": [gone]})
    rig.turn()
    assert (rig.record(execution).state, rig.record(execution).epoch) == ("failed", 2)
    assert occasions(rig, execution) == ["failure"]
