"""What is announced is understood by who hears it."""

from __future__ import annotations

from wfplatform.core.announcement import announcements, ended_in
from wfplatform.core.execution import ExecutionState
from wfplatform.core.identifier import TimeOrderedIds

IDS = TimeOrderedIds()


def test_many_executions_are_told_of_in_few_words() -> None:
    ids = [IDS.new() for _ in range(1000)]
    told = list(announcements((one, ExecutionState.COMPLETED) for one in ids))
    assert len(told) == 5
    assert all(len(words.encode()) < 7_900 for words in told), "what PostgreSQL takes at once"
    heard = [ended_in(words) for words in told]
    assert frozenset().union(*(found or frozenset() for found in heard)) == frozenset(ids)


def test_only_ends_are_heard_as_ends() -> None:
    running, failed = IDS.new(), IDS.new()
    told = list(announcements([(running, ExecutionState.RUNNING), (failed, ExecutionState.FAILED)]))
    assert [ended_in(words) for words in told] == [frozenset(), frozenset({failed})]


def test_who_says_nothing_may_mean_anything() -> None:
    assert ended_in("") is None
