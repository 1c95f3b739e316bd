"""The composition root of a worker process: a Dask plugin that builds the node runner and answers the engine.

An engine registers it when it connects; every worker that joins gets it. Refuses a worker of another release.
"""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from distributed import Worker, WorkerPlugin, get_worker, secede

from wfplatform.artifacts import Artifacts
from wfplatform.compiler.payload import unpack_order
from wfplatform.core.policy import Lane
from wfplatform.worker import capture
from wfplatform.worker.attempt import Attempt, Watch
from wfplatform.worker.loaded import LoadedVersions
from wfplatform.worker.program import environment
from wfplatform.worker.runner import NodeRunner
from wfplatform.worker.stream import OutcomeStream
from wfplatform.worker.values import SegmentValues

__all__ = ["PLUGIN_NAME", "Site", "SitePlugin", "here"]

PLUGIN_NAME: Final = "wfplatform"


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
        self.watch = Watch(self._announce, self._give_up, grace_s=options.grace_s)
        self.stream = OutcomeStream(uuid4().hex, worker.address, self._send, self.watch.tick)
        self.stream.busy = lambda: bool(self.watch.running)
        self.runner = NodeRunner(
            artifacts=self.artifacts,
            stream=self.stream,
            watch=self.watch,
            load=LoadedVersions(lambda digest: self.artifacts.get_bytes(f"programs/{digest}"), folder / "programs"),
            scratch=folder / "scratch",
            io_slots=options.io_slots,
        )
        worker.handlers["wfp_acknowledge"] = self._acknowledge
        worker.handlers["wfp_cancel"] = self._cancel
        worker.handlers["wfp_adopt"] = self._adopt
        worker.handlers["wfp_describe"] = self._describe

    def run(self, packed: bytes, needed: Sequence[SegmentValues]) -> SegmentValues:
        """Run a segment in the calling thread."""
        order = unpack_order(packed)
        if order.lane == Lane.IO:
            # The CPU's slot is free for the next node while this one waits for the world.
            secede()
        return self.runner.run(order, needed)

    def close(self) -> None:
        """Send what is left and undo the hooks."""
        self.runner.close()
        self.stream.close()
        capture.uninstall(self._hooks)

    def _send(self, topic: str, body: bytes) -> None:
        self._worker.log_event(topic, body)

    def _announce(self, attempt: Attempt) -> None:
        self.stream.add(attempt.engine, attempt.execution, attempt.epoch, attempt.segment, [attempt.started()])

    def _give_up(self, attempt: Attempt) -> None:
        """The attempt's thread does not come back: report it and make room by ending the process."""
        error = {
            "type": "NodeTimeout" if attempt.reason == "timeout" else "Cancelled",
            "kinds": ["NodeTimeout"],
            "message": "It ran longer than its timeout and did not stop when it was told to; its worker process was ended.",
            "traceback": "",
            "code": attempt.reason,
            "retryable": attempt.reason == "timeout",
        }
        outcome = [*attempt.started()]
        outcome[3] = "f"
        outcome[10] = error
        self.stream.add(attempt.engine, attempt.execution, attempt.epoch, attempt.segment, [outcome])
        self.stream.flush_through()
        os._exit(70)

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

    def _adopt(self, old: Sequence[str], new: str) -> int:
        return self.stream.adopt(old, new)

    def _describe(self) -> Mapping[str, Any]:
        return {
            "environment": environment(),
            "host": platform.node(),
            "pid": os.getpid(),
            "threads": threading.active_count(),
            "probe": self.artifacts.probe(),
        }


def here() -> Site:
    """The site of the worker that runs the calling task.

    Raises:
        RuntimeError: the worker was not made one of this platform.
    """
    plugin = get_worker().plugins.get(PLUGIN_NAME)
    if not isinstance(plugin, SitePlugin):
        raise RuntimeError("This Dask worker has no wfplatform plugin: it joined before an engine was connected.")
    return plugin.site
