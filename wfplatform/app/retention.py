"""Removing what is old, a little at a time, and saying beforehand what that would be.

Refuses: hurry. Between two batches it pauses, so that whoever works has the database to themselves.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import asdict
from datetime import timedelta
from typing import Final, Protocol

from wfplatform.core.retention import Gone, Preview, RetentionRules
from wfplatform.errors import ConflictError

__all__ = ["Retention", "RetentionStore"]

PAUSE_S: Final = 0.02
MOST_BATCHES: Final = 2000
"""An engine removes at a time; what is left waits for the next time it looks."""
_CHORE: Final = "retention"
_CHORE_EVERY: Final = timedelta(days=1)


class RetentionStore(Protocol):
    """Finds and removes what is old."""

    def preview(self, rules: RetentionRules) -> Preview:
        """What would go now. Changes nothing."""
        ...

    def remove(self, rules: RetentionRules) -> Generator[Gone]:
        """Remove it; each step is one short transaction and tells what went with it.

        Raises:
            ConflictError: code `retention_runs`; another process does so at this moment.
        """
        ...

    def take_chore(self, name: str, every: timedelta) -> bool:
        """Whether a chore was last done longer ago than that; it counts as done from now on."""
        ...

    def leave_chore(self, name: str) -> None:
        """The chore was not done after all."""
        ...


class Retention:
    """What old executions leave, removed.

    Args:
        store: finds and removes.
        rules: what is kept.
        pause: called between two batches.
    """

    def __init__(
        self,
        store: RetentionStore,
        rules: RetentionRules,
        *,
        pause: Callable[[], object] = lambda: threading.Event().wait(PAUSE_S),
    ) -> None:
        self._store = store
        self.rules: Final = rules
        self._pause = pause

    def preview(self) -> Preview:
        """What would go now.

        Raises:
            UnreachableError: the database does not answer.
        """
        return self._store.preview(self.rules)

    def run(self, told: Callable[[Gone], None] = lambda gone: None, *, most_batches: int | None = None) -> Gone:
        """Remove it. What is interrupted goes on with the next run.

        Args:
            told: called after each batch with what has gone so far.
            most_batches: stop after so many; None: go on to the end.

        Returns:
            What went.

        Raises:
            ConflictError: code `retention_runs`; another process does so at this moment.
            StorageError: artifacts cannot be moved or deleted.
            UnreachableError: the database does not answer.
        """
        total = Gone()
        with closing(self._store.remove(self.rules)) as batches:
            for number, gone in enumerate(batches, 1):
                for name, count in asdict(gone).items():
                    setattr(total, name, getattr(total, name) + count)
                told(total)
                if number == most_batches:
                    break
                self._pause()
        return total

    def run_if_due(self) -> int:
        """Remove some of it, if no engine has removed all of it within a day.

        Returns:
            How many executions and artifacts went.

        Raises:
            StorageError, UnreachableError: as `run`; it stays due.
        """
        if not self._store.take_chore(_CHORE, _CHORE_EVERY):
            return 0
        batches = 0

        def count(_gone: Gone) -> None:
            nonlocal batches
            batches += 1

        ended = False
        try:
            gone = self.run(count, most_batches=MOST_BATCHES)
            ended = batches < MOST_BATCHES
        except ConflictError:
            ended = True
            return 0
        finally:
            if not ended:
                self._store.leave_chore(_CHORE)
        return gone.executions + gone.artifacts
