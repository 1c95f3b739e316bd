"""Where the elements of nodes are while a plan is made: committed, in the air, in a segment of this plan, or nowhere yet."""

from __future__ import annotations

from wfplatform.compiler.segment import BLOCKED, KNOWN, Chunk, Flights
from wfplatform.core.execution import Element, Execution, NodeState, Run, Span
from wfplatform.core.graph import Graph, NodeKind

__all__ = ["Supply"]


class Supply:
    """What the nodes of one execution can be given as inputs.

    Args:
        graph: the definition.
        execution: what is committed of it.
        flights: what the cluster computes at this moment.
    """

    def __init__(self, graph: Graph, execution: Execution, flights: Flights) -> None:
        self._graph = graph
        self._execution = execution
        self._flights = flights
        self._placed: dict[tuple[str, Element], list[Chunk]] = {}
        self._chunks: dict[tuple[str, Element], list[Chunk]] = {}

    def place(self, span: Span, segment: str) -> None:
        """Elements were put into a segment of this plan."""
        key = (span.node, span.prefix)
        self._placed.setdefault(key, []).append(Chunk(span.start, span.stop, segment))
        self._chunks.pop(key, None)

    def chunks(self, node: str, prefix: Element) -> list[Chunk]:
        """Where the elements of a node below a prefix of length rank - 1 are: committed, flying, planned here, or blocked."""
        key = (node, prefix)
        found = self._chunks.get(key)
        if found is None:
            found = self._chunks[key] = self._find_chunks(node, prefix)
        return found

    def _find_chunks(self, node: str, prefix: Element) -> list[Chunk]:
        runs = self._execution.nodes[node]
        rank = runs.rank
        aloft = [*self._flights.chunks(node, prefix), *self._placed.get((node, prefix), ())]
        found = self._graph.by_id[node]
        if found.policy.effect or found.type in (NodeKind.LOOP, *NodeKind.ENGINE_SIDE):
            aloft = []  # they may end without their result; who depends on them is planned when it is there
        if rank == 0:
            run = runs.runs.get(())
            if run is not None and run.state.final:
                return [Chunk(-1, 0, _standing(run))]
            return [Chunk(-1, 0, aloft[0].segment if aloft else BLOCKED)]
        whole = runs.run(prefix)
        if whole is not None:  # ended as a whole
            return [Chunk(0, 1 << 62, _standing(whole))]
        size = runs.sizes.get(prefix)
        if size is None or size < 0 or (size == 0 and not self._is_settled(node, prefix)):
            return [Chunk(0, 1 << 62, BLOCKED)]
        aloft.sort()
        if not runs.runs:
            return _fill(aloft, size)
        where: list[str] = [BLOCKED] * size
        for chunk in aloft:
            where[chunk.start : chunk.stop] = [chunk.segment] * (chunk.stop - chunk.start)
        for index in range(size):
            run = runs.runs.get((*prefix, index))
            if run is not None and run.state.final:
                where[index] = _standing(run)
        return _compress(where)

    def below(self, node: str, prefix: Element) -> list[Chunk]:
        """All chunks of a node below a prefix of any length."""
        runs = self._execution.nodes[node]
        if len(prefix) >= runs.rank:
            inner = prefix[: runs.rank]
            if runs.rank == 0:
                return self.chunks(node, ())
            index = inner[-1]
            return [c for c in self.chunks(node, inner[:-1]) if c.start <= index < c.stop] or [
                Chunk(index, index + 1, BLOCKED)
            ]
        if len(prefix) == runs.rank - 1:
            return self.chunks(node, prefix)
        whole = runs.run(prefix)
        if whole is not None:
            return [Chunk(0, 1 << 62, _standing(whole))]
        size = runs.sizes.get(prefix)
        if size is None or size < 0 or (size == 0 and not self._is_settled(node, prefix)):
            return [Chunk(0, 1 << 62, BLOCKED)]
        return [chunk for index in range(size) for chunk in self.below(node, (*prefix, index))]

    def _is_settled(self, node: str, prefix: Element) -> bool:
        """Whether all is committed that could still skip a branch without elements."""
        for link in self._graph.links[node]:
            if link.shared > len(prefix):
                along = self._execution.nodes[link.source]
                ended = along.run(prefix) is not None
                if not ended and (along.sizes.get(prefix) != 0 or not self._is_settled(link.source, prefix)):
                    return False
            elif any(chunk.segment != KNOWN for chunk in self.below(link.source, prefix[: link.shared])):
                return False
        return True


def _standing(run: Run) -> str:
    """What failed is given to nobody: who depends on it never runs, though it may be some time before that is said."""
    return KNOWN if run.state is NodeState.COMPLETED or run.state is NodeState.SKIPPED else BLOCKED


def _fill(aloft: list[Chunk], size: int) -> list[Chunk]:
    """The chunks, with the gaps between them marked as blocked."""
    filled: list[Chunk] = []
    at = 0
    for chunk in aloft:
        if chunk.start > at:
            filled.append(Chunk(at, chunk.start, BLOCKED))
        filled.append(chunk)
        at = chunk.stop
    if at < size:
        filled.append(Chunk(at, size, BLOCKED))
    return filled


def _compress(where: list[str]) -> list[Chunk]:
    chunks: list[Chunk] = []
    start = 0
    for index in range(1, len(where) + 1):
        if index == len(where) or where[index] != where[start]:
            chunks.append(Chunk(start, index, where[start]))
            start = index
    return chunks
