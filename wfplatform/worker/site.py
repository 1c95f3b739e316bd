"""The composition root of a worker process: a Dask plugin that builds the node runner and answers the engine.

An engine registers it when it connects; every worker that joins gets it. Refuses a worker of another release.
"""

from __future__ import annotations

import asyncio
import functools
import os
import platform
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic, sleep, time
from typing import Any, Final, cast
from uuid import UUID, uuid4

from distributed import Worker, WorkerPlugin, get_worker, secede

from wfplatform.artifacts import Artifacts
from wfplatform.compiler.payload import unpack_order
from wfplatform.core.policy import Lane
from wfplatform.executors.exits import GIVEN_UP_EXIT_CODE
from wfplatform.executors.scheduler_plugin import ADOPTED_TOPIC, IO_KEY_PREFIX, KEY_PREFIX
from wfplatform.worker import capture
from wfplatform.worker.attempt import Attempt, Watch
from wfplatform.worker.lanes import Lanes
from wfplatform.worker.loaded import LoadedVersions
from wfplatform.worker.program import environment
from wfplatform.worker.runner import NodeRunner
from wfplatform.worker.stream import OutcomeStream
from wfplatform.worker.values import SegmentValues

__all__ = ["PLUGIN_NAME", "Site", "SitePlugin", "here"]

PLUGIN_NAME: Final = "wfplatform"
CPU_PLACE: Final = "wfp_cpu"
"""The Dask resource of which every worker has one, for the node of the CPU lane that runs on it."""
PLUGIN_PATIENCE_S: Final = 30.0
"""After a scheduler was lost, a task may reach a worker a moment before its plugin does."""
SEND_PATIENCE_S: Final = 2.0
"""How long a message that must leave before the process may end is waited for."""


class SitePlugin(WorkerPlugin):
    """Makes a Dask worker a worker of this platform.

    Args:
        artifact_url: where results and programs lie; every worker and every engine must reach it.
        release: the release of the engine that registers it.
        inline_limit_bytes: results up to this size travel with the outcome.
        io_slots: nodes of the I/O lane at the same moment in one worker.
        grace_s: time a cancelled or timed-out node has to clean up.
    """

    name = PLUGIN_NAME
    idempotent = True

    def __init__(
        self,
        *,
        artifact_url: str,
        release: str,
        inline_limit_bytes: int = 65_536,
        io_slots: int = 50,
        grace_s: float = 5.0,
    ) -> None:
        self.artifact_url = artifact_url
        self.release = release
        self.inline_limit_bytes = inline_limit_bytes
        self.io_slots = io_slots
        self.grace_s = grace_s

    def setup(self, worker: Worker) -> None:
        """Called by Dask when the worker gets the plugin."""
        self.site = Site(worker, self)

    def transition(self, key: Any, start: str, finish: str, **more: Any) -> None:
        """Called by Dask when a task changes its state on the worker."""
        if finish == "waiting" and isinstance(key, str):
            self.site.waits(key)

    def teardown(self, worker: Worker) -> None:
        """Called by Dask when the worker leaves."""
        self.site.close()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "site"}


