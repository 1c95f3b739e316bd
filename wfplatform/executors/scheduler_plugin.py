"""What the platform adds to a Dask scheduler, its own or a shared one: losses are told instead of repaired, events are not kept,
messages reach workers without a connection each, and lanes are known.

Touches tasks and topics of this platform only. Refuses to load anything but Dask: it lives in the scheduler's process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from distributed import Scheduler, SchedulerPlugin

__all__ = [
    "CPU_LANE",
    "KEY_PREFIX",
    "LANES_ORDER",
    "LOSSES_TOPIC",
    "ORDERS_TOPIC",
    "TOPIC_PREFIX",
    "SegmentsPlugin",
]

KEY_PREFIX: Final = "wfp-"
"""Keys of this platform's tasks begin with it."""
TOPIC_PREFIX: Final = "wfplatform-"
"""Event topics of this platform begin with it."""
ORDERS_TOPIC: Final = "wfplatform-orders"
"""What is sent here is handed on: {"workers": addresses or None for all, "message": {"op": ...}}."""
LOSSES_TOPIC: Final = "wfplatform-losses"
"""Tells what a worker took with it: {"worker": address, "computed": keys whose values are gone}."""
CPU_LANE: Final = "wfp_cpu"
"""The Dask resource of which every worker has one, for the node of the CPU lane that runs on it."""
LANES_ORDER: Final = "wfp_lanes"
"""The message that makes a worker keep its two lanes apart."""


class SegmentsPlugin(SchedulerPlugin):
    """Makes a scheduler fit for segments. Registered by every engine; the first one stays."""

    name = "wfplatform-segments"
    idempotent = True

    def __init__(self) -> None:
        self._lanes = False

    async def start(self, scheduler: Scheduler) -> None:
        """Called when it is registered."""
        self._scheduler = scheduler
        for worker in list(scheduler.workers.values()):
            self._offer(worker.address)
            # What came in before waits for a lane that nobody seemed to have.
            scheduler.transitions(
                scheduler.bulk_schedule_unrunnable_after_adding_worker(worker), stimulus_id="wfplatform-lanes"
            )

    def add_worker(self, scheduler: Scheduler, worker: str) -> None:
        """A worker joins: before anything is given to it, it is known to have a CPU lane."""
        self._offer(worker)
        if self._lanes:
            scheduler.worker_send(worker, {"op": LANES_ORDER})

    def update_graph(
        self, scheduler: Scheduler, *, tasks: list[Any], annotations: Mapping[str, Mapping[Any, Any]], **more: Any
    ) -> None:
        """Tasks come in; nothing of them has been given to a worker yet."""
        for key in tasks:
            task = scheduler.tasks.get(key) if _is_ours(key) else None
            if task is not None:
                # The engine decides whether and how a lost segment runs again. Dask would run it again unasked, and
                # hide whose fault it was.
                task.suspicious = max(task.suspicious, scheduler.allowed_failures)
        if not self._lanes and any(CPU_LANE in wanted for wanted in annotations.get("resources", {}).values()):
            self._lanes = True
            for worker in list(scheduler.workers):
                scheduler.worker_send(worker, {"op": LANES_ORDER})

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

    def _offer(self, worker: str) -> None:
        if CPU_LANE not in self._scheduler.workers[worker].resources:
            self._scheduler.add_resources(worker, {CPU_LANE: 1})

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
