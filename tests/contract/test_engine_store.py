"""What every store of an engine does, whatever it is made of."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.contract.steps import (
    AT,
    IDS,
    LONG_S,
    OVER_S,
    T0,
    VALUE,
    asked,
    change,
    claimed,
    commit,
    completed,
    engine,
    failed,
    nodes,
    published,
    standing,
    started,
    tries,
)
from wfplatform.core.execution import ExecutionState, NodeState, Outcome, OutcomeKind, Run
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.core.ports import Commit, NewCommand, NodeRecord
from wfplatform.core.start import NewExecution
from wfplatform.errors import ConflictError, NotFoundError


def fenced(subject: Any, late: UUID, other: UUID) -> int:
    """Let `other` take over from `late`, whose lease is over; how many executions were freed."""
    freed: int = subject.store.take_over(other)
    assert not subject.store.renew(late, lease_s=LONG_S)
    return freed


def test_a_version_is_what_was_published(subject: Any) -> None:
    version = published(subject)
    assert version.number == 1
    assert subject.store.version(version.id) == version
    assert subject.store.find_version(DEFAULT_TENANT, "delays") == version
    assert subject.store.code(DEFAULT_TENANT, version.code_digest) == b"code of v1"
    assert version.document == {"nodes": [], "a": 1e16}
    assert isinstance(version.document["a"], float)


def test_publishing_the_same_again_is_the_same_version(subject: Any) -> None:
    first, second = published(subject), published(subject, digest="v2")
    assert (first.number, second.number) == (1, 2)
    assert first.workflow_id == second.workflow_id
    assert subject.store.find_version(DEFAULT_TENANT, "delays") == second
    assert published(subject) == first
    assert subject.store.find_version(DEFAULT_TENANT, "delays") == first, "the version published last is run"
    assert subject.store.find_version(DEFAULT_TENANT, "delays", second.digest) == second
    with pytest.raises(NotFoundError):
        subject.store.find_version(DEFAULT_TENANT, "delays", "v3")


def test_what_is_not_there_is_said_so(subject: Any) -> None:
    with pytest.raises(NotFoundError):
        subject.store.version(IDS.new())
    with pytest.raises(NotFoundError):
        subject.store.find_version(DEFAULT_TENANT, "nobody")
    with pytest.raises(NotFoundError):
        subject.store.code(DEFAULT_TENANT, "0" * 64)
    with pytest.raises(NotFoundError):
        subject.catalog.insert(
            DEFAULT_TENANT,
            [NewExecution(id=IDS.new(), version_id=IDS.new(), workflow_name="x", parameters={})],
        )


def test_a_claim_tells_all_of_the_execution(subject: Any) -> None:
    engine_id = engine(subject)
    parent = (IDS.new(), "child", (1, 2))
    new = asked(subject, priority=3, timeout_s=12.5, created_by="ada", tags=("a", "b"), parent=parent, depth=2)[0]
    claim = subject.store.look(engine_id, claims=1).claims[0]
    assert (claim.id, claim.tenant_id, claim.version_id) == (new.id, DEFAULT_TENANT, new.version_id)
    assert (claim.epoch, claim.state) == (1, ExecutionState.RUNNING)
    assert (claim.workflow_name, claim.parameters) == ("delays", {"year": 2013})
    assert (claim.priority, claim.timeout_s, claim.worked_s, claim.depth) == (3, 12.5, 0.0, 2)
    assert claim.parent == parent
    assert claim.created_at.tzinfo is not None
    assert claim.started_at is not None
    assert (claim.cancel_requested_at, claim.paused_at, claim.error) == (None,) * 3
    assert list(claim.runs) == []


def test_claims_come_by_priority_then_age(subject: Any) -> None:
    engine_id = engine(subject)
    low, high, higher = (asked(subject, 2, priority=p) for p in (0, 5, 9))
    assert [c.id for c in subject.store.look(engine_id, claims=3).claims] == [higher[0].id, higher[1].id, high[0].id]
    assert [c.id for c in subject.store.look(engine_id, claims=9).claims] == [high[1].id, low[0].id, low[1].id]
    assert list(subject.store.look(engine_id, claims=9).claims) == []


def test_engines_that_claim_at_once_never_share(subject: Any) -> None:
    wanted = {new.id for new in asked(subject, 200)}
    engines = [engine(subject) for _ in range(4)]
    taken: list[UUID] = []

    def work(engine_id: UUID) -> None:
        while claims := subject.store.look(engine_id, claims=7).claims:
            taken.extend(claim.id for claim in claims)

    in_threads(work, engines)
    assert sorted(taken) == sorted(wanted)


def in_threads(work: Any, arguments: Iterable[Any]) -> None:
    threads = [threading.Thread(target=work, args=(argument,)) for argument in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)


def test_released_executions_are_claimed_with_what_was_recorded(subject: Any) -> None:
    engine_id, other = engine(subject), engine(subject)
    claim = claimed(subject, engine_id)
    run = Run(
        NodeState.WAITING, 2, tries=1, lost=1, alone=True, sizes={"result": 3}, due_at=T0, error={"type": "E"},
        reason="later",
    )  # fmt: skip
    records = (completed("b", (1,)), completed("b", (0,)), standing("a", run, fresh=True))
    commit(subject, engine_id, claim, *records, executions=[change(claim, ExecutionState.WAITING)])
    commit(subject, engine_id, claim, released=[claim.id])
    again = subject.store.look(other, claims=9).claims[0]
    assert (again.epoch, again.state, again.worked_s, again.started_at) == (2, ExecutionState.WAITING, 1.5, T0)
    assert [(stored.node, stored.element) for stored in again.runs] == [("a", ()), ("b", (0,)), ("b", (1,))]
    assert again.runs[0].run == run
    assert again.runs[1].run == Run(NodeState.COMPLETED, 1)


def test_a_lease_that_is_renewed_is_not_taken_over(subject: Any) -> None:
    engine_id, other = engine(subject), engine(subject)
    claim = claimed(subject, engine_id)
    assert subject.store.renew(engine_id, lease_s=LONG_S)
    assert subject.store.take_over(other) == 0
    commit(subject, engine_id, claim, completed("a"))
    assert list(subject.store.look(other, claims=9).claims) == []


def test_who_comes_into_the_seat_of_another_does_not_wait_for_its_lease(subject: Any) -> None:
    former, *others = (engine(subject, seat=seat) for seat in ("one", "two", None))
    claim = claimed(subject, former)
    assert {subject.store.take_over(other) for other in others} == {0}
    later = engine(subject, seat="one")
    assert fenced(subject, former, later) == 1
    assert [again.id for again in subject.store.look(later, claims=9).claims] == [claim.id]
    assert all(subject.store.renew(other, lease_s=LONG_S) for other in others)


def test_who_was_fenced_off_writes_nothing(subject: Any) -> None:
    late, other = engine(subject, lease_s=OVER_S), engine(subject)
    claim = claimed(subject, late)
    child = NewExecution(id=IDS.new(), version_id=claim.version_id, workflow_name="delays", parameters={})
    assert fenced(subject, late, other) == 1
    with pytest.raises(ConflictError) as caught:
        commit(subject, late, claim, completed("a"), executions=[change(claim)], children=[(DEFAULT_TENANT, child)])
    assert caught.value.code == "fenced"
    with pytest.raises(ConflictError):
        subject.store.look(late, claims=1)
    again = subject.store.look(other, claims=9).claims
    assert [(c.id, c.epoch, c.state, list(c.runs)) for c in again] == [(claim.id, 2, ExecutionState.RUNNING, [])]


def test_many_rows_of_who_was_fenced_off_are_refused_too(subject: Any) -> None:
    late, other = engine(subject, lease_s=OVER_S), engine(subject)
    claim = claimed(subject, late)
    fenced(subject, late, other)
    with pytest.raises(ConflictError):
        commit(subject, late, claim, *(completed("a", (index,)) for index in range(500)))
    assert nodes(subject, claim) == {}


def test_an_unknown_engine_is_refused(subject: Any) -> None:
    assert not subject.store.renew(IDS.new(), lease_s=1.0)
    with pytest.raises(ConflictError):
        subject.store.commit(Commit(engine_id=IDS.new()))


def test_leaving_frees_everything_at_once(subject: Any) -> None:
    engine_id, other = engine(subject), engine(subject)
    claim = claimed(subject, engine_id)
    subject.store.leave(engine_id)
    assert not subject.store.renew(engine_id, lease_s=LONG_S)
    assert [found.id for found in subject.store.look(other, claims=9).claims] == [claim.id]


@pytest.mark.parametrize("count", [1, 500])
def test_an_execution_that_another_owns_is_left_alone(subject: Any, count: int) -> None:
    engine_id, other = engine(subject), engine(subject)
    first = claimed(subject, engine_id)
    commit(subject, engine_id, first, released=[first.id])
    second = subject.store.look(other, claims=1).claims[0]
    mine = claimed(subject, engine_id)
    stale = [NodeRecord(first.id, first.epoch, completed("a", (index,))) for index in range(count)]
    fine = [NodeRecord(mine.id, mine.epoch, completed("a", (index,))) for index in range(count)]
    stopped = change(first, ExecutionState.FAILED, finished_at=T0)
    subject.store.commit(
        Commit(engine_id=engine_id, nodes=[*stale, *fine], executions=[stopped, change(mine)], released=[first.id])
    )
    assert nodes(subject, first) == {}
    assert len(nodes(subject, mine)) == count
    row = subject.reader.execution(DEFAULT_TENANT, first.id)
    assert (row.state, row.engine_id, row.epoch) == (ExecutionState.RUNNING, other, second.epoch)


def test_an_older_epoch_of_the_same_engine_is_stale(subject: Any) -> None:
    engine_id = engine(subject)
    first = claimed(subject, engine_id)
    commit(subject, engine_id, first, released=[first.id])
    second = subject.store.look(engine_id, claims=1).claims[0]
    assert (first.epoch, second.epoch) == (1, 2)
    commit(subject, engine_id, first, completed("a"), executions=[change(first, ExecutionState.FAILED)])
    assert nodes(subject, first) == {}
    assert subject.reader.execution(DEFAULT_TENANT, first.id).state is ExecutionState.RUNNING


@pytest.mark.parametrize("count", [1, 500])
def test_a_node_is_recorded_with_all_that_was_told(subject: Any, count: int) -> None:
    engine_id = engine(subject)
    claim = claimed(subject, engine_id)
    commit(subject, engine_id, claim, *(completed("a", (index, 7)) for index in range(count)))
    rows = nodes(subject, claim)
    assert len(rows) == count
    row = rows["a", (0, 7)]
    assert (row.state, row.attempt, row.epoch, row.tries, row.lost) == (NodeState.COMPLETED, 1, claim.epoch, 0, 0)
    assert (row.worker, row.segment, row.cpu_s, row.peak_memory_bytes) == ("w1", "s1", 0.125, 4096)
    assert (row.started_at, row.finished_at) == (T0, T0 + timedelta(seconds=0.25))
    assert (row.input_digest, row.outputs) == ("i" * 64, VALUE)
    assert list(row.outputs["result"]["value"]) == ["b", "a"], "the order of keys is kept"
    assert isinstance(row.outputs["result"]["value"]["a"][0], float)
    assert (row.error, row.sizes, row.verdict, row.due_at, row.reason) == (None, None, None, None, "")


@pytest.mark.parametrize("count", [1, 500])
def test_a_standing_is_recorded_whole(subject: Any, count: int) -> None:
    engine_id, other = engine(subject), engine(subject)
    claim = claimed(subject, engine_id)
    run = Run(
        NodeState.FAILED, 3, tries=3, lost=1, alone=True, upstream=True, verdict=False, sizes={"result": 2},
        due_at=T0, error={"type": "ValueError", "message": "tab\t, line\n, back\\slash"}, reason="it\tfailed\\",
    )  # fmt: skip
    commit(subject, engine_id, claim, *(standing("a", run, (index,), fresh=True) for index in range(count)))
    commit(subject, engine_id, claim, released=[claim.id])
    runs = subject.store.look(other, claims=1).claims[0].runs
    assert [stored.run for stored in runs] == [run] * count


def test_the_last_record_of_an_element_wins(subject: Any) -> None:
    engine_id = engine(subject)
    claim = claimed(subject, engine_id)
    commit(subject, engine_id, claim, started("a"), completed("a"), started("b"))
    rows = nodes(subject, claim)
    assert rows["a", ()].state is NodeState.COMPLETED
    assert rows["b", ()].state is NodeState.RUNNING
    commit(subject, engine_id, claim, completed("b")._replace(fresh=False))
    row = nodes(subject, claim)["b", ()]
    assert (row.state, row.outputs) == (NodeState.COMPLETED, VALUE)


def test_what_ends_without_a_worker_keeps_what_was_told(subject: Any) -> None:
    engine_id = engine(subject)
    claim = claimed(subject, engine_id)
    commit(subject, engine_id, claim, started("a"))
    stopped = Run(NodeState.CANCELLED, 1, reason="the execution was cancelled")
    commit(subject, engine_id, claim, standing("a", stopped), standing("b", Run(NodeState.SKIPPED), fresh=True))
    rows = nodes(subject, claim)
    row = rows["a", ()]
    assert (row.state, row.worker, row.started_at, row.reason) == (NodeState.CANCELLED, "w1", T0, stopped.reason)
    assert row.finished_at is not None
    assert (rows["b", ()].state, rows["b", ()].started_at, rows["b", ()].finished_at) == (NodeState.SKIPPED, None, None)


@pytest.mark.parametrize("count", [1, 500])
def test_the_same_commit_twice_changes_nothing(subject: Any, count: int) -> None:
    engine_id = engine(subject)
    claim = claimed(subject, engine_id)
    logs = ((AT, 20, "log", "one"), (AT, 20, "log", "one"))
    child = NewExecution(id=IDS.new(), version_id=claim.version_id, workflow_name="delays", parameters={})
    retried = Run(NodeState.WAITING, 1, tries=1, due_at=T0, error={"type": "E"})
    whole = Commit(
        engine_id=engine_id,
        nodes=[
            *(NodeRecord(claim.id, claim.epoch, completed("a", (index,), logs=logs)) for index in range(count)),
            NodeRecord(claim.id, claim.epoch, failed("b", retried, {"type": "E"})),
        ],
        executions=[change(claim)],
        children=[(DEFAULT_TENANT, child)],
    )
    subject.store.commit(whole)
    before = nodes(subject, claim)
    subject.store.commit(whole)
    assert nodes(subject, claim) == before
    assert len(before) == count + 1
    assert tries(subject, claim) == [("b", (), 1, "failed")]
    assert len(subject.reader.logs(DEFAULT_TENANT, claim.id).items) == min(2 * count, 1000)
    assert len(subject.reader.executions(DEFAULT_TENANT).items) == 2


def test_a_failure_that_is_tried_again_is_kept(subject: Any) -> None:
    engine_id = engine(subject)
    claim = claimed(subject, engine_id)
    error = {"type": "ValueError", "message": "no"}
    waiting = Run(NodeState.WAITING, 1, tries=1, due_at=T0, error=error, reason="try 2 of 3")
    commit(subject, engine_id, claim, failed("a", waiting, error))
    commit(subject, engine_id, claim, standing("a", Run(NodeState.PENDING, 1, tries=1, error=error)))
    row = nodes(subject, claim)["a", ()]
    assert (row.state, row.tries, row.worker, row.started_at) == (NodeState.PENDING, 1, "", None)
    slow = {"type": "TimeoutError", "code": "node_timeout"}
    ended = Run(NodeState.WAITING, 2, tries=2, due_at=T0, error=slow)
    commit(subject, engine_id, claim, failed("a", ended, slow, fresh=False))
    final = Run(NodeState.FAILED, 3, tries=3, error=error)
    commit(subject, engine_id, claim, failed("a", final, error, fresh=False))
    assert tries(subject, claim) == [("a", (), 1, "failed"), ("a", (), 2, "timed_out")]
    kept = subject.reader.attempts(DEFAULT_TENANT, claim.id).items[0]
    assert (kept.worker, kept.error, kept.started_at) == ("w1", error, T0)
    assert kept.finished_at == T0 + timedelta(seconds=1)
    assert nodes(subject, claim)["a", ()].error == error


def test_a_lost_attempt_is_kept(subject: Any) -> None:
    engine_id = engine(subject)
    claim = claimed(subject, engine_id)
    again = Run(NodeState.PENDING, 1, lost=1, alone=True)
    commit(subject, engine_id, claim, started("a"))
    commit(
        subject, engine_id, claim,
        standing("a", again), started("b"), standing("b", again), standing("c", again, fresh=True),
        standing("d", Run(NodeState.PENDING, 0), fresh=True),
    )  # fmt: skip
    assert tries(subject, claim) == [("a", (), 1, "lost"), ("b", (), 1, "lost"), ("c", (), 1, "lost")]
    assert [row.worker for row in subject.reader.attempts(DEFAULT_TENANT, claim.id).items] == ["w1", "w1", ""]
    assert nodes(subject, claim)["a", ()].worker == ""


def test_what_a_user_retries_is_kept_as_an_attempt(subject: Any) -> None:
    engine_id = engine(subject)
    claim = claimed(subject, engine_id)
    error = {"type": "ValueError"}
    upstream = Run(NodeState.FAILED, 0, upstream=True, error={"type": "UpstreamFailed"})
    commit(
        subject, engine_id, claim,
        failed("a", Run(NodeState.FAILED, 2, tries=2, error=error), error), standing("b", upstream, fresh=True),
    )  # fmt: skip
    commit(
        subject, engine_id, claim,
        standing("a", Run(NodeState.PENDING, 2)), standing("b", Run(NodeState.PENDING, 0)),
    )  # fmt: skip
    assert tries(subject, claim) == [("a", (), 2, "failed")]
    rows = nodes(subject, claim)
    assert [(row.state, row.error) for row in rows.values()] == [(NodeState.PENDING, None)] * 2


def test_fresh_elements_that_are_not_are_written_all_the_same(subject: Any) -> None:
    """After a retry an element may run again of which an earlier round was recorded."""
    engine_id = engine(subject)
    claim = claimed(subject, engine_id)
    commit(subject, engine_id, claim, *(completed("a", (index,)) for index in range(200)))
    commit(subject, engine_id, claim, *(completed("a", (index,), attempt=2) for index in range(100, 300)))
    rows = nodes(subject, claim)
    assert len(rows) == 300
    assert [rows["a", (index,)].attempt for index in (99, 100, 299)] == [1, 2, 2]


@pytest.mark.parametrize("count", [3, 300])
def test_lines_are_kept_in_the_order_of_their_instants(subject: Any, count: int) -> None:
    engine_id = engine(subject)
    claim = claimed(subject, engine_id)
    lines = tuple((AT + index / 1000, 20, "wf.node", f"line {index}\t\\ é") for index in range(count))
    commit(subject, engine_id, claim, completed("a", (1,), logs=lines))
    found = subject.reader.logs(DEFAULT_TENANT, claim.id).items
    assert [line.message for line in found] == [message for *_, message in lines]
    first = found[0]
    assert (first.at, first.node, first.element, first.attempt, first.line) == (T0, "a", (1,), 1, 0)
    assert (first.level, first.logger) == (20, "wf.node")


def test_progress_is_shown_while_a_node_runs(subject: Any) -> None:
    engine_id = engine(subject)
    claim = claimed(subject, engine_id)
    told = Outcome("a", (), 1, OutcomeKind.STARTED, progress=(0.5, "half"), logs=((AT, 20, "log", "early"),))
    commit(subject, engine_id, claim, started("a"))
    commit(subject, engine_id, claim, progress=[(claim.id, told), (claim.id, told._replace(node="unknown"))])
    row = nodes(subject, claim)["a", ()]
    assert (row.state, row.progress, row.progress_message) == (NodeState.RUNNING, 0.5, "half")
    assert len(nodes(subject, claim)) == 1
    assert "early" in [line.message for line in subject.reader.logs(DEFAULT_TENANT, claim.id).items]
    commit(subject, engine_id, claim, completed("a")._replace(fresh=False))
    commit(subject, engine_id, claim, progress=[(claim.id, told)])
    assert nodes(subject, claim)["a", ()].progress is None


def test_bodies_come_back_with_outputs(subject: Any) -> None:
    engine_id = engine(subject)
    claim = claimed(subject, engine_id)
    small = {"codec": "arrow", "size": 3, "digest": "a" * 64, "body": b"\x00\xffx"}
    large = {"codec": "parquet", "size": 3, "digest": "b" * 64, "location": "file:///a/b"}
    tree = {"codec": "tree", "kind": "list", "size": 6, "digest": "c" * 64}
    outputs = {"small": small, "large": large, "plain": VALUE["result"], "tree": {**tree, "items": [small, large]}}
    record = completed("a")
    assert record.outcome is not None
    bare = {name: item for name, item in small.items() if name != "body"}
    told = {**outputs, "tree": {**tree, "items": [bare, large]}}
    commit(subject, engine_id, claim, record._replace(outcome=record.outcome._replace(outputs=told)), completed("b"))
    found = subject.store.outputs({claim.id: [("a", ()), ("b", ()), ("c", ())]})[claim.id]
    assert {stored.node: stored.outputs for stored in found} == {"a": outputs, "b": VALUE}
    assert {stored.run for stored in found} == {Run(NodeState.COMPLETED, 1)}
    assert "body" not in nodes(subject, claim)["a", ()].outputs["small"]
    assert subject.store.outputs({claim.id: []}) == {}


def test_an_execution_that_ends_is_nobodys(subject: Any) -> None:
    engine_id = engine(subject)
    claim = claimed(subject, engine_id)
    error = {"type": "ValueError", "message": "no", "node": "a", "element": []}
    ended = change(claim, ExecutionState.FAILED, finished_at=T0, error=error, cancel_requested_at=T0, paused_at=T0)
    commit(subject, engine_id, claim, completed("a"), executions=[change(claim, waiting_for="x"), ended])
    row = subject.reader.execution(DEFAULT_TENANT, claim.id)
    assert (row.state, row.engine_id, row.error) == (ExecutionState.FAILED, None, error)
    assert (row.started_at, row.finished_at, row.cancel_requested_at, row.paused_at) == (T0,) * 4
    assert (row.worked_s, row.nodes_total, row.nodes_ended, row.nodes_failed) == (1.5, 3, 2, 1)
    assert row.waiting_for == ""
    assert list(subject.store.look(engine_id, claims=9).claims) == []
    commit(subject, engine_id, claim, completed("late"))
    assert list(nodes(subject, claim)) == [("a", ())]


def test_children_are_claimed_like_any_other(subject: Any) -> None:
    engine_id = engine(subject)
    claim = claimed(subject, engine_id)
    child = NewExecution(
        id=IDS.new(), version_id=claim.version_id, workflow_name="delays", parameters={"b": 1, "a": 2.0},
        parent=(claim.id, "sub", (4,)), depth=1, priority=2,
    )  # fmt: skip
    commit(subject, engine_id, claim, children=[(DEFAULT_TENANT, child)])
    found = subject.store.look(engine_id, claims=9).claims[0]
    assert (found.id, found.parent, found.depth, found.priority) == (child.id, child.parent, 1, 2)
    assert list(found.parameters.items()) == [("b", 1), ("a", 2.0)]


def test_a_command_reaches_the_engine_that_owns_the_execution(subject: Any) -> None:
    engine_id, other = engine(subject), engine(subject)
    claim = claimed(subject, engine_id)
    first = subject.catalog.command(DEFAULT_TENANT, claim.id, "pause", created_by="ada")
    second = subject.catalog.command(DEFAULT_TENANT, claim.id, "cancel", {"why": "b\x00d"}, created_by="bob")
    found = subject.store.look(engine_id, commands=9).commands
    assert [(c.id, c.execution_id, c.kind, c.created_by) for c in found] == [
        (first, claim.id, "pause", "ada"),
        (second, claim.id, "cancel", "bob"),
    ]
    assert found[1].payload == {"why": "b\x00d"}
    assert list(subject.store.look(other, commands=9).commands) == []
    assert len(subject.store.look(engine_id, commands=1).commands) == 1
    commit(subject, engine_id, claim, commands_done=[first], executions=[change(claim, paused_at=T0)])
    assert [c.id for c in subject.store.look(engine_id, commands=9).commands] == [second]
    assert subject.reader.execution(DEFAULT_TENANT, claim.id).paused_by == "ada"


def test_a_command_needs_an_execution_that_it_fits(subject: Any) -> None:
    engine_id = engine(subject)
    claim = claimed(subject, engine_id)
    for kind in ("retry", "dance"):
        with pytest.raises(ConflictError):
            subject.catalog.command(DEFAULT_TENANT, claim.id, kind)
    with pytest.raises(NotFoundError):
        subject.catalog.command(DEFAULT_TENANT, IDS.new(), "cancel")
    subject.catalog.command(DEFAULT_TENANT, claim.id, "cancel")
    commit(subject, engine_id, claim, executions=[change(claim, ExecutionState.COMPLETED, finished_at=T0)])
    with pytest.raises(ConflictError):
        subject.catalog.command(DEFAULT_TENANT, claim.id, "cancel")


def test_a_retry_brings_an_ended_execution_back(subject: Any) -> None:
    engine_id = engine(subject)
    claim = claimed(subject, engine_id)
    subject.catalog.command(DEFAULT_TENANT, claim.id, "signal")
    ended = change(claim, ExecutionState.FAILED, finished_at=T0, error={"type": "E"})
    commit(subject, engine_id, claim, completed("a"), executions=[ended])
    assert list(subject.reader.ended(DEFAULT_TENANT, [claim.id])) == [claim.id]
    wish = subject.catalog.command(DEFAULT_TENANT, claim.id, "retry", created_by="ada")
    assert not subject.reader.ended(DEFAULT_TENANT, [claim.id]), "who waits for it waits for its new end"
    found = subject.store.look(engine_id, claims=9, commands=9)
    again = found.claims[0]
    assert [(c.id, c.kind) for c in found.commands] == [(wish, "retry")], "what is wanted of it comes with it"
    assert (again.id, again.epoch, again.state, again.error) == (claim.id, 2, ExecutionState.FAILED, {"type": "E"})
    assert [stored.node for stored in again.runs] == ["a"]
    commit(subject, engine_id, again, commands_done=[wish], executions=[change(again)])
    assert list(subject.store.look(engine_id, commands=9).commands) == []
    assert subject.reader.execution(DEFAULT_TENANT, claim.id).state is ExecutionState.RUNNING


def test_an_engine_tells_the_owner_of_another_execution(subject: Any) -> None:
    engine_id, other = engine(subject), engine(subject)
    parent, child = claimed(subject, other), claimed(subject, engine_id)
    told = NewCommand(
        tenant_id=DEFAULT_TENANT, execution_id=parent.id, kind="child_ended", payload={"node": "a", "element": [1]}
    )
    nobody = NewCommand(tenant_id=DEFAULT_TENANT, execution_id=IDS.new(), kind="child_ended")
    ended = change(child, ExecutionState.COMPLETED, finished_at=T0)
    for _ in range(2):  # the answer to the first may have been lost
        commit(subject, engine_id, child, commands=[told, nobody], executions=[ended])
    found = subject.store.look(other, commands=9).commands
    assert [(c.execution_id, c.kind, c.payload) for c in found] == [(parent.id, told.kind, told.payload)]


def test_costs_follow_what_was_seen(subject: Any) -> None:
    version = IDS.new()
    assert dict(subject.store.costs(version)) == {}
    subject.store.learn({(version, "a"): (1.0, 10), (version, "b"): (2.0, 1), (version, "c"): (9.0, 0)})
    subject.store.learn({(version, "a"): (4.0, 5), (IDS.new(), "a"): (7.0, 1)})
    assert dict(subject.store.costs(version)) == {"a": pytest.approx(2.0), "b": pytest.approx(2.0)}
    subject.store.learn({(version, "b"): (1.0, 1_000_000)})
    subject.store.learn({(version, "b"): (3.0, 20)})
    assert subject.store.costs(version)["b"] == pytest.approx(2.0, rel=0.01)
