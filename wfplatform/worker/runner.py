"""The node runner: what happens to a segment on a worker.

Runs the parts of an order one after the other, each for one execution. Errors of user code never leave the runner.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic, time
from typing import Any, Final

from wfplatform.artifacts import Artifacts
from wfplatform.compiler.payload import Part, SegmentOrder
from wfplatform.compiler.tree import open_output
from wfplatform.core.policy import Lane
from wfplatform.worker.async_loop import AsyncLoop
from wfplatform.worker.attempt import Watch
from wfplatform.worker.backlog import Backlog
from wfplatform.worker.failure import describe_error
from wfplatform.worker.loaded import LoadedVersion
from wfplatform.worker.part_run import PartRun
from wfplatform.worker.stream import OutcomeStream
from wfplatform.worker.values import SegmentValues

__all__ = ["NodeRunner", "reset_peak_memory"]

_CLEAR_REFS: Final = Path("/proc/self/clear_refs")


class NodeRunner:
    """Runs segments in one worker process.

    Args:
        artifacts: where results are kept.
        stream: takes outcomes.
        watch: watches attempts.
        load: digest of a workflow version -> its graph and code.
        scratch: folder below which nodes get scratch folders.
        io_slots: nodes of the I/O lane that run at the same moment.
        mend: called before each node; puts the standard streams back that another node left behind.
    """

    def __init__(
        self,
        *,
        artifacts: Artifacts,
        stream: OutcomeStream,
        watch: Watch,
        load: Callable[[str], LoadedVersion],
        scratch: Path,
        io_slots: int = 50,
        mend: Callable[..., None] = lambda *, alone: None,
    ) -> None:
        self._artifacts = artifacts
        self._stream = stream
        self._watch = watch
        self._load = load
        self._scratch = scratch
        self._mend = mend
        self._io_slots = threading.BoundedSemaphore(io_slots)
        self._writer = ThreadPoolExecutor(2, thread_name_prefix="wfplatform-artifacts")
        self._loop = AsyncLoop()
        self.backlog = Backlog(stream)

    def run(self, order: SegmentOrder, needed: Sequence[SegmentValues]) -> SegmentValues:
        """Run a segment; every element's outcome goes to the stream.

        Args:
            order: what to run.
            needed: the values of the segments it needs.

        Returns:
            the values other segments read.
        """
        slot = self._io_slots if order.lane == Lane.IO else None
        if slot is not None:
            slot.acquire()
        try:
            reset_peak_memory()
            exported = SegmentValues()
            started_s = monotonic()
            for part in self.backlog.parts(order):
                if self._watch.is_cancelled(part.execution, part.stage):
                    # Who waits for its end before it undoes what was done hears that nothing of this began.
                    self._stream.add(order.engine, part.execution, part.epoch, part.segment, [], closed=True)
                    continue
                # Says which segment has begun: it may not live to say more.
                self._stream.add(order.engine, part.execution, part.epoch, part.segment, [])
                if order.announce:
                    self._stream.flush_through()
                try:
                    version = self._load(part.version)
                    with version.active():  # values of the user's own classes are opened
                        loaded = PartRun(self, order, part, version, needed, started_s)
                except Exception as error:  # noqa: BLE001 - code or inputs cannot be loaded: every node fails, with the reason
                    self._refuse(order, part, error)
                    continue
                loaded.run(exported)
            return exported
        finally:
            if slot is not None:
                slot.release()

    def _refuse(self, order: SegmentOrder, part: Part, error: Exception) -> None:
        described = describe_error(error)
        now = time()
        outcomes: list[list[Any]] = [
            [index, element, attempt, "f", now, now, None, None, None, None, described, None, None, [], None]
            for index, span, attempt in part.members
            for element in span.elements()
        ]
        self._stream.add(order.engine, part.execution, part.epoch, part.segment, outcomes, closed=True, now=True)

    def open(self, output: Mapping[str, Any]) -> Any:
        """The value of a recorded output."""
        return open_output(output, self._artifacts.load)

    def close(self) -> None:
        """Finish writing and stop."""
        self._writer.shutdown(wait=True)
        self._loop.close()


def reset_peak_memory() -> None:
    """Start measuring the peak of this process's memory anew. Where the system cannot, the peak is that of the process's life."""
    try:
        _CLEAR_REFS.write_text("5")
    except OSError:
        return
