"""What lets one element, or a whole execution, begin: the slots it needs, and those it has."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from wfplatform.core.slot import Gate

__all__ = ["Ticket"]


@dataclass(slots=True, kw_only=True)
class Ticket:
    """Slots are asked for one after the other, in the order of their keys, so that no two tickets wait for each other.

    Args:
        gates: of which it needs a slot each.
        got: how many of these it has.
        until_at: when it is to be looked at again, because a circuit breaker is open; None = it is not.
        breaker: the circuit breaker of what its element uses; empty = none.
        reason: why it waits.
    """

    gates: tuple[Gate, ...]
    got: int = 0
    until_at: datetime | None = None
    breaker: str = ""
    reason: str = ""

    @property
    def is_ready(self) -> bool:
        """Whether its element may begin."""
        return self.until_at is None and self.got == len(self.gates)
