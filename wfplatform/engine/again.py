"""What is to be tried again because a service did not answer: each time later than before, until it works."""

from __future__ import annotations

from typing import Final

__all__ = ["Again"]

_FIRST_S: Final = 0.5
_LONGEST_S: Final = 10.0


class Again[K]:
    """Keys that wait for their next try. Times are those of the engine's monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._due_s: dict[K, float] = {}
        self._waited_s: dict[K, float] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._due_s

    def put(self, key: K, now_s: float) -> None:
        """It failed: it is due again after twice the time it waited before; 0.5 s at first, 10 s at most."""
        wait_s = min(2 * self._waited_s.get(key, _FIRST_S / 2), _LONGEST_S)
        self._waited_s[key] = wait_s
        self._due_s[key] = now_s + wait_s

    def drop(self, key: K) -> None:
        """It worked, or nobody wants it any more."""
        self._due_s.pop(key, None)
        self._waited_s.pop(key, None)

    def due(self, now_s: float) -> list[K]:
        """Take what is to be tried now; it is `put` again or dropped."""
        if not self._due_s:
            return []
        found = [key for key, due_s in self._due_s.items() if due_s <= now_s]
        for key in found:
            del self._due_s[key]
        return found

    @property
    def next_s(self) -> float | None:
        """When the next one is due; None if nothing waits."""
        return min(self._due_s.values(), default=None)
