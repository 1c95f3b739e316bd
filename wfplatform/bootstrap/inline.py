"""The whole platform in one process: the same engine, planner and node runner, over a store in memory and an executor
without a cluster.

For users' tests and for ours. Refuses durability.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from wfplatform.app.changes import ChangeCounter
from wfplatform.app.dead_letters import DeadLetters
from wfplatform.app.executions import Executions
from wfplatform.app.platform import WorkflowPlatform
from wfplatform.artifacts import Artifacts
from wfplatform.bootstrap.system import SystemClock, SystemIds
from wfplatform.compiler.payload import unpack_order
from wfplatform.compiler.segment import Limits
from wfplatform.compiler.tree import open_output
from wfplatform.core.announcement import ENGINE_CHANNEL, EXECUTION_CHANNEL
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.engine.cluster import OutcomesArrived, TaskLost
from wfplatform.engine.costs import Costs
from wfplatform.engine.loop import EngineLoop, Wake
from wfplatform.engine.options import EngineOptions
from wfplatform.engine.orchestrator import Orchestrator
from wfplatform.engine.testing.memory import MemoryStore
from wfplatform.engine.testing.memory_catalog import MemoryCatalog, MemoryReader
from wfplatform.engine.testing.memory_dead_letters import MemoryDeadLetters
from wfplatform.engine.testing.memory_past import MemoryPast
from wfplatform.engine.testing.memory_sharing import MemoryShared
from wfplatform.executors.inline import InlineExecutor
from wfplatform.worker import capture
from wfplatform.worker.attempt import Attempt, Watch
from wfplatform.worker.loaded import LoadedVersions
from wfplatform.worker.runner import NodeRunner
from wfplatform.worker.stream import OutcomeStream

__all__ = ["InlinePlatform"]


class InlinePlatform(WorkflowPlatform):
    """A platform that lives and ends with this object. Use as a context manager.

    Args:
        limits: how plans are cut.
        budget_s: time after which a segment gives the rest of its elements back.
        dead_letters_kept_s: seconds for which what failed is a dead letter.
    """

    def __init__(
        self, *, limits: Limits | None = None, budget_s: float = 1.0, dead_letters_kept_s: float = 86_400.0
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="wfplatform-inline-")
        folder = Path(self._folder.name)
        self.store = MemoryStore()
        self.artifacts = Artifacts(str(folder / "artifacts"))
        self._changes = ChangeCounter()
        ids, clock = SystemIds(), SystemClock()
        executions = Executions(
            catalog=MemoryCatalog(self.store),
            records=MemoryReader(self.store),
            past=MemoryPast(self.store),
            shared=MemoryShared(self.store.sharing, self.store.now),
            changes=self._changes,
            notifier=self,
            open_value=self._open,
            ids=ids,
            tenant_id=DEFAULT_TENANT,
            actor="inline",
        )
        letters = DeadLetters(
            executions=executions,
            store=MemoryDeadLetters(self.store),
            records=MemoryReader(self.store),
            open_value=self._open,
            tenant_id=DEFAULT_TENANT,
            kept_s=dead_letters_kept_s,
        )
        super().__init__(executions, letters)
        engine_id = ids.new()
        self.watch = Watch(self._announce, lambda attempt: None)
        self.stream = OutcomeStream(
            "inline", "inline", lambda topic, body: self._loop.post(OutcomesArrived(body)), self.watch.tick
        )
        self.stream.busy = lambda: bool(self.watch.running)
        self._runner = NodeRunner(
            artifacts=self.artifacts,
            stream=self.stream,
            watch=self.watch,
            load=LoadedVersions(lambda digest: self.artifacts.get_bytes(f"programs/{digest}"), folder / "programs"),
            scratch=folder / "scratch",
        )
        self._executor = InlineExecutor(
            self._run,
            on_lost=lambda *facts: self._loop.post(TaskLost(*facts)),
            on_acknowledged=self._acknowledge,
            on_cancelled=self.watch.cancel,
        )
        self.orchestrator = Orchestrator(
            engine_id=engine_id,
            store=self.store,
            late=self.store,
            versions=self.store,
            cache=self.store,
            sharing=self.store,
            publish=lambda digest, body: self.artifacts.put_bytes(f"programs/{digest}", body),
            load=self.artifacts.load,
            costs=Costs(self.store),
            executor=self._executor,
            clock=clock,
            ids=ids,
            notifier=self,
            options=EngineOptions(limits=limits or Limits(slots=1), budget_s=budget_s),
        )
        self.store.register(engine_id, lease_s=3600, facts={})
        self._loop = EngineLoop(self.orchestrator, self.store, clock=clock, poll_s=0.2)
        self._hooks = capture.install()
        self._thread = threading.Thread(target=self._loop.run, name="wfplatform-engine", daemon=True)
        self._thread.start()

    def notify(self, channel: str, payloads: Iterable[str]) -> None:
        """The notifier of this platform."""
        if channel == ENGINE_CHANNEL:
            self._loop.post(Wake())
        elif channel == EXECUTION_CHANNEL:
            for payload in payloads:
                self._changes.count(channel, payload)

    def close(self) -> None:
        """End it; what runs is finished first."""
        self._loop.stop()
        self._thread.join(timeout=30)
        self._executor.close()
        self._runner.close()
        self.stream.close()
        capture.uninstall(self._hooks)
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, output: Mapping[str, Any]) -> Any:
        return open_output(output, self.artifacts.load)

    def _run(self, packed: bytes, needed: Sequence[Any]) -> Any:
        return self._runner.run(unpack_order(packed), needed)

    def _acknowledge(self, stream: str, numbers: Sequence[int]) -> None:
        del stream
        for number in numbers:
            self.stream.acknowledge(number)

    def _announce(self, attempt: Attempt) -> None:
        self.stream.add(attempt.engine, attempt.execution, attempt.epoch, attempt.segment, [attempt.started()])
