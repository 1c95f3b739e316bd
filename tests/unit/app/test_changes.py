"""Who waits is woken by what concerns it."""

from __future__ import annotations

import threading
from uuid import UUID

from wfplatform.app.changes import ChangeCounter
from wfplatform.core.announcement import EXECUTION_CHANNEL, announcements
from wfplatform.core.execution import ExecutionState
from wfplatform.core.identifier import TimeOrderedIds

IDS = TimeOrderedIds()


def tell(changes: ChangeCounter, *executions: UUID, state: ExecutionState = ExecutionState.COMPLETED) -> None:
    for words in announcements((one, state) for one in executions):
        changes.count(EXECUTION_CHANNEL, words)


def test_the_end_of_another_execution_wakes_nobody() -> None:
    changes, mine = ChangeCounter(), IDS.new()
    tell(changes, IDS.new())
    tell(changes, mine, state=ExecutionState.RUNNING)
    assert not changes.wait_ended(0, {mine}, 0)
    tell(changes, IDS.new(), mine)
    assert changes.wait_ended(0, {mine}, 0)
    assert not changes.wait_ended(changes.ended, {mine}, 0), "what was looked at is not new"


def test_a_new_connection_may_have_missed_any_end() -> None:
    changes = ChangeCounter()
    changes.count()
    assert changes.wait_ended(0, {IDS.new()}, 0)


def test_more_ends_than_are_remembered_count_as_any() -> None:
    changes = ChangeCounter()
    for _ in range(1000):
        tell(changes, IDS.new())
    assert changes.wait_ended(0, {IDS.new()}, 0)
    assert not changes.wait_ended(999, {IDS.new()}, 0)


def test_who_waits_is_woken() -> None:
    changes, mine = ChangeCounter(), IDS.new()
    woken: list[bool] = []
    waiting = threading.Thread(target=lambda: woken.append(changes.wait_ended(0, {mine}, 30)))
    waiting.start()
    tell(changes, IDS.new())
    tell(changes, mine)
    waiting.join(30)
    assert woken == [True]
    assert changes.wait(1, 0) == 2
