"""What is known of an execution at one moment, read with few queries, again only when something changed.

Refuses: hammering the database. Between two looks there are at least 0.2 s, and five times what the last look took.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from wfplatform.cli.progress import NodeProgress, node_progress, open_sizes
from wfplatform.core.execution import NodeState
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.core.record import ExecutionRecord, NodeExecutionRecord
from wfplatform.errors import PlatformError, UnreachableError

if TYPE_CHECKING:
    from wfplatform.bootstrap.platform import EmbeddedPlatform

__all__ = ["Observer", "Sight"]

LEAST_PAUSE_S: Final = 0.2
SHARE: Final = 5.0
"""A look may take this fraction of the time at most."""
TICK_S: Final = 1.0
"""The clock on the screen goes on when nothing happens."""
LOST_PATIENCE_S: Final = 60.0
"""How long a database that does not answer is asked again; the platform restarts one that died."""
NOTES: Final = 20
"""Running and waiting elements that are told one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """An execution at one moment.

    Args:
        record: the execution.
        nodes: how far each node is; empty when only the state was wanted.
        active: running and waiting elements, a few of them.
        trouble: why it could not be looked at again, empty when all is well.
    """

    record: ExecutionRecord
    nodes: Sequence[NodeProgress] = ()
    active: Sequence[NodeExecutionRecord] = ()
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
        """The execution, how far each node is, and what runs or waits: two queries, and one if anything does."""
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
        return Sight(record=record, nodes=nodes, active=active)

    def _check(self) -> None:
        """Whoever watches is told that nothing can go on, rather than shown a picture that stands still."""
        try:
            self._platform.check()
        except PlatformError as error:
            hint = f"{error.hint} Watch it again with `wfp executions show {self._id} --watch`."
            raise PlatformError(error.code, error.message, hint, **error.facts) from error

    def sights(self, *, whole: bool = True) -> Iterator[Sight]:
        """One sight now and one whenever something may have changed, until the execution has ended.

        Args:
            whole: whether nodes are wanted, or the execution alone.

        Raises:
            UnreachableError: the database did not answer for a minute; the execution goes on all the same.
            PlatformError: nothing can go on, and why.
        """
        look: Callable[[], Sight] = self.look if whole else self.record
        seen = self._platform.executions.changed(-1, 0.0)
        last: Sight | None = None
        lost_s = 0.0
        while True:
            began_s = time.monotonic()
            try:
                sight = last = look()
                lost_s = 0.0
            except UnreachableError as error:
                lost_s = lost_s or began_s
                if last is None or began_s - lost_s > LOST_PATIENCE_S:
                    raise
                sight = Sight(record=last.record, nodes=last.nodes, active=last.active, trouble=error.message)
            yield sight
            if sight.record.state.final:
                return
            self._check()
            pause_s = max(LEAST_PAUSE_S, SHARE * (time.monotonic() - began_s))
            # What happens during the pause is seen by the next look, so the counter is read before that.
            time.sleep(pause_s)
            seen = self._platform.executions.changed(seen, max(0.0, TICK_S - pause_s))
