"""An engine without threads: turns are taken by hand, time stands still until it is moved, and tasks are answered as told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from wfplatform import Workflow, node, workflow
from wfplatform.compiler.dask_graph import ClusterTask
from wfplatform.compiler.payload import Delivery, Part, pack_delivery, unpack_order
from wfplatform.core.identifier import DEFAULT_TENANT, TimeOrderedIds
from wfplatform.core.ports import Commit, Publication, StoredVersion
from wfplatform.core.record import ExecutionRecord
from wfplatform.core.start import NewExecution
from wfplatform.engine.cluster import ClusterReport, OutcomesArrived
from wfplatform.engine.costs import Costs
from wfplatform.engine.options import EngineOptions
from wfplatform.engine.orchestrator import Orchestrator
from wfplatform.engine.testing.memory import MemoryStore
from wfplatform.engine.testing.memory_catalog import MemoryCatalog
from wfplatform.errors import UnreachableError

__all__ = ["Away", "Cluster", "Rig", "Time", "same", "wide"]


@node
def same(x: Any) -> Any:
    return x


@workflow
def wide(xs: list[int]) -> Any:
    """Elements for which nothing waits."""
    return same.map(xs)


class Time:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 2, tzinfo=UTC)
        self.passed_s = 100.0

    def now(self) -> datetime:
        return self.at

    def monotonic_s(self) -> float:
        return self.passed_s

    def move(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.passed_s += seconds


class Ids(TimeOrderedIds):
    """No luck involved."""

    def chance(self) -> float:
        return 0.5


@dataclass
class Cluster:
    """Keeps what it is given."""

    tasks: list[ClusterTask] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    cancelled: list[tuple[UUID, int]] = field(default_factory=list)
    acknowledged: int = 0

    def submit(self, tasks: Sequence[ClusterTask]) -> None:
        self.tasks += tasks

    def release(self, keys: Sequence[str]) -> None:
        self.released += keys

    def acknowledge(self, received: Mapping[tuple[str, str], Sequence[int]]) -> None:
        self.acknowledged += sum(map(len, received.values()))

    def cancel(self, executions: Sequence[tuple[UUID, int]], keys: Sequence[str]) -> None:
        self.cancelled += executions

    def slots(self) -> int:
        return 2

    def describe(self) -> Mapping[str, Any]:
        return {}

    @property
    def parts(self) -> list[Part]:
        """What is to be done, in the order in which it came."""
        return [part for task in self.tasks for part in unpack_order(task.order).parts]


class Store(MemoryStore):
    """Counts commits."""

    def __init__(self, time: Time) -> None:
        super().__init__(now=time.now)
        self.commits: list[Commit] = []

    def commit(self, commit: Commit) -> None:
        super().commit(commit)
        self.commits.append(commit)


class Away(Store):
    """Does not answer while it is told not to."""

    def __init__(self, time: Time) -> None:
        super().__init__(time)
        self.is_away = False

    def commit(self, commit: Commit) -> None:
        if self.is_away:
            raise UnreachableError("database_down", "It does not answer.")
        super().commit(commit)


class Rig:
    """An engine over a store in memory.

    Args:
        publish: in place of the artifact storage.
        options: of the engine.
        store: what others have filled.
        time: the clock of that store.
    """

    def __init__(
        self,
        publish: Callable[[str, bytes], None] = lambda digest, body: None,
        options: EngineOptions | None = None,
        store: Store | None = None,
        time: Time | None = None,
    ) -> None:
        self.time = time or Time()
        self.store = store or Store(self.time)
        self.catalog = MemoryCatalog(self.store)
        self.cluster = Cluster()
        self.ids = Ids()
        self.messages = 0
        self.engine = Orchestrator(
            engine_id=self.ids.new(),
            store=self.store,
            late=self.store,
            versions=self.store,
            cache=self.store,
            sharing=self.store,
            publish=publish,
            costs=Costs(self.store),
            executor=self.cluster,
            clock=self.time,
            ids=self.ids,
            notifier=self,
            options=options or EngineOptions(),
        )
        self.store.register(self.engine.engine_id, lease_s=1e6, facts={})

    def notify(self, channel: str, payloads: Iterable[str]) -> None:
        """Nobody listens."""

    def publish(self, flow: Workflow[..., Any], **changes: Any) -> StoredVersion:
        """Store a version of a workflow, whatever it is like."""
        given: dict[str, Any] = {
            "name": flow.name,
            "digest": flow.version,
            "document": flow.definition,
            "code": flow.code.to_bytes(),
            "code_digest": flow.code.digest,
        }
        return self.catalog.publish(DEFAULT_TENANT, Publication(**{**given, **changes}))

    def start(self, version: StoredVersion, **parameters: Any) -> UUID:
        """Ask for an execution."""
        new = NewExecution(
            id=self.ids.new(), version_id=version.id, workflow_name=version.name, parameters=parameters, timeout_s=60.0
        )
        self.catalog.insert(DEFAULT_TENANT, [new])
        return new.id

    def record(self, execution_id: UUID) -> ExecutionRecord:
        """What is committed of an execution."""
        return self.store.contents.executions[execution_id]

    def error(self, execution_id: UUID) -> dict[str, Any]:
        """Why an execution failed."""
        record = self.record(execution_id)
        assert record.state == "failed", record
        return dict(record.error or {})

    def turn(self, *reports: ClusterReport, look: bool = True) -> None:
        """One turn, and more as long as there is more to do at once."""
        for _ in range(100):
            if not self.engine.turn(reports, look=look):
                return
            reports, look = (), False
        raise AssertionError("the engine does not come to rest")

    def done(self, part: Part, value: Any = 1, *, closed: bool = True) -> OutcomesArrived:
        """What a worker says when everything of a part has completed."""
        output = {"codec": "json", "size": 1, "digest": "d", "value": value}
        outcomes = [
            [index, element, attempt, "c", 1.0, 2.0, 0.5, 1, None, {"result": output}, None, None, None, [], None]
            for index, span, attempt in part.members
            for element in span.elements()
        ]
        return self._said(part, outcomes, closed=closed)

    def failed(self, part: Part) -> OutcomesArrived:
        """What a worker says when everything of a part has failed."""
        error = {"type": "ValueError", "message": "no", "kinds": ["ValueError"]}
        outcomes = [
            [index, element, attempt, "f", 1.0, 2.0, 0.5, 1, None, None, error, None, None, [], None]
            for index, span, attempt in part.members
            for element in span.elements()
        ]
        return self._said(part, outcomes)

    def _said(self, part: Part, outcomes: list[Any], *, closed: bool = True) -> OutcomesArrived:
        self.messages += 1
        delivery = Delivery(part.execution, part.epoch, part.segment, outcomes, closed)
        return OutcomesArrived(pack_delivery("stream", self.messages, "tcp://w", [delivery]))
