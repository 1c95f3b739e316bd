"""Segments on a Dask cluster, local or remote, through `distributed.Client`.

Outcomes come as worker events; the fate of a task is known from its future. Refuses a scheduler of another release and workers that cannot
reach the artifact storage.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import dask.config
from distributed import Client, Future, KilledWorker
from distributed.comm.core import CommClosedError

from wfplatform.compiler.dask_graph import ClusterTask, build
from wfplatform.errors import UnreachableError

__all__ = ["CLIENT_CONFIG", "DaskExecutor"]

logger = logging.getLogger(__name__)

CLIENT_CONFIG: Final[dict[str, Any]] = {
    # Segments carry no source code of a user's call stack.
    "distributed.diagnostics.computations.nframes": 0,
    "distributed.comm.timeouts.connect": "30s",
}


class DaskExecutor:
    """An executor over one Dask scheduler.

    Args:
        address: the scheduler's, such as `tcp://127.0.0.1:8786`.
        engine: the engine's name; workers address outcomes to it.
        topic: the event topic of that name.
        plugin: makes workers able to run segments; given anew to every scheduler.
        runner: the function that stands in the graph.
        sink: gets (kind, facts): see `report`.
    """

    def __init__(
        self,
        address: str,
        *,
        topic: str,
        plugin: Any,
        runner: Callable[..., Any],
        on_outcomes: Callable[[bytes], None],
        on_lost: Callable[[str, str, str, bool], None],
        on_back: Callable[[], None],
    ) -> None:
        self._address = address
        self._topic = topic
        self._plugin = plugin
        self._runner = runner
        self._on_outcomes = on_outcomes
        self._on_lost = on_lost
        self._on_back = on_back
        self._futures: dict[str, Future[Any]] = {}
        self._needs: dict[str, frozenset[str]] = {}
        self._failed: set[str] = set()
        self._lock = threading.Lock()
        self._slots = 1
        self._scheduler_id = ""
        self._closed = False
        self._client = self._connect()

    # -- the port

    def submit(self, tasks: Sequence[ClusterTask]) -> None:
        """Hand tasks over."""
        groups: dict[tuple[object, ...], list[ClusterTask]] = {}
        for task in tasks:
            groups.setdefault((task.priority, *sorted(task.resources.items())), []).append(task)
        for group in groups.values():
            first = group[0]
            futures = self._client.get(
                build(group, self._runner),
                [task.key for task in group],
                sync=False,
                priority=first.priority,
                resources=dict(first.resources) or None,
            )
            with self._lock:
                self._futures |= {str(future.key): future for future in futures}
                self._needs |= {task.key: frozenset(task.needs) for task in group if task.needs}
            for future in futures:
                future.add_done_callback(self._ended)

    def release(self, keys: Sequence[str]) -> None:
        """Forget tasks; Dask drops their values when no other task needs them."""
        with self._lock:
            released = [self._futures.pop(key, None) for key in keys]
            for key in keys:
                self._needs.pop(key, None)
                self._failed.discard(key)
        for future in released:
            if future is not None:
                future.release()

    def acknowledge(self, received: Mapping[tuple[str, str], Sequence[int]]) -> None:
        """Tell workers what is committed."""
        for (worker, stream), numbers in received.items():
            self._tell([worker], {"op": "wfp_acknowledge", "stream": stream, "numbers": list(numbers)})

    def cancel(self, executions: Sequence[tuple[UUID, int]], keys: Sequence[str]) -> None:
        """Stop what runs and forget what does not yet run."""
        with self._lock:
            futures = [future for key in keys if (future := self._futures.pop(key, None)) is not None]
        if futures:
            self._client.cancel(futures, asynchronous=True, force=True)
        orders = [[execution.hex, epoch] for execution, epoch in executions]
        self._tell(None, {"op": "wfp_cancel", "executions": orders})

    def slots(self) -> int:
        """CPU-lane nodes at the same moment."""
        return self._slots

    def describe(self) -> Mapping[str, Any]:
        """Address, workers and what each says of itself."""
        answers = self._client.sync(self._broadcast, {"op": "wfp_describe"}, None)
        return {"scheduler": self._address, "workers": answers}

    # -- life

    def look_after(self) -> None:
        """Called about once a second: counts slots, notices that the scheduler went away and came back."""
        if self._closed:
            return
        if self._client.status == "closed":
            try:
                self._client = self._connect()
            except (OSError, UnreachableError):
                return
            self._on_back()
            return
        if self._client.status != "running":
            return
        info = self._client.scheduler_info(n_workers=-1)
        workers = info.get("workers", {})
        self._slots = max(1, sum(worker["nthreads"] for worker in workers.values()))
        if info.get("id") and info["id"] != self._scheduler_id:
            self._prepare()
            self._on_back()

    def restart_worker(self, address: str) -> None:
        """End a worker process that hangs; its nanny starts another."""
        self._client.restart_workers([address], raise_for_error=False)

    def close(self) -> None:
        """Leave the cluster; what runs there goes on until it is cancelled."""
        self._closed = True
        self._client.close()

    # -- pieces

    def _connect(self) -> Client:
        dask.config.set(CLIENT_CONFIG)
        try:
            client = Client(self._address, name="wfplatform-engine", set_as_default=False, timeout=30)
        except (OSError, TimeoutError, CommClosedError) as error:
            raise UnreachableError(
                "scheduler_unreachable",
                f"The Dask scheduler at {self._address} does not answer: {error}",
                "Start it, or set WFP_SCHEDULER_ADDRESS to the address of one that runs.",
                address=self._address,
            ) from error
        self._client = client
        self._prepare()
        return client

    def _prepare(self) -> None:
        client = self._client
        client.register_plugin(self._plugin)
        client.subscribe_topic(self._topic, self._event)
        info = client.scheduler_info(n_workers=-1)
        self._scheduler_id = info.get("id", "")
        self._slots = max(1, sum(worker["nthreads"] for worker in info.get("workers", {}).values()))

    def _event(self, event: tuple[float, Any]) -> None:
        self._on_outcomes(event[1])

    def _ended(self, future: Future[Any]) -> None:
        key = str(future.key)
        status = future.status
        if status == "finished" or self._closed:
            return
        with self._lock:
            if self._futures.pop(key, None) is None:
                return  # released or cancelled by the engine itself
        worker, reason, blameless = "", "The task was cancelled: the scheduler was lost or restarted.", True
        if status == "error":
            error = future.exception(timeout=5)
            if isinstance(error, KilledWorker):
                # Tasks that needed the killed one fail with the same error and are not to blame.
                worker, blameless = str(getattr(error.last_worker, "address", "")), error.task != key
                reason = (
                    "The worker process ended while it ran this: it crashed, was killed, or used more memory than it may."
                )
            else:
                reason, blameless = f"{type(error).__name__}: {error}", bool(self._failed & self._needs.get(key, frozenset()))
                self._failed.add(key)
        self._on_lost(key, worker, reason, blameless)

    def _tell(self, workers: list[str] | None, message: dict[str, Any]) -> None:
        loop = self._client.loop
        if loop is not None:
            loop.add_callback(self._broadcast, message, workers)

    async def _broadcast(self, message: dict[str, Any], workers: list[str] | None) -> Any:
        try:
            scheduler = self._client.scheduler
            return {} if scheduler is None else await scheduler.broadcast(msg=message, workers=workers, on_error="ignore")
        except OSError as error:
            # A worker or scheduler that is gone needs no message; whoever joins is told anew.
            logger.info("message not delivered", extra={"op": message["op"], "reason": str(error)})
            return {}
