"""The only maker of Dask graphs.

A graph holds `Task` and `TaskRef` of Dask's task specification, one function of this project and opaque bytes; nothing
of a user's, because the scheduler opens what it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dask._expr import LLGExpr
from dask.task_spec import Task, TaskRef

from wfplatform.core.policy import Lane

__all__ = ["ClusterTask", "build"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterTask:
    """One Dask task.

    Args:
        key: never used before; a reused key would give another execution's values.
        order: a packed `SegmentOrder`.
        needs: keys whose values it reads, in the order in which it gets them.
        lane: where it runs on its worker.
    """

    key: str
    order: bytes
    lane: Lane = Lane.CPU
    needs: tuple[str, ...] = ()
    priority: int = 0
    resources: Mapping[str, float] = field(default_factory=dict)


def build(tasks: Sequence[ClusterTask], runner: Callable[..., Any]) -> LLGExpr:
    """A graph of these tasks, as `Client.get` takes it.

    Args:
        tasks: what to run; at least one.
        runner: called on the worker with the order and the values of the needed tasks.
    """
    graph = {task.key: Task(task.key, runner, task.order, *map(TaskRef, task.needs)) for task in tasks}
    # Handed a plain dict, the client would hash every order for a name of the graph. Keys are never used twice: one will do.
    return LLGExpr(graph, _determ_token=tasks[0].key)
