"""How many executions of a workflow run at once, where the workflow bounds that."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from uuid import UUID

from wfplatform.engine.live import Live

__all__ = ["Admission"]


class Admission:
    """Lets executions begin in the order in which they came, as many as their workflow allows on this engine.

    One stays in the queue until it begins or ends, so that nobody who comes later takes its place; while it is paused, those
    behind it pass.
    """

    def __init__(self) -> None:
        self._queues: defaultdict[str, dict[UUID, Live]] = defaultdict(dict)
        self._admitted: defaultdict[str, set[UUID]] = defaultdict(set)

    def holds(self, live: Live) -> bool:
        """Whether an execution must wait before it begins; `held_by` then says why."""
        most, name = live.version.definition.policy.max_executions, live.version.stored.name
        if most is None or live.id in self._admitted[name]:
            return False
        self._queues[name].setdefault(live.id, live)
        if any(one is live for one in self._next(name)):
            del self._queues[name][live.id]
            self._admitted[name].add(live.id)
            live.held_by = ""
            return False
        live.held_by = f"{most} executions of {name} run, which is as many as it allows"
        return True

    def left(self, live: Live) -> None:
        """An execution has ended, whether it had begun or not."""
        name = live.version.stored.name
        if name in self._queues:
            self._queues[name].pop(live.id, None)
        if name in self._admitted:
            self._admitted[name].discard(live.id)

    def ready(self) -> list[Live]:
        """Those that wait and may begin now: as many as there is room for, first come first."""
        return [live for name in self._queues for live in self._next(name)]

    def _next(self, name: str) -> Iterator[Live]:
        begun = len(self._admitted[name])
        for live in self._queues[name].values():
            if live.execution.paused_at is not None or live.execution.state.final:
                continue
            most = live.version.definition.policy.max_executions
            if most is not None and begun >= most:
                return
            begun += 1
            yield live
