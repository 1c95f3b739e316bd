"""What the platform adds to a Dask scheduler, its own or a shared one: losses are told instead of repaired, events are not kept,
and messages reach workers without a connection each.

Touches tasks and topics of this platform only. Refuses to load anything but Dask: it lives in the scheduler's process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from distributed import Scheduler, SchedulerPlugin

__all__ = [
    "ADOPTED_TOPIC",
    "IO_KEY_PREFIX",
    "KEY_PREFIX",
    "LOSSES_TOPIC",
    "ORDERS_TOPIC",
    "TOPIC_PREFIX",
    "SegmentsPlugin",
]

KEY_PREFIX: Final = "wfp-"
"""Keys of this platform's tasks begin with it."""
IO_KEY_PREFIX: Final = "wfp-io-"
"""And those of the I/O lane with this."""
TOPIC_PREFIX: Final = "wfplatform-"
"""Event topics of this platform begin with it."""
ORDERS_TOPIC: Final = "wfplatform-orders"
"""What is sent here is handed on: {"workers": addresses or None for all, "message": {"op": ...}}."""
ADOPTED_TOPIC: Final = "wfplatform-adopted"
"""Here a worker says that it has sent again what was kept for an engine: {"engine": its name, "worker": address}."""
LOSSES_TOPIC: Final = "wfplatform-losses"
"""Tells what a worker took with it: {"worker": address, "computed": keys whose values are gone}."""


class SegmentsPlugin(SchedulerPlugin):
    """Makes a scheduler fit for segments. Registered by every engine; the first one stays."""

    name = "wfplatform-segments"
    idempotent = True

    async def start(self, scheduler: Scheduler) -> None:
        """Called when it is registered."""
        self._scheduler = scheduler

    def update_graph(self, scheduler: Scheduler, *, tasks: list[Any], **more: Any) -> None:
        """Tasks come in; nothing of them has been given to a worker yet."""
        for key in tasks:
            task = scheduler.tasks.get(key) if _is_ours(key) else None
            if task is not None:
                # The engine decides whether and how a lost segment runs again. Dask would run it again unasked, and
                # hide whose fault it was.
                task.suspicious = max(task.suspicious, scheduler.allowed_failures)

    def log_event(self, topic: str, msg: Any) -> None:
        """An event was sent to its subscribers."""
        scheduler = self._scheduler
        if topic == "all" and isinstance(msg, dict) and msg.get("action") == "remove-worker":
            self._worker_lost(msg)
        elif topic == ORDERS_TOPIC:
            for worker in msg["workers"] or list(scheduler.workers):
                if worker in scheduler.workers:
                    scheduler.worker_send(worker, msg["message"])
        if topic.startswith(TOPIC_PREFIX):
            # Kept, the outcomes of all nodes would pile up in the scheduler.
            scheduler._broker.truncate(topic)

    def __reduce__(self) -> tuple[type[SegmentsPlugin], tuple[()]]:
        return SegmentsPlugin, ()

    def _worker_lost(self, event: Mapping[str, Any]) -> None:
        """Values went with a worker. Dask would compute them again; the engine has them as artifacts and plans anew."""
        if event.get("expected"):
            return
        computed = [key for key in event.get("lost-computed-tasks", ()) if _is_ours(key)]
        for key in computed:
            # Dask forgets such a task, and with it those that wait for its value.
            self._scheduler.tasks[key].has_lost_dependencies = True
        if computed:
            self._scheduler.log_event(LOSSES_TOPIC, {"worker": event["worker"], "computed": computed})


def _is_ours(key: Any) -> bool:
    return isinstance(key, str) and key.startswith(KEY_PREFIX)
