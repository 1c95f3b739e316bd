"""How many executions of a workflow run at once, where the workflow bounds that."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from wfplatform.engine.live import Live

__all__ = ["Admission"]


class Admission:
    """Lets executions begin in the order in which they came, as many as their workflow allows on this engine."""

    def __init__(self) -> None:
        self._queues: dict[str, dict[UUID, Live]] = {}

    def holds(self, live: Live, others: Iterable[Live]) -> bool:
        """Whether an execution must wait before it begins; `held_by` then says why.

        Args:
            live: which.
            others: all executions of the engine.
        """
        most = live.version.definition.policy.max_executions
        if most is None or live.admitted:
            return False
        name = live.version.stored.name
        if sum(other.admitted for other in others if other.version.stored.name == name) < most:
            live.admitted, live.held_by = True, ""
            self._queues.get(name, {}).pop(live.id, None)
            return False
        self._queues.setdefault(name, {})[live.id] = live
        live.held_by = f"{most} executions of {name} run, which is as many as it allows"
        return True

    def left(self, live: Live) -> Live | None:
        """An execution has ended; returns the one that may begin in its place: the first that is not paused."""
        queue = self._queues.get(live.version.stored.name)
        if queue is None:
            return None
        queue.pop(live.id, None)
        if not live.admitted:
            return None
        freed = next((one for one in queue.values() if one.execution.paused_at is None), None)
        if freed is not None:
            del queue[freed.id]
            freed.held_by = ""
        return freed
