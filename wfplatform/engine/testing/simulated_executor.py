"""An engine's way to a simulated cluster: what `executors.dask` is to a real one.

Refuses: knowing what the cluster knows; it hears reports, and only while it is connected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from wfplatform.compiler.dask_graph import ClusterTask
from wfplatform.engine.cluster import ClusterAway, ClusterBack, ClusterReport, Sink, TaskLost

if TYPE_CHECKING:
    from wfplatform.engine.testing.simulated_cluster import SimulatedCluster

__all__ = ["SimulatedExecutor"]


class SimulatedExecutor:
    """An engine's way to a simulated cluster.

    Args:
        cluster: where tasks run.
        engine: whose.
        sink: what hears reports.
        connected: whether the scheduler is there.
    """

    def __init__(self, cluster: SimulatedCluster, engine: str, sink: Sink, *, connected: bool) -> None:
        self._cluster = cluster
        self.engine: Final = engine
        self._sink = sink
        self._known: dict[str, ClusterTask] = {}
        self.connected = self.ready = connected
        self.life = 0
        if not connected:
            sink(ClusterAway())

    @property
    def known(self) -> Sequence[str]:
        """Keys of tasks whose end is not known and that were not released."""
        return list(self._known)

    # -- the port

    def submit(self, tasks: Sequence[ClusterTask]) -> None:
        """Hand tasks over; they are lost while there is no connection."""
        if not self.ready:
            for task in tasks:
                self._sink(TaskLost(task.key, "", "There is no connection to the scheduler.", True))
            return
        self._known |= {task.key: task for task in tasks}
        self._later(lambda: self._cluster.submitted(self.engine, tasks))

    def release(self, keys: Sequence[str]) -> None:
        """Forget tasks."""
        for key in keys:
            self._known.pop(key, None)
        self._later(lambda: self._cluster.released(keys))

    def acknowledge(self, received: Mapping[tuple[str, str], Sequence[int]]) -> None:
        """Tell workers what is committed."""
        kept = {key: list(numbers) for key, numbers in received.items()}
        self._later(lambda: self._cluster.acknowledged(kept))

    def cancel(self, executions: Sequence[tuple[UUID, int]], keys: Sequence[str]) -> None:
        """Stop what runs, and forget tasks."""
        self.release(keys)
        self._later(lambda: self._cluster.cancelled(executions))

    def slots(self) -> int:
        """Workers that are there."""
        return max(1, len(self._cluster.workers))

    def describe(self) -> Mapping[str, Any]:
        """Nothing that anybody asks for here."""
        return {}

    # -- the connection

    def hear(self, report: ClusterReport, life: int) -> None:
        """A report arrives, unless it was sent over a connection that broke."""
        if life != self.life or not self.connected:
            return
        if isinstance(report, TaskLost) and self._known.pop(report.key, None) is None:
            return
        self._sink(report)

    def cut(self) -> None:
        """The connection breaks: nothing that was handed over will be heard of."""
        self.connected = self.ready = False
        self.life += 1
        self._sink(ClusterAway())
        lost, self._known = list(self._known), {}
        for key in lost:
            self._sink(TaskLost(key, "", "The connection to the scheduler was lost.", True))

    def leave(self) -> None:
        """The engine has ended."""
        self.connected = self.ready = False
        self.life += 1

    def back(self, life: int) -> None:
        """There is a connection again, and what was sent again has arrived."""
        if life == self.life and self.connected:
            self.ready = True
            self._sink(ClusterBack())

    def _later(self, act: Callable[[], None]) -> None:
        """In the order in which it is sent, unless the connection breaks on the way."""
        if not self.connected:
            return
        life = self.life
        self._cluster.world.after(0.001, "network", lambda: act() if life == self.life else None)
