"""A refused commit is written in pieces: what can be stored is, and what cannot is named."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest

from wfplatform.core.event import Recorded
from wfplatform.core.execution import ExecutionState, NodeState, Outcome, OutcomeKind, Run
from wfplatform.core.identifier import DEFAULT_TENANT, TimeOrderedIds
from wfplatform.core.ports import Commit, ExecutionChange, NewCacheEntry, NewCommand, NodeRecord
from wfplatform.core.start import NewExecution
from wfplatform.engine.apart import write
from wfplatform.errors import UnreachableError, UnstorableError

IDS = TimeOrderedIds()
ENGINE = IDS.new()


class Store:
    """Keeps what it is given, unless something in it is bad."""

    def __init__(self, bad: Callable[[Commit], bool]) -> None:
        self.bad = bad
        self.commits: list[Commit] = []
        self.tries = 0

    def commit(self, commit: Commit) -> None:
        self.tries += 1
        if self.bad(commit):
            raise UnstorableError("commit_refused", "It is too long.")
        self.commits.append(commit)

    def nodes(self) -> list[tuple[UUID, str, int]]:
        return [(r.execution_id, r.recorded.node, r.recorded.run.attempt) for c in self.commits for r in c.nodes]

    def changed(self) -> list[UUID]:
        return [change.id for commit in self.commits for change in commit.executions]


def record(execution: UUID, node: str, attempt: int = 1) -> NodeRecord:
    outcome = Outcome(node, (), attempt, OutcomeKind.COMPLETED)
    return NodeRecord(execution, 1, Recorded(node, (), Run(NodeState.COMPLETED, attempt), outcome, True))


def change(execution: UUID) -> ExecutionChange:
    return ExecutionChange(
        id=execution, epoch=1, state=ExecutionState.COMPLETED, started_at=None, finished_at=None,
        cancel_requested_at=None, paused_at=None, waiting_for="", error=None, worked_s=0, nodes_total=1, nodes_ended=1,
        nodes_failed=0,
    )  # fmt: skip


def whole(executions: list[UUID], nodes: int = 1) -> Commit:
    """A commit with something of everything for each execution."""
    return Commit(
        engine_id=ENGINE,
        nodes=[record(one, f"n{number}") for number in range(nodes) for one in executions],
        executions=[change(one) for one in executions],
        children=[
            (
                DEFAULT_TENANT,
                NewExecution(id=IDS.new(), version_id=one, workflow_name="w", parameters={}, parent=(one, "n0", ())),
            )
            for one in executions
        ],
        commands=[
            NewCommand(tenant_id=DEFAULT_TENANT, execution_id=IDS.new(), kind="child_ended", told_by=one)
            for one in executions
        ],
        commands_done=[1, 2],
        cache=[
            NewCacheEntry(tenant_id=DEFAULT_TENANT, key=str(one), execution_id=one, node="n0", element=(), outputs={})
            for one in executions
        ],
    )


def test_what_is_not_refused_is_one_transaction() -> None:
    store, commit = Store(lambda _: False), whole([IDS.new(), IDS.new()])
    assert write(store.commit, commit) == []
    assert store.commits == [commit]


def test_the_others_of_a_thousand_are_written_whole_and_soon() -> None:
    executions = [IDS.new() for _ in range(1000)]
    bad = executions[617]
    store = Store(lambda commit: any(r.execution_id == bad and r.recorded.node == "n1" for r in commit.nodes))
    (refusal,) = write(store.commit, whole(executions, nodes=3))
    assert (refusal.execution, refusal.elements) == (bad, (("n1", ()),))
    assert refusal.error.message == "It is too long."
    assert store.tries < 50
    others = set(executions) - {bad}
    assert set(store.changed()) == others
    assert {child.parent[0] for c in store.commits for _, child in c.children if child.parent} == others
    assert {command.told_by for c in store.commits for command in c.commands} == others
    assert {entry.execution_id for c in store.commits for entry in c.cache} == others
    assert [node for one, node, _ in store.nodes() if one == bad] == ["n0", "n2"]
    # Each execution in one transaction, and commands are done when what came of them is written.
    assert {sum(r.execution_id == executions[0] for r in c.nodes) for c in store.commits} == {0, 3}
    assert [list(commit.commands_done) for commit in store.commits if commit.commands_done] == [[1, 2]]
    assert store.commits[-1].commands_done == [1, 2]


def test_records_of_an_element_stay_together_and_in_order() -> None:
    one = IDS.new()
    nodes = [record(one, "a", 1), record(one, "b", 1), record(one, "a", 2), record(one, "bad"), record(one, "a", 3)]
    store = Store(lambda commit: any(r.recorded.node == "bad" for r in commit.nodes))
    (refusal,) = write(store.commit, Commit(engine_id=ENGINE, nodes=nodes, executions=[change(one)]))
    assert refusal.elements == (("bad", ()),)
    assert sorted(node for _, node, _ in store.nodes()) == ["a", "a", "a", "b"]
    assert [attempt for _, node, attempt in store.nodes() if node == "a"] == [1, 2, 3]
    assert len({id(c) for c in store.commits for r in c.nodes if r.recorded.node == "a"}) == 1
    assert store.changed() == []


def test_what_is_said_of_the_whole_execution_is_refused_without_an_element() -> None:
    one, other = IDS.new(), IDS.new()
    store = Store(lambda commit: any(entry.id == one for entry in commit.executions))
    (refusal,) = write(store.commit, whole([one, other], nodes=2))
    assert (refusal.execution, refusal.elements) == (one, ())
    assert [node for execution, node, _ in store.nodes() if execution == one] == ["n0", "n1"]
    assert store.changed() == [other]


def test_what_is_too_much_together_but_not_apart_is_written() -> None:
    one = IDS.new()
    store = Store(lambda commit: len(commit.nodes) > 2)
    assert write(store.commit, whole([one], nodes=8)) == []
    assert len(store.nodes()) == 8
    assert store.changed() == [one]


def test_a_thousand_bad_elements_do_not_cost_a_thousand_tries() -> None:
    one = IDS.new()
    store = Store(lambda commit: bool(commit.nodes))
    (refusal,) = write(store.commit, whole([one], nodes=1000))
    assert len(refusal.elements) == 1000
    assert store.tries < 150


def test_a_database_that_goes_away_in_between_ends_it() -> None:
    executions = [IDS.new(), IDS.new()]
    tries: list[Commit] = []

    def commit(one: Commit) -> None:
        tries.append(one)
        if len(tries) > 1:
            raise UnreachableError("database_down", "It does not answer.")
        raise UnstorableError("commit_refused", "It is too long.")

    with pytest.raises(UnreachableError):
        write(commit, whole(executions))
    assert len(tries) == 2
