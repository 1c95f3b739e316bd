"""Segments on a Dask cluster, local or remote, through `distributed.Client`.

Outcomes come as worker events; the fate of a task is known from its future. A thread of its own keeps the connection. Refuses a
scheduler that does not answer, and to wait for one once it did: while it is away, tasks that are handed over are lost.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import dask.config
from distributed import Client, Future, KilledWorker, SchedulerPlugin, Security, WorkerPlugin

from wfplatform.compiler.dask_graph import ClusterTask, build
from wfplatform.core.policy import Lane
from wfplatform.errors import UnreachableError
from wfplatform.executors.client import BROKEN, connect
from wfplatform.executors.exits import EXITS_TOPIC, MEMORY_TOPIC, Exits
from wfplatform.executors.scheduler_plugin import ADOPTED_TOPIC, LOSSES_TOPIC, ORDERS_TOPIC, SegmentsPlugin

__all__ = ["CLIENT_CONFIG", "DaskExecutor", "Loss"]

logger = logging.getLogger(__name__)

CLIENT_CONFIG: Final[dict[str, Any]] = {
    # Segments carry no source code of a user's call stack.
    "distributed.diagnostics.computations.nframes": 0,
    "distributed.comm.timeouts.connect": "30s",
}
IO_FIRST: Final = 0.5
"""Added to the priority of the I/O lane: it holds a thread for a moment only, so it never queues behind CPU-bound nodes."""
LOOK_EVERY_S: Final = 1.0
GIVE_UP_S: Final = 5.0
"""How long a client that is of no use may take to close."""
HEAR_S: Final = 2.0
"""For so long workers may take to send again what they said while the scheduler was away."""
GATHER_S: Final = 0.1
"""What a dead worker took with it is reported together, and not before the reason of its death had time to arrive."""

_SCHEDULER_LOST: Final = "The Dask scheduler was lost or restarted, and this with it."

type Loss = tuple[str, str, str, bool]
"""(key, worker, reason, blameless) of a task that will not end."""


class DaskExecutor:
    """An executor over one Dask scheduler.

    Args:
        address: the scheduler's, such as `tcp://127.0.0.1:8786`.
        security: how it is reached over TLS; None: as Dask is configured here.
        topic: the event topic to which workers send outcomes for this engine.
        engine: the engine's name, as workers know it.
        plugin: makes workers able to run segments; given anew to every scheduler.
        runner: the function that stands in the graph.
        on_outcomes: gets messages of workers, packed.
        on_lost: gets tasks that will not end; those of one worker together, in the order in which they were submitted.
        on_away: called when the scheduler does not answer any more, before tasks are reported lost because of that.
        on_back: called when it answers again, and what workers said in the meantime has been reported.
        on_workers: called when workers have come or gone, with what each that came says of itself, and all that are there.
        patience_s: for how long a client may be without connection before another takes its place.

    Raises:
        UnreachableError: the scheduler does not answer.
    """

    def __init__(
        self,
        address: str,
        *,
        security: Security | None = None,
        topic: str,
        engine: str,
        plugin: WorkerPlugin,
        runner: Callable[..., Any],
        on_outcomes: Callable[[bytes], None],
        on_lost: Callable[[Sequence[Loss]], None],
        on_away: Callable[[], None],
        on_back: Callable[[], None],
        on_workers: Callable[[Mapping[str, Any], Collection[str]], None],
        patience_s: float = 45.0,
    ) -> None:
        self._address = address
        self._security = security
        self._topic = topic
        self._engine = engine
        self._plugins: tuple[SchedulerPlugin | WorkerPlugin, ...] = (SegmentsPlugin(), plugin)
        self._runner = runner
        self._on_outcomes = on_outcomes
        self._on_lost = on_lost
        self._on_away = on_away
        self._on_back = on_back
        self._on_workers = on_workers
        self._patience_s = patience_s
        self._futures: dict[str, Future[Any]] = {}
        self._needs: dict[str, frozenset[str]] = {}
        self._failed: set[str] = set()
        self._dead: dict[str, dict[str, bool]] = {}
        self._exits = Exits()
        self._lock = threading.RLock()
        self._slots = 1
        self._workers: frozenset[str] = frozenset()
        self._ready = self._told_away = False
        self._unheard: set[str] = set()
        self._all_heard = threading.Event()
        self._stop = threading.Event()
        dask.config.set(CLIENT_CONFIG)
        self._client = connect(address, security)
        self._last_connected_s = time.monotonic()
        self._comm: object = self._client.scheduler_comm
        self._prepare(self._client)
        self._ready = True
        self._keeper = threading.Thread(target=self._keep, name="wfplatform-cluster", daemon=True)
        self._keeper.start()

    # -- the port

    def submit(self, tasks: Sequence[ClusterTask]) -> None:
        """Hand tasks over; while the scheduler is away they are lost."""
        with self._lock:
            if self._is_ready():
                self._send(tasks)
                return
        self._tell_away()
        self._on_lost([(task.key, "", _SCHEDULER_LOST, True) for task in tasks])

    def release(self, keys: Sequence[str]) -> None:
        """Forget tasks; Dask drops their values when no other task needs them."""
        self._take(keys)

    def acknowledge(self, received: Mapping[tuple[str, str], Sequence[int]]) -> None:
        """Tell workers what is committed."""
        for (worker, stream), numbers in received.items():
            self._tell([worker], {"op": "wfp_acknowledge", "stream": stream, "numbers": list(numbers)})

    def cancel(self, executions: Sequence[tuple[UUID, int]], keys: Sequence[str]) -> None:
        """Stop what runs and forget what does not yet run."""
        self._take(keys)
        orders = [[execution.hex, epoch] for execution, epoch in executions]
        self._tell(None, {"op": "wfp_cancel", "executions": orders})

    def slots(self) -> int:
        """CPU-lane nodes at the same moment."""
        return self._slots

    def describe(self) -> Mapping[str, Any]:
        """Address, workers and what each says of itself."""
        said = self._client.sync(self._ask, self._client, {"op": "wfp_describe"}, None)
        return {"scheduler": self._address, "workers": said}

    # -- life

    def restart_worker(self, address: str) -> None:
        """End a worker process that hangs; its nanny starts another. Does not wait for it."""
        logger.warning("worker ended because a node on it does not stop", extra={"worker": address})
        self._later(self._restart, self._client, address)

    def close(self) -> None:
        """Leave the cluster; what runs there goes on until it is cancelled."""
        self._stop.set()
        self._keeper.join(timeout=5)
        self._client.close(timeout=GIVE_UP_S)

    # -- the connection

    def _tell_away(self) -> None:
        """Before anything is reported lost because of that."""
        with self._lock:
            if not self._told_away:
                self._told_away = True
                self._on_away()

    def _is_ready(self) -> bool:
        client = self._client
        return self._ready and client.status == "running" and client.scheduler_comm is self._comm

    def _keep(self) -> None:
        """In a thread of its own: the engine never waits for a scheduler."""
        while not self._stop.wait(LOOK_EVERY_S):
            try:
                self._look_after()
            except (*BROKEN, UnreachableError) as error:
                logger.warning("scheduler does not answer", extra={"address": self._address, "reason": str(error)})

    def _look_after(self) -> None:
        client = self._client
        connected = (
            client.status == "running" and client.scheduler_comm is not None and not client.scheduler_comm.closed()
        )
        if connected:
            self._last_connected_s = time.monotonic()
        elif client.status == "closed" or time.monotonic() > self._last_connected_s + self._patience_s:
            # It gives up by itself after half a minute, or else something in it broke and it would try for ever.
            self._ready = False
            client.close(timeout=GIVE_UP_S)
            client = self._client = connect(self._address, self._security)
        else:
            self._ready = False
            return
        if client.scheduler_comm is not self._comm:
            # Another scheduler at the same address, or the same one that has forgotten this client and all it asked for.
            self._ready = False
            self._lose_unwatched(all_of_them=True)
            comm = client.scheduler_comm
            self._prepare(client)
            self._hear_again()
            with self._lock:
                self._comm, self._ready = comm, True
                self._told_away = False
                self._on_back()
        self._count(client)
        self._lose_unwatched()

    def _lose_unwatched(self, *, all_of_them: bool = False) -> None:
        """Report tasks that the client has struck off its list: after a lost connection, or when somebody restarted the cluster.

        Of one that had ended before, with its outcomes still on their way, Dask says no word more.

        Args:
            all_of_them: take every task for one of these, as some may have gone into a connection that was breaking.
        """
        if not self._is_ready():
            self._tell_away()
        with self._lock:
            lost = [key for key, future in self._futures.items() if all_of_them or future.cancelled()]
            self._take(lost)
        if lost:
            self._on_lost([(key, "", _SCHEDULER_LOST, True) for key in lost])

    def _prepare(self, client: Client) -> None:
        for plugin in self._plugins:
            client.register_plugin(plugin)
        client.subscribe_topic(self._topic, lambda event: self._on_outcomes(event[1]))
        client.subscribe_topic(LOSSES_TOPIC, self._values_lost)
        client.subscribe_topic(EXITS_TOPIC, self._exits.ended)
        client.subscribe_topic(MEMORY_TOPIC, self._exits.too_large)
        client.subscribe_topic(ADOPTED_TOPIC, self._adopted)
        self._count(client)

    def _hear_again(self) -> None:
        """Have workers send again what they said while nobody heard it, and wait until it is here: it need not be done again.

        One that does not answer may have died, or be held by a node.
        """
        self._unheard = set(self._workers)
        self._all_heard.clear()
        self._tell(None, {"op": "wfp_adopt", "old": [self._engine], "new": self._engine})
        if self._unheard:
            self._all_heard.wait(HEAR_S)

    def _adopted(self, event: tuple[float, Mapping[str, Any]]) -> None:
        if event[1]["engine"] == self._engine:
            self._unheard.discard(event[1]["worker"])
            if not self._unheard:
                self._all_heard.set()

    def _count(self, client: Client) -> None:
        workers = frozenset(client.scheduler_info(n_workers=-1)["workers"])
        self._slots = max(1, len(workers))
        if workers != self._workers:
            came = sorted(workers - self._workers)
            said = client.sync(self._ask, client, {"op": "wfp_describe"}, came) if came else {}
            self._on_workers(said, workers)
            self._workers = workers

    # -- tasks

    def _send(self, tasks: Sequence[ClusterTask]) -> None:
        groups: dict[tuple[object, ...], list[ClusterTask]] = {}
        for task in tasks:
            groups.setdefault((task.lane, task.priority, *sorted(task.resources.items())), []).append(task)
        for group in groups.values():
            first = group[0]
            futures = self._client.get(
                build(group, self._runner),
                [task.key for task in group],
                sync=False,
                priority=first.priority + (IO_FIRST if first.lane is Lane.IO else 0),
                resources=dict(first.resources) or None,
            )
            self._futures |= {str(future.key): future for future in futures}
            self._needs |= {task.key: frozenset(task.needs) for task in group if task.needs}
            for future in futures:
                future.add_done_callback(self._ended)

    def _take(self, keys: Sequence[str]) -> None:
        with self._lock:
            futures = [future for key in keys if (future := self._futures.pop(key, None)) is not None]
            for key in keys:
                self._needs.pop(key, None)
                self._failed.discard(key)
        for future in futures:
            future.release()

    def _ended(self, future: Future[Any]) -> None:
        """In Dask's thread for callbacks: a task has ended in some way."""
        key, status = str(future.key), future.status
        if status == "finished" or self._stop.is_set():
            return
        error = future.exception(timeout=5) if status == "error" else None
        if isinstance(error, KilledWorker):
            # Tasks that needed the killed one fail with the same error and are not to blame.
            self._note(str(getattr(error.last_worker, "address", "")), {key: error.task != key})
            return
        if error is None:
            # Those struck off with it are planned anew together; of one that the engine released, nobody has to hear.
            if key in self._futures:
                self._lose_unwatched()
            return
        with self._lock:
            if self._futures.pop(key, None) is None:
                return  # released by the engine itself
            blameless = bool(self._failed & self._needs.get(key, frozenset()))
            self._failed.add(key)
        self._on_lost([(key, "", f"{type(error).__name__}: {error}", blameless)])

    def _values_lost(self, event: tuple[float, Mapping[str, Any]]) -> None:
        # They had ended, but perhaps not told all of it: who had is released already.
        self._note(event[1]["worker"], dict.fromkeys(event[1]["computed"], True))

    def _note(self, worker: str, keys: Mapping[str, bool]) -> None:
        with self._lock:
            first = worker not in self._dead
            known = self._dead.setdefault(worker, {})
            known.update(keys)
        if first:
            self._later(self._worker_lost, worker)

    async def _worker_lost(self, worker: str) -> None:
        await asyncio.sleep(GATHER_S)
        reason = self._exits.reason(worker)
        with self._lock:
            keys = self._dead.pop(worker)
            mine = [key for key in self._futures if key in keys]
            for key in mine:
                del self._futures[key]
        if mine:
            self._on_lost([(key, worker, reason, keys[key]) for key in mine])

    # -- messages

    def _tell(self, workers: list[str] | None, message: dict[str, Any]) -> None:
        """Send workers a message over the connection they have with the scheduler; returns at once."""
        client = self._client
        if client.status == "running":
            self._later(self._order, client, {"workers": workers, "message": message})

    def _later(self, work: Callable[..., Awaitable[None]], *values: Any) -> None:
        """Have it done by the client's event loop."""
        loop = self._client.loop
        assert loop is not None, "a synchronous client has one as long as it lives"
        loop.add_callback(work, *values)

    async def _order(self, client: Client, order: dict[str, Any]) -> None:
        try:
            await _scheduler(client).log_event(topic=ORDERS_TOPIC, msg=order)
        except BROKEN as error:
            # A worker or scheduler that is gone needs no message; what comes after it is told anew.
            logger.info("message not delivered", extra={"op": order["message"]["op"], "reason": str(error)})

    async def _restart(self, client: Client, address: str) -> None:
        try:
            await _scheduler(client).restart_workers(
                workers=[address], timeout=30, wait_for_workers=False, on_error="return", stimulus_id="wfplatform-stuck"
            )
        except BROKEN as error:
            logger.warning("worker not ended", extra={"worker": address, "reason": str(error)})

    async def _ask(self, client: Client, message: dict[str, Any], workers: list[str] | None) -> Any:
        return await _scheduler(client).broadcast(msg=message, workers=workers, on_error="ignore")


def _scheduler(client: Client) -> Any:
    """The scheduler's remote procedures."""
    return client.scheduler
