"""When the next execution is due that nobody owns while it waits: one instant, however many there are.

The database knows them all; whoever looks first when one is due takes it. Refuses to know which they are.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

__all__ = ["Sleepers"]

_PATIENCE_S: Final = 0.05
"""One that is due and could not be taken is being taken by another engine, or this one has no room."""


class Sleepers:
    """Belongs to the engine's one thread."""

    def __init__(self) -> None:
        self.next_at: datetime | None = None

    def put(self, wake_at: datetime | None) -> None:
        """One more sleeps."""
        if wake_at is not None and (self.next_at is None or wake_at < self.next_at):
            self.next_at = wake_at

    def seen(self, next_wake_at: datetime | None, now: datetime) -> None:
        """What the database says after those were taken that could be."""
        is_taken = next_wake_at is not None and next_wake_at <= now
        self.next_at = now + timedelta(seconds=_PATIENCE_S) if is_taken else next_wake_at

    def due(self, now: datetime) -> bool:
        """Whether it is worth while to look for one."""
        return self.next_at is not None and self.next_at <= now
