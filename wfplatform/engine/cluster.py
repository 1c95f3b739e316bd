"""The cluster as an engine sees it: a port, and what it reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from wfplatform.compiler.dask_graph import ClusterTask

__all__ = ["ClusterAway", "ClusterBack", "ClusterReport", "Executor", "OutcomesArrived", "Sink", "TaskLost"]


@dataclass(frozen=True, slots=True)
class OutcomesArrived:
    """A message of a worker's outcome stream, still packed."""

    body: bytes


@dataclass(frozen=True, slots=True)
class TaskLost:
    """A task will not end: its worker died, the scheduler went away, or it could not be run at all.

    Args:
        blameless: it was not the task's own doing as far as can be known (a lost scheduler, a cancelled future).
    """

    key: str
    worker: str
    reason: str
    blameless: bool


@dataclass(frozen=True, slots=True)
class ClusterAway:
    """The scheduler does not answer. Nothing is handed over until it is back: what workers say then may make it needless."""


@dataclass(frozen=True, slots=True)
class ClusterBack:
    """The scheduler answers again after it was away, and what workers said in the meantime has been reported."""


type ClusterReport = OutcomesArrived | TaskLost | ClusterAway | ClusterBack
type Sink = Callable[[ClusterReport], None]


class Executor(Protocol):
    """Runs tasks somewhere and reports to the sink it was given. Calls do not wait for the cluster."""

    def submit(self, tasks: Sequence[ClusterTask]) -> None:
        """Hand tasks over; each needs only those before it and what was submitted. They are lost while the cluster is away."""
        ...

    def release(self, keys: Sequence[str]) -> None:
        """Nobody will ask for these any more."""
        ...

    def acknowledge(self, received: Mapping[tuple[str, str], Sequence[int]]) -> None:
        """(worker, stream) -> numbers of messages whose content is committed."""
        ...

    def cancel(self, executions: Sequence[tuple[UUID, int]], keys: Sequence[str]) -> None:
        """Stop what runs for these executions up to a stage (see `stage_of`), and forget tasks that belong to nobody else."""
        ...

    def slots(self) -> int:
        """How many nodes of the CPU lane run at the same moment; at least 1."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """Facts about the cluster for people and for checks before a start."""
        ...