class Site:
    """What one worker process has of this platform."""

    def __init__(self, worker: Worker, options: SitePlugin) -> None:
        self._worker = worker
        self._hooks = capture.install()
        folder = Path(worker.local_directory)
        self.artifacts = Artifacts(options.artifact_url, inline_limit_bytes=options.inline_limit_bytes)
        self.watch = Watch(self._announce, self._give_up, grace_s=options.grace_s, alarm=True)
        self._hooks.owner.sole = self.watch.sole_log
        self.stream = OutcomeStream(uuid4().hex, worker.address, self._send, self._tick, self._send_through)
        self.stream.busy = lambda: bool(self.watch.running)
        self._lanes = Lanes(options.io_slots)
        self.runner = NodeRunner(
            artifacts=self.artifacts,
            stream=self.stream,
            watch=self.watch,
            load=LoadedVersions(lambda digest: self.artifacts.get_bytes(f"programs/{digest}"), folder / "programs"),
            scratch=folder / "scratch",
            io_slots=options.io_slots,
            mend=self._mend,
        )
        self._home = _folder()
        self._divide_lanes()
        worker.handlers["wfp_describe"] = self._describe
        worker.stream_handlers |= {
            "wfp_acknowledge": self._acknowledge,
            "wfp_cancel": self._cancel,
            "wfp_adopt": self._adopt,
        }

    def _divide_lanes(self) -> None:
        """One place for CPU-bound nodes, whatever the number of threads, and one thread more: it starts nodes of the I/O lane,
        which leave it at once, while the others are busy.
        """
        state, pool = self._worker.state, cast("Any", self._worker.executors["default"])
        if CPU_PLACE not in state.total_resources:
            state.total_resources[CPU_PLACE] = state.available_resources[CPU_PLACE] = 1
            state.nthreads += 1
            pool._max_workers += 1

    def waits(self, key: str) -> None:
        """A task has come and waits for a thread: one of the CPU lane waits for the place there too."""
        if key.startswith(KEY_PREFIX) and not key.startswith(IO_KEY_PREFIX):
            # Not told the scheduler: to restrict a task there costs it half as much again as to schedule it.
            task = self._worker.state.tasks[key]
            task.resource_restrictions = {**(task.resource_restrictions or {}), CPU_PLACE: 1}

    def run(self, packed: bytes, needed: Sequence[SegmentValues]) -> SegmentValues:
        """Run a segment in the calling thread."""
        order = unpack_order(packed)
        lane = Lane(order.lane)
        if lane is Lane.IO:
            # The thread is free for the next node while this one waits for the world.
            secede()
        with self._lanes.enter(lane, alone=order.announce):
            return self.runner.run(order, needed)

    def close(self) -> None:
        """Send what is left and undo the hooks."""
        self.runner.close()
        self.stream.close()
        capture.uninstall(self._hooks)

    def _tick(self) -> None:
        self.watch.tick()
        self.runner.backlog.give_back()

    def _mend(self, *, alone: bool) -> None:
        """Undo what a node that has ended did to the process: its streams, and where relative paths begin."""
        self._hooks.mend(alone=alone)
        if alone and _folder() != self._home:
            os.chdir(self._home)

    def _send(self, topic: str, body: bytes) -> None:
        self._worker.log_event(topic, body)

    def _send_through(self, topic: str, body: bytes) -> None:
        """Returns when the scheduler has the message."""
        loop = self._worker.loop.asyncio_loop  # type: ignore[attr-defined]
        sent = asyncio.run_coroutine_threadsafe(self._worker.scheduler.log_event(topic=topic, msg=body), loop)
        try:
            sent.result(SEND_PATIENCE_S)
        except (TimeoutError, OSError):
            # The scheduler is away or the loop is held: then it goes the usual way, if it can.
            self._send(topic, body)

    def _announce(self, attempt: Attempt) -> None:
        self.stream.add(attempt.engine, attempt.execution, attempt.epoch, attempt.segment, [attempt.started()])

    def _give_up(self, attempt: Attempt) -> None:
        """The attempt's thread does not come back: report it and make room by ending the process."""
        timeout = attempt.reason == "timeout"
        kind = "NodeTimeout" if timeout else "Cancelled"
        error = {
            "type": kind,
            "kinds": [kind],
            "message": f"{attempt.end}, and it did not stop when it was told to; its worker process was ended.",
            "traceback": "",
            "code": attempt.reason,
            "retryable": timeout,
        }
        outcome = [*attempt.started()]
        outcome[3] = "f"
        outcome[5] = time()
        outcome[10] = error
        self.stream.add(attempt.engine, attempt.execution, attempt.epoch, attempt.segment, [outcome])
        self.stream.flush_through()
        os._exit(GIVEN_UP_EXIT_CODE)

    # -- asked by engines, on the worker's event loop

    def _acknowledge(self, stream: str, numbers: Sequence[int]) -> None:
        if stream == self.stream.name:
            for number in numbers:
                self.stream.acknowledge(number)

    def _cancel(self, executions: Sequence[Sequence[Any]]) -> int:
        stopped = sum(self.watch.cancel(UUID(hex=execution), epoch) for execution, epoch in executions)
        if stopped:
            self.stream.watch()
        return stopped

    def _adopt(self, old: Sequence[str], new: str) -> None:
        self.stream.adopt(old, new)
        # On the same way as what was sent, so that it arrives when all of that has.
        self._worker.log_event(ADOPTED_TOPIC, {"engine": new, "worker": self._worker.address})

    def _describe(self) -> Mapping[str, Any]:
        return {
            "environment": self._environment,
            "resources": {k: v for k, v in self._worker.state.total_resources.items() if k != CPU_PLACE},
            "host": platform.node(),
            "pid": os.getpid(),
            "threads": threading.active_count(),
            "probe": self.artifacts.probe(),
        }

    @functools.cached_property
    def _environment(self) -> Mapping[str, Any]:
        return environment()


def _folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109  # asked before each node, and four times as quick
    except FileNotFoundError:  # it was removed
        return ""


def here() -> Site:
    """The site of the worker that runs the calling task.

    Raises:
        RuntimeError: the worker was not made one of this platform.
    """
    plugins = get_worker().plugins
    until_s = monotonic() + PLUGIN_PATIENCE_S
    while not isinstance(plugin := plugins.get(PLUGIN_NAME), SitePlugin) or not hasattr(plugin, "site"):
        if monotonic() > until_s:
            raise RuntimeError("This Dask worker has no wfplatform plugin: no engine is connected to its scheduler.")
        sleep(0.02)
    return plugin.site
