"""Removing goes on batch by batch, adds up what went, and is one engine's daily chore."""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta

import pytest

from wfplatform.app import retention
from wfplatform.app.retention import Retention
from wfplatform.core.retention import Gone, Preview, RetentionRules
from wfplatform.errors import ConflictError, StorageError


class Store:
    """Removes an execution and two nodes a batch."""

    def __init__(self, batches: int, error: Exception | None = None) -> None:
        self.left = batches
        self.error = error
        self.done = False
        self.closed = 0

    def preview(self, rules: RetentionRules) -> Preview:
        return Preview(gone=Gone(executions=self.left))

    def remove(self, rules: RetentionRules) -> Generator[Gone]:
        try:
            if self.error is not None:
                raise self.error
            while self.left:
                self.left -= 1
                yield Gone(executions=1, nodes=2)
        finally:
            self.closed += 1

    def take_chore(self, name: str, every: timedelta) -> bool:
        taken, self.done = not self.done, True
        return taken

    def leave_chore(self, name: str) -> None:
        self.done = False


def made(store: Store, pauses: list[int] | None = None) -> Retention:
    paused = [] if pauses is None else pauses
    return Retention(store, RetentionRules(), pause=lambda: paused.append(store.left))


def test_what_goes_is_added_up_and_told_between_pauses() -> None:
    pauses: list[int] = []
    told: list[int] = []
    subject = made(Store(3), pauses)
    assert subject.preview().gone.executions == 3
    assert subject.run(lambda gone: told.append(gone.nodes)) == Gone(executions=3, nodes=6)
    assert told == [2, 4, 6]
    assert pauses == [2, 1, 0]


def test_it_stops_when_it_has_done_enough() -> None:
    store = Store(5)
    assert made(store).run(most_batches=2) == Gone(executions=2, nodes=4)
    assert (store.left, store.closed) == (3, 1)


def test_a_chore_is_done_once() -> None:
    store = Store(3)
    assert made(store).run_if_due() == 3
    store.left = 1
    assert made(store).run_if_due() == 0
    assert store.left == 1


def test_a_chore_that_is_too_much_at_once_stays_due() -> None:
    store = Store(retention.MOST_BATCHES + 5)
    assert made(store).run_if_due() == retention.MOST_BATCHES
    assert not store.done
    assert made(store).run_if_due() == 5
    assert store.done


def test_what_another_process_does_is_done() -> None:
    store = Store(3, ConflictError("retention_runs", "It is being done."))
    assert made(store).run_if_due() == 0
    assert store.done


def test_what_fails_stays_due() -> None:
    store = Store(3, StorageError("storage_closed", "No entry."))
    with pytest.raises(StorageError):
        made(store).run_if_due()
    assert not store.done
