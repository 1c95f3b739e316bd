"""What is known of an execution at one moment, read with few queries, again only when something changed.

Refuses: deciding when to look; that is the lookout's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from uuid import UUID

from wfplatform.cli.lookout import Lookout
from wfplatform.cli.progress import NodeProgress, node_progress, open_sizes
from wfplatform.core.execution import NodeState
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.core.record import ExecutionRecord, NodeExecutionRecord

if TYPE_CHECKING:
    from wfplatform.bootstrap.platform import EmbeddedPlatform

__all__ = ["Observer", "Sight"]

NOTES: Final = 20
"""Running and waiting elements, and hooks, that are told one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """An execution at one moment.

    Args:
        record: the execution.
        nodes: how far each node is; empty when only the state was wanted.
        active: running and waiting elements, a few of them.
        hooks: executions that tell of it, a few of them, newest first.
        trouble: why it could not be looked at again, empty when all is well.
    """

    record: ExecutionRecord
    nodes: Sequence[NodeProgress] = ()
    active: Sequence[NodeExecutionRecord] = ()
    hooks: Sequence[ExecutionRecord] = ()
    trouble: str = ""


class Observer:
    """Looks at one execution.

    Args:
        platform: where it is.
        execution_id: which.
    """

    def __init__(self, platform: EmbeddedPlatform, execution_id: UUID) -> None:
        self._platform = platform
        self._id = execution_id
        self._sizes: dict[str, Mapping[str, int]] = {}

    def record(self) -> Sight:
        """The execution alone: one query."""
        return Sight(record=self._platform.executions.record(self._id))

    def look(self) -> Sight:
        """The execution, how far each node is, what tells of it, and what runs or waits: a few queries."""
        executions, reader = self._platform.executions, self._platform.reader
        record = executions.record(self._id)
        summary = reader.summary(DEFAULT_TENANT, self._id)
        graph = executions.graph(record.version_id)
        ended = {one.node for one in summary if one.counts.get(NodeState.COMPLETED)}
        for node in open_sizes(graph) & ended - self._sizes.keys():
            found = reader.nodes(DEFAULT_TENANT, self._id, node=node, limit=1).items
            self._sizes[node] = (found[0].sizes or {}) if found else {}
        wanted = [NodeState.RUNNING, NodeState.WAITING]
        active: Sequence[NodeExecutionRecord] = ()
        if any(one.counts.get(state) for one in summary for state in wanted):
            active = reader.nodes(DEFAULT_TENANT, self._id, states=wanted, limit=NOTES).items
        nodes = node_progress(graph, record.parameters, record.state, summary, self._sizes)
        hooks = reader.executions(DEFAULT_TENANT, hook_of=self._id, limit=NOTES).items
        return Sight(record=record, nodes=nodes, active=active, hooks=hooks)

    def sights(self, *, whole: bool = True) -> Iterator[Sight]:
        """One sight now and one whenever something may have changed, until the execution has ended.

        Args:
            whole: whether nodes are wanted, or the execution alone.

        Raises:
            UnreachableError: the database did not answer for a minute; the execution goes on all the same.
            PlatformError: nothing can go on, and why.
        """
        look: Callable[[], Sight] = self.look if whole else self.record
        lookout = Lookout(self._platform, f"wfp executions show {self._id} --watch")
        last: Sight | None = None
        while True:
            with lookout.look():
                last = look()
            assert last is not None  # the first look sees it, or raises
            yield replace(last, trouble=lookout.trouble)
            if last.record.state.final:
                return
            lookout.pause()
