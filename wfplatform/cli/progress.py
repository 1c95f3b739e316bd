"""How far each node of an execution is: elements in each state against how many there are.

Pure. Refuses: reading anything; it is given what was read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from wfplatform.core.execution import ExecutionState, NodeState
from wfplatform.core.graph import (
    Binding,
    Graph,
    Json,
    ListOf,
    Literal,
    Node,
    OutputRef,
    ParameterRef,
    size_key,
)
from wfplatform.core.record import NodeSummary

__all__ = ["NodeProgress", "node_progress", "open_sizes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeProgress:
    """How far one node is.

    Args:
        rank: 0 for a node that is not mapped.
        counts: how many elements are in each state; those that have not begun are not among them while they still may.
        total: how many there are; None while that is not known.
        cut_off: the execution has ended before all of it was done: what had not ended was cancelled with it.
        cpu_s: what they took together; as the other measures None where nothing was measured.
        cpu_mean_s: what one takes.
        peak_memory_bytes: of the largest.
        workers: on how many different ones they ran.
        reused: how many are results of earlier executions.
    """

    node: str
    rank: int
    counts: Mapping[NodeState, int]
    total: int | None
    started_at: datetime | None
    finished_at: datetime | None
    cpu_s: float | None = None
    cpu_mean_s: float | None = None
    peak_memory_bytes: int | None = None
    workers: int | None = None
    reused: int = 0
    cut_off: bool = False

    @property
    def ended(self) -> int:
        """How many elements have ended, however they ended."""
        return sum(count for state, count in self.counts.items() if state.final)

    @property
    def state(self) -> NodeState:
        """One word for all elements: the most urgent one that is true of any."""
        counts = self.counts
        for state in (NodeState.RUNNING, NodeState.FAILED, NodeState.WAITING):
            if counts.get(state):
                return state
        if self.cut_off:
            return NodeState.CANCELLED
        if not self.ended and self.total != 0:
            return NodeState.PENDING
        if self.total is None or self.ended < self.total:
            return NodeState.RUNNING
        for state in (NodeState.CANCELLED, NodeState.COMPLETED, NodeState.SKIPPED):
            if counts.get(state):
                return state
        return NodeState.COMPLETED


def node_progress(
    graph: Graph,
    parameters: Mapping[str, Json],
    state: ExecutionState,
    summary: Iterable[NodeSummary],
    sizes: Mapping[str, Mapping[str, int]],
) -> list[NodeProgress]:
    """Every node of the graph, in its order.

    Args:
        graph: the definition.
        parameters: of the execution.
        state: of the execution; when it has ended, nothing comes any more.
        summary: what is recorded.
        sizes: node -> output -> its length, for the nodes of `open_sizes`.
    """
    recorded = {one.node: one for one in summary}
    totals: dict[str, int | None] = {}
    found = []
    for node in graph.every:
        seen = recorded.get(node.id) or NodeSummary(node=node.id, counts={})
        counts = seen.counts
        if node.unwinds is not None:
            # All that is to be undone is recorded when that begins; before, and if all goes well, there is nothing to tell.
            if counts.keys() - {NodeState.SKIPPED}:
                found.append(_progress(node, seen, counts, sum(counts.values())))
            continue
        total = totals[node.id] = _total(graph, node, parameters, sizes, totals)
        if cut_off := state.final and _is_cut_off(state, counts, total):
            rest = 0 if total is None else total - sum(counts.values())
            counts = {**counts, NodeState.CANCELLED: counts.get(NodeState.CANCELLED, 0) + rest} if rest else counts
        elif state.final:
            # A branch that ended as a whole is one row, however many elements it would have had; so what is
            # recorded tells the number when nothing is left out.
            total = sum(counts.values())
        found.append(_progress(node, seen, counts, total, cut_off=cut_off))
    return found


def _progress(
    node: Node, seen: NodeSummary, counts: Mapping[NodeState, int], total: int | None, *, cut_off: bool = False
) -> NodeProgress:
    return NodeProgress(
        node=node.id,
        rank=node.rank,
        counts=counts,
        total=total,
        cut_off=cut_off,
        started_at=seen.started_at,
        finished_at=seen.finished_at,
        cpu_s=seen.cpu_s,
        cpu_mean_s=seen.cpu_mean_s,
        peak_memory_bytes=seen.peak_memory_bytes,
        workers=seen.workers,
        reused=seen.reused,
    )


def _is_cut_off(state: ExecutionState, counts: Mapping[NodeState, int], total: int | None) -> bool:
    """Whether elements of a node were still to come when its execution ended; they left no record."""
    recorded = sum(counts.values())
    if state is ExecutionState.COMPLETED or recorded == total:
        return False
    if not recorded or NodeState.CANCELLED in counts:
        return True
    # Rows of branches that were skipped, or failed as a whole, stand for any number of elements.
    branches = {NodeState.SKIPPED} if state is ExecutionState.CANCELLED else {NodeState.SKIPPED, NodeState.FAILED}
    return total is not None and not branches & counts.keys()


def open_sizes(graph: Graph) -> frozenset[str]:
    """The nodes that are not mapped and over whose output another one is: their records say how long it is."""
    return frozenset(
        binding.node
        for node in graph.nodes
        for port, levels in node.over.items()
        if isinstance(binding := node.inputs[port], OutputRef) and levels == 1 and not graph.by_id[binding.node].rank
    )


def _total(
    graph: Graph,
    node: Node,
    parameters: Mapping[str, Json],
    sizes: Mapping[str, Mapping[str, int]],
    totals: Mapping[str, int | None],
) -> int | None:
    if not node.rank:
        return 1
    for port, levels in node.over.items():
        if levels != node.rank:
            continue
        binding = node.inputs[port]
        if isinstance(binding, OutputRef):
            rank = graph.by_id[binding.node].rank
            if rank == levels:
                known = totals.get(binding.node)
            else:
                known = sizes.get(binding.node, {}).get(size_key(binding)) if not rank and levels == 1 else None
        else:
            known = _length(binding, parameters, levels)
        if known is not None:
            return known
    return None


def _length(binding: Binding, parameters: Mapping[str, Json], levels: int) -> int | None:
    value: object = None
    match binding:
        case Literal(literal):
            value = literal
        case ParameterRef(name, path):
            value = parameters.get(name)
            for step in path:
                value = _step(value, step.key)
        case ListOf(items) if levels == 1:
            return len(items)
        case _:
            return None
    return _leaves(value, levels)


def _step(value: object, key: str | int) -> object:
    if isinstance(value, dict):
        return value.get(key)
    return value[key] if isinstance(value, list) and isinstance(key, int) and -len(value) <= key < len(value) else None


def _leaves(value: object, levels: int) -> int | None:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return None
    if levels == 1:
        return len(value)
    below = [_leaves(item, levels - 1) for item in value]
    return None if None in below else sum(one or 0 for one in below)
