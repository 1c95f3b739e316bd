"""When waiting elements go on."""

from __future__ import annotations

import heapq
from collections.abc import Container
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from wfplatform.core.execution import Element

__all__ = ["Timer", "Timers"]


class Timer(NamedTuple):
    """An instant at which an element of an execution is to be woken."""

    due_at: datetime
    execution: UUID
    node: str
    element: Element


class Timers:
    """A heap of timers. Who is woken too often does nothing."""

    def __init__(self) -> None:
        self._heap: list[Timer] = []

    def __len__(self) -> int:
        return len(self._heap)

    def set(self, timer: Timer) -> None:
        """Add one."""
        heapq.heappush(self._heap, timer)

    def forget(self, executions: Container[UUID]) -> None:
        """Drop those of some executions."""
        self._heap = [timer for timer in self._heap if timer.execution not in executions]
        heapq.heapify(self._heap)

    @property
    def next_at(self) -> datetime | None:
        """When the earliest is due."""
        return self._heap[0].due_at if self._heap else None

    def due(self, now: datetime, most: int) -> list[Timer]:
        """Take what is due, earliest first."""
        taken: list[Timer] = []
        while self._heap and self._heap[0].due_at <= now and len(taken) < most:
            taken.append(heapq.heappop(self._heap))
        return taken
