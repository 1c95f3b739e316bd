"""A world without time of its own: everything that happens is an event at an instant, in an order that a seed decides.

Refuses threads, and any source of chance but its own.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final, NamedTuple
from uuid import UUID

__all__ = ["MOST_EVENTS", "Note", "RestlessError", "World", "WorldClock", "WorldIds"]

MOST_EVENTS: Final = 50_000
"""Far more than ever happen in a world in which nobody goes round in circles."""
_BEGIN: Final = datetime(2026, 1, 2, tzinfo=UTC)
_DEEPEST: Final = 3
"""So many events may happen inside one another, each while another one's author waits for something slow."""


class RestlessError(AssertionError):
    """Things happen without an end."""


class Note(NamedTuple):
    """Something that happened, for people who want to know how it came to something else."""

    at_s: float
    who: str
    what: str

    def __str__(self) -> str:
        return f"{self.at_s:9.3f}  {self.who:<12} {self.what}"


class World:
    """Virtual time, and what happens in it.

    Args:
        seed: decides everything that is left to chance.

    `notes` holds what happened so far.
    """

    def __init__(self, seed: int) -> None:
        self.random: Final = Random(seed)  # noqa: S311 - to be repeatable is the point
        self.notes: Final[list[Note]] = []
        self.now_s = 0.0
        self._events: list[tuple[float, int, str, Callable[[], None]]] = []
        self._number = 0
        self._happened = 0
        self._held: dict[str, float] = {}
        self._waiting: dict[str, list[Callable[[], None]]] = {}

    @property
    def now(self) -> datetime:
        """The true instant."""
        return _BEGIN + timedelta(seconds=self.now_s)

    def note(self, who: str, what: str) -> None:
        """Write down what happens."""
        self.notes.append(Note(self.now_s, who, what))

    def chance(self, share: float) -> bool:
        """True in this share of all cases."""
        return self.random.random() < share

    def between(self, least: float, most: float) -> float:
        """A number from a range."""
        return self.random.uniform(least, most)

    def after(self, delay_s: float, who: str, act: Callable[[], None]) -> None:
        """Let something happen later.

        Args:
            delay_s: after this time.
            who: does it; while they are held they do nothing.
            act: what happens.
        """
        self._number += 1
        heapq.heappush(self._events, (self.now_s + max(0.0, delay_s), self._number, who, act))

    def hold(self, who: str, duration_s: float) -> None:
        """Somebody does nothing for a while; what they would have done happens afterwards."""
        self._held[who] = max(self._held.get(who, 0.0), self.now_s + duration_s)

    def run(self, until: Callable[[], bool], longest_s: float) -> bool:
        """Let things happen until a condition holds; False if it does not by a certain time."""
        end_s = self.now_s + longest_s
        while not until():
            if not self._events or self._events[0][0] > end_s:
                return False
            self._next()
        return True

    def pass_time(self, duration_s: float, who: str) -> None:
        """Somebody waits in the middle of what they do, while the others go on. It may take longer: others may wait meanwhile."""
        if len(self._waiting) >= _DEEPEST or who in self._waiting:
            return
        end_s = self.now_s + duration_s
        put_off: list[Callable[[], None]] = []
        self._waiting[who] = put_off
        try:
            while self._events and self._events[0][0] <= end_s:
                self._next()
        finally:
            del self._waiting[who]
        self.now_s = max(self.now_s, end_s)
        for act in put_off:
            self.after(0.0, who, act)

    def _next(self) -> None:
        self._happened += 1
        if self._happened > MOST_EVENTS:
            raise RestlessError(f"{MOST_EVENTS} things have happened by {self.now_s:.3f} s, and there is no rest.")
        at_s, number, who, act = heapq.heappop(self._events)
        self.now_s = max(self.now_s, at_s)
        until_s = self._held.get(who, 0.0)
        if who in self._waiting:
            self._waiting[who].append(act)
        elif until_s > self.now_s:
            heapq.heappush(self._events, (until_s, number, who, act))
        else:
            act()


class WorldClock:
    """What counts the seconds of one machine of a world.

    Args:
        world: whose time.
        rate: seconds it counts in a true one.
    """

    def __init__(self, world: World, rate: float = 1.0) -> None:
        self._world = world
        self._rate = rate

    def monotonic_s(self) -> float:
        """Seconds since some instant."""
        return 1000.0 + self._world.now_s * self._rate


class WorldIds:
    """Identifiers in their order of making, and the chances of a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._made = 0

    def new(self) -> UUID:
        """The next one."""
        self._made += 1
        return UUID(int=(7 << 76) | (2 << 62) | self._made)

    def chance(self) -> float:
        """A random number in [0, 1)."""
        return self._world.random.random()
