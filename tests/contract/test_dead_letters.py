"""What every store keeps of what failed for good: found, filtered, paged, discarded, and gone when it goes on or is too old."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.conftest import Subject
from tests.contract.steps import change, claimed, commit, completed, engine, failed, nodes, standing, started
from wfplatform.core.dead_letter import DeadLetterFilter
from wfplatform.core.execution import ExecutionState, NodeState, Run
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.core.ports import Asleep, Claim
from wfplatform.engine.testing.memory import MemoryStore
from wfplatform.engine.testing.memory_dead_letters import MemoryDeadLetters
from wfplatform.errors import ConflictError, NotFoundError
from wfplatform.store.database import Database
from wfplatform.store.dead_letter import PostgresDeadLetters

DAY_S = 86_400.0
BAD = {
    "type": "ValueError",
    "kinds": ["builtins.ValueError", "ValueError", "Exception"],
    "message": "bad",
    "code": "user_error",
}
AWAY = {"type": "http.Away", "kinds": ["http.Away"], "message": "gone", "code": "user_error", "traceback": "long"}
LOST = {"type": "WorkerLost", "message": "Given up.", "code": "worker_lost"}
EDIT = {"inputs": {"x": {"b": 1.0, "a": [1e16, "é\x00"]}}, "by": "ann", "at": "2026-01-02T00:00:00+00:00"}


@pytest.fixture
def letters(subject: Subject) -> Iterator[Any]:
    """Where dead letters of the subject are."""
    if isinstance(subject.store, MemoryStore):
        yield MemoryDeadLetters(subject.store)
        return
    database = Database(subject.store.database.dsn)
    yield PostgresDeadLetters(database)
    database.close()


def dead(attempt: int = 1, error: dict[str, Any] = BAD, **more: Any) -> Run:
    return Run(NodeState.FAILED, attempt, tries=1, error=error, **more)


def listed(letters: Any, kept_s: float = DAY_S, **wanted: Any) -> list[tuple[str, tuple[int, ...]]]:
    page = letters.page(DEFAULT_TENANT, DeadLetterFilter(**wanted), kept_s=kept_s, limit=100)
    return [(one.node, one.element) for one in page.items]


def broken(subject: Any, owner: Any) -> Claim:
    """Three elements that failed for different reasons, one that was not run because of that, and one that may be tried again."""
    claim = claimed(subject, owner)
    commit(
        subject, owner, claim,
        failed("a", dead(), BAD, (0,)), completed("a", (1,)), failed("a", dead(error=AWAY), AWAY, (2,)),
        standing("b", dead(0, LOST), fresh=True),
        standing("c", Run(NodeState.FAILED, upstream=True, error={"code": "upstream_failed"}), fresh=True),
        failed("d", Run(NodeState.WAITING, 1, tries=1, error=BAD), BAD),
    )  # fmt: skip
    return claim


def test_what_failed_by_itself_is_listed_with_its_reason(subject: Any, letters: Any) -> None:
    owner = engine(subject)
    claim = broken(subject, owner)
    assert listed(letters) == [("a", (0,)), ("a", (2,)), ("b", ())]
    page = letters.page(DEFAULT_TENANT, DeadLetterFilter(), kept_s=DAY_S, limit=1)
    (first,) = page.items
    assert (first.execution_id, first.version_id, first.workflow_name) == (claim.id, claim.version_id, "delays")
    assert (first.execution_state, first.attempt, first.worker) == (ExecutionState.RUNNING, 1, "w1")
    assert (first.error_type, first.message) == ("ValueError", "bad")
    assert nodes(subject, claim)["a", (0,)].dead_at == first.dead_at
    assert {row.dead_at for place, row in nodes(subject, claim).items() if place[0] in "cd"} == {None}
    away = letters.page(DEFAULT_TENANT, DeadLetterFilter(element=(2,)), kept_s=DAY_S).items[0]
    assert "traceback" not in away.error
    history = letters.history(DEFAULT_TENANT, claim.id, "a", (2,))
    assert (history.node.error["traceback"], history.attempts, history.logs) == ("long", [], [])
    with pytest.raises(NotFoundError):
        letters.history(DEFAULT_TENANT, claim.id, "a", (9,))


def test_they_are_found_by_what_they_are_of_and_by_their_error(subject: Any, letters: Any) -> None:
    owner = engine(subject)
    claim = broken(subject, owner)
    other = broken(subject, owner)
    assert listed(letters, execution_id=claim.id) == [("a", (0,)), ("a", (2,)), ("b", ())]
    assert listed(letters, execution_id=claim.id, node="a", element=(2,)) == [("a", (2,))]
    assert listed(letters, workflow="delays", node="b") == [("b", ()), ("b", ())]
    assert listed(letters, workflow="others") == []
    for error, found in (
        ("ValueError", 1),
        ("Exception", 1),
        ("http.Away", 1),
        ("Away", 1),
        ("worker_lost", 1),
        ("Way", 0),
    ):
        assert len(listed(letters, execution_id=other.id, error=error)) == found, error


def test_pages_hold_each_once_the_newest_first(subject: Any, letters: Any) -> None:
    owner = engine(subject)
    for _ in range(3):
        broken(subject, owner)
    seen: list[str] = []
    instants = []
    after = None
    while True:
        page = letters.page(DEFAULT_TENANT, DeadLetterFilter(), kept_s=DAY_S, limit=2, after=after)
        seen += [one.id for one in page.items]
        instants += [one.dead_at for one in page.items]
        after = page.next
        if after is None:
            break
    assert (len(seen), len(set(seen))) == (9, 9)
    assert instants == sorted(instants, reverse=True)


def test_what_is_too_old_is_listed_no_more_and_stays_recorded(subject: Any, letters: Any) -> None:
    owner = engine(subject)
    claim = broken(subject, owner)
    assert listed(letters, kept_s=-1.0) == []
    old = letters.page(DEFAULT_TENANT, DeadLetterFilter(), kept_s=DAY_S).items
    assert letters.discard(DEFAULT_TENANT, old, kept_s=-1.0, by="ann") == 0
    assert nodes(subject, claim)["a", (0,)].state is NodeState.FAILED


def test_what_is_discarded_is_listed_no_more_until_it_fails_again(subject: Any, letters: Any) -> None:
    owner = engine(subject)
    claim = broken(subject, owner)
    page = letters.page(DEFAULT_TENANT, DeadLetterFilter(), kept_s=DAY_S)
    assert letters.discard(DEFAULT_TENANT, page.items[:1], kept_s=DAY_S, by="ann", reason="no\x00thing") == 1
    assert letters.discard(DEFAULT_TENANT, page.items[:1], kept_s=DAY_S, by="bob") == 0
    assert listed(letters) == [("a", (2,)), ("b", ())]
    row = nodes(subject, claim)["a", (0,)]
    assert (row.state, row.discarded["by"], row.discarded["reason"][:2]) == (NodeState.FAILED, "ann", "no")
    # A commit that is sent again brings nothing back.
    commit(subject, owner, claim, failed("a", dead(), BAD, (0,)))
    assert listed(letters) == [("a", (2,)), ("b", ())]
    commit(subject, owner, claim, standing("a", Run(NodeState.PENDING, 1), (0,)))
    assert nodes(subject, claim)["a", (0,)].discarded is None
    commit(subject, owner, claim, failed("a", dead(2), BAD, (0,), fresh=False))
    assert listed(letters) == [("a", (0,)), ("a", (2,)), ("b", ())], "failed again: the newest first"
    assert letters.discard(DEFAULT_TENANT, page.items[:1], kept_s=DAY_S, by="bob") == 0, "it is another try by now"


def test_what_goes_on_and_what_was_cancelled_is_listed_no_more(subject: Any, letters: Any) -> None:
    owner = engine(subject)
    claim, other = broken(subject, owner), broken(subject, owner)
    commit(subject, owner, claim, standing("a", Run(NodeState.PENDING, 1), (0,)))
    assert listed(letters, execution_id=claim.id) == [("a", (2,)), ("b", ())]
    commit(subject, owner, claim, completed("a", (0,), 2))
    commit(subject, owner, other, executions=[change(other, ExecutionState.CANCELLED)])
    assert listed(letters) == [("a", (2,)), ("b", ())]


def test_replaced_inputs_come_back_as_they_were_given(subject: Any, letters: Any) -> None:
    owner, other = engine(subject), engine(subject)
    claim = broken(subject, owner)
    commit(subject, owner, claim, standing("a", Run(NodeState.PENDING, 1, edit=EDIT), (0,)))
    row = nodes(subject, claim)["a", (0,)]
    assert (row.edit, list(row.edit["inputs"]["x"])) == (EDIT, ["b", "a"])
    subject.store.leave(owner)
    (taken,) = subject.store.look(other, claims=5).claims
    assert {run.element: run.run.edit for run in taken.runs if run.node == "a"} == {(0,): EDIT, (1,): None, (2,): None}
    commit(subject, other, taken, failed("a", dead(2, edit=EDIT), BAD, (0,), fresh=False))
    assert letters.page(DEFAULT_TENANT, DeadLetterFilter(element=(0,)), kept_s=DAY_S).items[0].edit == EDIT
    assert [one.attempt for one in letters.history(DEFAULT_TENANT, claim.id, "a", (0,)).attempts] == [1]


def test_many_at_once_are_told_apart_as_few_are(subject: Any, letters: Any) -> None:
    owner = engine(subject)
    claim = claimed(subject, owner)
    records = [failed("m", dead(), BAD, (i,)) if i % 10 == 0 else completed("m", (i,)) for i in range(200)]
    commit(subject, owner, claim, *records, started("z"))
    assert listed(letters) == [("m", (i,)) for i in range(0, 200, 10)]


def test_of_single_elements_a_retry_may_be_asked_while_the_execution_runs_or_sleeps(subject: Any) -> None:
    owner, other = engine(subject), engine(subject)
    claim = broken(subject, owner)
    chosen = {"elements": [{"node": "a", "element": [0], "attempt": 1}]}
    with pytest.raises(ConflictError):
        subject.catalog.command(DEFAULT_TENANT, claim.id, "retry")
    subject.catalog.command(DEFAULT_TENANT, claim.id, "retry", chosen, created_by="ann")
    (command,) = subject.store.look(owner, commands=5).commands
    assert (command.kind, command.payload, command.created_by) == ("retry", chosen, "ann")
    commit(subject, owner, claim, commands_done=[command.id])
    waiting = change(claim, ExecutionState.WAITING)
    commit(subject, owner, claim, executions=[waiting], asleep=[Asleep(claim.id, claim.epoch, None)])
    assert subject.store.look(other, claims=5).claims == []
    subject.catalog.command(DEFAULT_TENANT, claim.id, "retry", chosen)
    found = subject.store.look(other, claims=5, commands=5)
    assert [(one.id, one.woken) for one in found.claims] == [(claim.id, True)]
    assert [one.kind for one in found.commands] == ["retry"]
