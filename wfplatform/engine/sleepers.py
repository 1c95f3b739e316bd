"""When the next execution is due that nobody owns while it waits: one instant, however many there are.

The database knows them all. They are taken up a moment before they are due, all that are due soon at once, so that nothing but
what must happen then is left for that instant. Refuses to know which they are.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

__all__ = ["AHEAD_S", "Sleepers"]

AHEAD_S: Final = 0.3
"""Those are taken up that are due within so many seconds, as soon as the first of them is due within half as many."""
_PATIENCE_S: Final = 0.05
"""One that could be taken up and was not is being taken by another engine, or this one has no room."""


class Sleepers:
    """Belongs to the engine's one thread. `look_at` is when to look for those that are due; None: there are none with a time."""

    def __init__(self) -> None:
        self.look_at: datetime | None = None

    def put(self, wake_at: datetime | None) -> None:
        """One more sleeps."""
        if wake_at is not None:
            at = wake_at - timedelta(seconds=AHEAD_S / 2)
            self.look_at = at if self.look_at is None else min(at, self.look_at)

    def seen(self, next_wake_at: datetime | None, now: datetime) -> None:
        """What the database says after those were taken that could be."""
        self.look_at = None
        if next_wake_at is not None and next_wake_at <= now + timedelta(seconds=AHEAD_S):
            self.look_at = now + timedelta(seconds=_PATIENCE_S)
        else:
            self.put(next_wake_at)

    def due(self, now: datetime) -> bool:
        """Whether it is worth while to look for one."""
        return self.look_at is not None and self.look_at <= now
