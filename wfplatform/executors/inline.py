"""Segments in this process, one after the other in a thread of their own: for tests and for trials without a cluster."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from wfplatform.compiler.dask_graph import ClusterTask

__all__ = ["InlineExecutor"]


class InlineExecutor:
    """An executor without a cluster.

    Args:
        run: runs a packed order with the values of the tasks it needs.
        on_lost: gets (key, worker, reason, blameless) of a task that could not be run.
        on_acknowledged: gets (stream, numbers) of messages whose content is committed.
        on_cancelled: gets (execution, epoch) of what nobody wants any more.
    """

    def __init__(
        self,
        run: Callable[[bytes, Sequence[Any]], Any],
        *,
        on_lost: Callable[[str, str, str, bool], None],
        on_acknowledged: Callable[[str, Sequence[int]], None] = lambda stream, numbers: None,
        on_cancelled: Callable[[UUID, int], object] = lambda execution, epoch: None,
    ) -> None:
        self._run = run
        self._on_lost = on_lost
        self._on_acknowledged = on_acknowledged
        self._on_cancelled = on_cancelled
        self._values: dict[str, Any] = {}
        self._wanted: set[str] = set()
        self._waiting: queue.SimpleQueue[ClusterTask | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="wfplatform-inline", daemon=True)
        self._thread.start()

    def submit(self, tasks: Sequence[ClusterTask]) -> None:
        """Queue tasks."""
        for task in tasks:
            self._wanted.add(task.key)
            self._waiting.put(task)

    def release(self, keys: Sequence[str]) -> None:
        """Nothing new will ask for these; what is queued already still may."""
        del keys

    def acknowledge(self, received: Mapping[tuple[str, str], Sequence[int]]) -> None:
        """Tell the stream what is committed."""
        for (_, stream), numbers in received.items():
            self._on_acknowledged(stream, numbers)

    def cancel(self, executions: Sequence[tuple[UUID, int]], keys: Sequence[str]) -> None:
        """Forget queued tasks and tell running ones."""
        self._wanted -= set(keys)
        for execution, epoch in executions:
            self._on_cancelled(execution, epoch)

    def slots(self) -> int:
        """One thread."""
        return 1

    def describe(self) -> Mapping[str, Any]:
        """There is no cluster."""
        return {"scheduler": "inline", "workers": {}}

    def close(self) -> None:
        """Finish what is queued and stop."""
        self._waiting.put(None)
        self._thread.join(timeout=30)

    def _work(self) -> None:
        while (task := self._waiting.get()) is not None:
            if task.key not in self._wanted:
                continue
            self._wanted.discard(task.key)
            missing = [key for key in task.needs if key not in self._values]
            if missing:
                self._on_lost(task.key, "inline", f"It needs {missing[0]}, which was lost.", True)
                continue
            try:
                self._values[task.key] = self._run(task.order, [self._values[key] for key in task.needs])
            except Exception as error:  # noqa: BLE001 - whatever keeps a task from running is its loss
                self._on_lost(task.key, "inline", f"{type(error).__name__}: {error}", False)
