"""What is to run now: `plan(graph, execution, flights, costs, ...) -> Planned`, a pure function.

Whatever is committed is left out, whatever flies is referred to, whatever cannot start yet is left for a later call.
Elements that belong together (chains, small siblings) share a segment, so that the cluster is spoken to once for many.
Refuses to look at values.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import pairwise
from math import ceil
from types import MappingProxyType
from typing import Final

from wfplatform.compiler.growth import Opened, Piece
from wfplatform.compiler.segment import BLOCKED, KNOWN, Chunk, Flights, Limits, Member, Planned, Segment
from wfplatform.compiler.supply import Supply
from wfplatform.core.execution import Element, Execution, NodeRuns, NodeState, Span
from wfplatform.core.graph import Graph, Link, Node, NodeKind
from wfplatform.core.policy import Lane

__all__ = ["plan"]

_WIDE: Final = 4
"""With so many elements for each slot, one that takes longer than the others does not leave the rest of the cluster idle."""
_MOST_NEEDS: Final = 8
"""What waits for more segments than these does not join one of them."""


def plan(
    graph: Graph,
    execution: Execution,
    flights: Flights,
    costs: Mapping[str, float],
    limits: Limits,
    new_segment_id: Callable[[], str],
    targets: frozenset[str] | None = None,
    held: Mapping[str, Collection[Element]] = MappingProxyType({}),
) -> Planned:
    """What can be handed out now.

    Args:
        graph: the definition.
        execution: what is committed of it.
        flights: what the cluster computes at this moment; not changed.
        costs: node id -> expected seconds of one element; absent = unknown.
        limits: how to cut.
        new_segment_id: gives a name never used before.
        targets: nodes that are wanted; None = all. What they do not need is left out.
        held: node id -> elements that may not begin now.

    Returns:
        Segments in an order in which each needs only earlier ones or what flies, and what the engine begins itself.
    """
    return _Planner(graph, execution, flights, costs, limits, new_segment_id, targets, held).plan()


class _Planner:
    def __init__(
        self,
        graph: Graph,
        execution: Execution,
        flights: Flights,
        costs: Mapping[str, float],
        limits: Limits,
        new_segment_id: Callable[[], str],
        targets: frozenset[str] | None,
        held: Mapping[str, Collection[Element]],
    ) -> None:
        self.graph = graph
        self.execution = execution
        self.flights = flights
        self.costs = costs
        self.limits = limits
        self.new_segment_id = new_segment_id
        self.wanted = None if targets is None else _with_ancestors(graph, targets)
        self.segments: dict[str, Opened] = {}
        self.supply = Supply(graph, execution, flights)
        self.actions: list[tuple[str, Element]] = []
        self.roots: dict[tuple[object, ...], Opened] = {}
        self.free = dict(limits.free)
        self.held = held
        self.grown = False

    def plan(self) -> Planned:
        candidates: list[tuple[Node, list[tuple[Span, int, bool]]]] = []
        total_s = 0.0
        for node in self.graph.nodes:
            runs = self.execution.nodes[node.id]
            if runs.complete or (self.wanted is not None and node.id not in self.wanted):
                continue
            spans = list(self.open_spans(node, runs))
            if spans:
                candidates.append((node, spans))
                each_s = self.costs.get(node.id, self.limits.unknown_s)
                total_s += each_s * sum(len(span) for span, _, _ in spans)
        limits = self.limits
        self.share_s = total_s / (2 * limits.slots)
        self.target_s = min(max(self.share_s, limits.shortest_s), limits.longest_s)
        for node, spans in candidates:
            if node.type in NodeKind.ENGINE_SIDE:
                self.act(node, spans)
            else:
                for span, attempt, alone in spans:
                    self.place(node, span, attempt, alone)
        # One that grew may by now need a segment that was opened after it; that one begins earlier.
        ordered = sorted(self.segments.values(), key=lambda one: one.start_s) if self.grown else self.segments.values()
        return Planned(
            segments=tuple(
                Segment(
                    id=opened.id,
                    members=tuple(opened.members),
                    needs=frozenset(opened.needs),
                    known=tuple(opened.known),
                    lane=opened.lane,
                    resources=self.graph.by_id[opened.members[0].span.node].policy.resources,
                    priority=self.graph.by_id[opened.members[0].span.node].policy.priority,
                    expected_s=opened.expected_s,
                    solo=opened.solo,
                    announce=opened.announce,
                )
                for opened in ordered
            ),
            actions=tuple(self.actions),
        )

    # -- what is open

    def open_spans(self, node: Node, runs: NodeRuns) -> Iterator[tuple[Span, int, bool]]:
        """Elements that are pending and do not fly, as (span, attempt, alone)."""
        held = self.held.get(node.id, ())
        if runs.rank == 0:
            run = runs.runs.get(())
            if held:
                return
            if (run is None or run.state is NodeState.PENDING) and not self.flights.chunks(node.id, ()):
                yield Span.whole(node.id), (run.attempt if run else 0) + 1, bool(run and run.alone)
            return
        for prefix in _prefixes(runs, runs.rank - 1):
            yield from self._open_below(node, runs, prefix, held)

    def _open_below(
        self, node: Node, runs: NodeRuns, prefix: Element, held: Collection[Element]
    ) -> Iterator[tuple[Span, int, bool]]:
        size = max(runs.sizes.get(prefix, 0), 0)
        flying = self.flights.chunks(node.id, prefix)
        if not runs.runs and not flying and not held:
            if size:
                yield Span(node.id, prefix, 0, size), 1, False
            return
        aloft = bytearray(size)
        for chunk in flying:
            aloft[chunk.start : chunk.stop] = b"\1" * (chunk.stop - chunk.start)
        start, current = 0, None
        for index in range(size + 1):
            kind = None
            if index < size and not aloft[index] and (*prefix, index) not in held:
                run = runs.run((*prefix, index))
                if run is None:
                    kind = (1, False)
                elif run.state is NodeState.PENDING:
                    kind = (run.attempt + 1, run.alone)
            if kind != current:
                if current is not None:
                    yield Span(node.id, prefix, start, index), *current
                start, current = index, kind

    # -- where inputs come from

    def pieces(self, node: Node, span: Span) -> Iterator[Piece]:
        """Cut a span where its inputs come from different segments; what is blocked is left out."""
        shared_needs: set[str] = set()
        shared_known: dict[tuple[str, Element], None] = {}
        along: list[Link] = []
        for link in self.graph.links[node.id]:
            if link.shared == node.rank and node.rank > 0:
                along.append(link)
                continue
            prefix = span.prefix[: link.shared]
            if not self._gather(self.supply.below(link.source, prefix), link, prefix, shared_needs, shared_known):
                return
        solo = node.policy.effect or node.policy.cache is not None or node.policy.is_gated
        if solo and shared_needs:
            return
        linear = self._linear(node)
        if not along:
            needs = frozenset(shared_needs)
            # One that is not mapped follows what is not mapped either; elements of a map part from what they share.
            aligned = needs if node.rank == 0 else frozenset()
            yield Piece(span.start, span.stop, needs, tuple(shared_known), aligned, linear, wide=False)
            return
        wide = len(span) >= _WIDE * self.limits.slots
        for start, stop in self._cuts(along, span):
            follows: set[str] = set()
            known = dict(shared_known)
            ready = True
            for link in along:
                if self.execution.nodes[link.source].rank > node.rank:
                    for index in range(start, stop):
                        prefix = (*span.prefix, index)
                        ready = ready and self._gather(
                            self.supply.below(link.source, prefix), link, prefix, follows, known
                        )
                    continue
                inside = [c for c in self.supply.chunks(link.source, span.prefix) if c.start < stop and c.stop > start]
                covered = bool(inside) and inside[0].start <= start and inside[-1].stop >= stop
                ready = ready and covered
                for chunk in inside:
                    if chunk.segment == BLOCKED:
                        ready = False
                    elif chunk.segment != KNOWN:
                        follows.add(chunk.segment)
                    elif link.port or link.guards:
                        known |= dict.fromkeys((link.source, (*span.prefix, i)) for i in range(start, stop))
            needs = frozenset(shared_needs | follows)
            if ready and not (solo and needs):
                yield Piece(start, stop, needs, tuple(known), frozenset(follows), linear, wide)

    def _cuts(self, along: list[Link], span: Span) -> Iterator[tuple[int, int]]:
        marks = {span.start, span.stop}
        for link in along:
            if self.execution.nodes[link.source].rank > len(span.prefix) + 1:
                marks.update(range(span.start, span.stop))
                continue
            for chunk in self.supply.chunks(link.source, span.prefix):
                marks.update(mark for mark in (chunk.start, chunk.stop) if span.start < mark < span.stop)
        ordered = sorted(marks)
        return pairwise(ordered)

    def _gather(
        self,
        chunks: list[Chunk],
        link: Link,
        prefix: Element,
        needs: set[str],
        known: dict[tuple[str, Element], None],
    ) -> bool:
        for chunk in chunks:
            # What is mapped over must be known even where others tell the size already: it may say another one.
            if chunk.segment == BLOCKED or (link.expands and chunk.segment != KNOWN):
                return False
            if chunk.segment != KNOWN:
                needs.add(chunk.segment)
            elif link.port or link.guards:
                known[(link.source, prefix)] = None
        return True

    def _linear(self, node: Node) -> bool:
        """Whether nobody else waits for what this node waits for, so that joining it to its source costs no parallel work."""
        return all(len(self.graph.dependants[link.source]) == 1 for link in self.graph.links[node.id])

    # -- cutting and joining

    def place(self, node: Node, span: Span, attempt: int, alone: bool) -> None:
        cost_s = self.costs.get(node.id)
        each_s = self.limits.unknown_s if cost_s is None else cost_s
        policy = node.policy
        solo = alone or policy.effect or policy.cache is not None or policy.limit is not None or policy.is_gated
        solo = solo or node.type == NodeKind.LOOP or (policy.lane is Lane.IO and (cost_s is None or cost_s > 0.001))
        key = (policy.lane, policy.priority, *sorted(policy.resources.items()))
        for piece in self.pieces(node, span):
            start = piece.start
            host = None if solo else self._host(piece, key, each_s, cost_s is None)
            if host is not None:
                self._join(host, node, Span(node.id, span.prefix, start, piece.stop), attempt, each_s, piece)
                continue
            step = 1 if solo else self._chunk_length(node, piece.stop - piece.start, each_s, cost_s is None)
            while start < piece.stop:
                groups = policy.groups
                for group in groups:
                    self.free.setdefault(
                        group, policy.limit.most if policy.limit and policy.limit.is_own else span.stop
                    )
                if any(self.free[group] <= 0 for group in groups):
                    return
                self.free |= {group: self.free[group] - 1 for group in groups}
                stop = min(start + step, piece.stop)
                part = Span(node.id, span.prefix, start, stop)
                root = None if solo or piece.needs else self._root(key, len(part), each_s, cost_s is None)
                opened = root or self._open(policy.lane, key, solo, piece.needs)
                opened.announce = opened.announce or alone
                if root is None and not solo and not piece.needs:
                    self.roots[key] = opened
                self._join(opened, node, part, attempt, each_s, piece)
                start = stop

    def _chunk_length(self, node: Node, count: int, each_s: float, unknown: bool) -> int:
        limits = self.limits
        each_s = max(each_s, 1e-7)
        wide = ceil(count / (_WIDE * limits.slots))
        if unknown:
            return max(1, min(limits.most_unknown, wide))
        length = min(limits.most, int(self.target_s / each_s))
        if self._is_followed(node):
            # What follows joins these: leave it room, and leave enough segments for all slots.
            length = min(length, max(wide, int(limits.shortest_s / each_s)))
        return max(1, length)

    def _is_followed(self, node: Node) -> bool:
        """Whether another mapped node takes the elements of this one, one by one."""
        rank, nodes = node.rank, self.execution.nodes
        return any(link.shared == rank == nodes[link.target].rank for link in self.graph.dependants[node.id])

    def _fits(self, opened: Opened, count: int, each_s: float, budget_s: float, unknown: bool) -> bool:
        limits = self.limits
        if opened.solo or opened.elements + count > limits.most:
            return False
        if (unknown or opened.unknown) and opened.elements + count > max(limits.most_unknown, 2 * count):
            return False
        return opened.expected_s + count * each_s <= budget_s

    def _host(self, piece: Piece, key: tuple[object, ...], each_s: float, unknown: bool) -> Opened | None:
        """The segment of this plan that the piece waits for last, if the piece may join it."""
        if not piece.needs or len(piece.needs) > _MOST_NEEDS:
            return None
        opened = max(
            (self.segments[need] for need in piece.needs if need in self.segments),
            key=lambda one: one.finish_s,
            default=None,
        )
        if opened is None or opened.key != key:
            return None
        for need in piece.needs - opened.needs - {opened.id}:
            other = self.segments.get(need)
            # What the segment is to wait for as well must be there when it begins. That also rules out what waits for it.
            if other is None or other.finish_s > opened.start_s:
                return None
        budget_s = self._budget_s(opened, piece)
        fits = self._fits(opened, piece.stop - piece.start, each_s, budget_s, unknown)
        return opened if fits else None

    def _budget_s(self, opened: Opened, piece: Piece) -> float:
        """How long a segment may be with this piece in it. Where joining costs no parallel work, it saves moving values."""
        limits = self.limits
        if opened.id in piece.aligned:
            if piece.linear:
                return limits.longest_chain_s
            if piece.wide:
                return max(min(self.share_s, limits.longest_chain_s), self.target_s)
        return limits.longest_s if piece.linear else self.target_s

    def _root(self, key: tuple[object, ...], count: int, each_s: float, unknown: bool) -> Opened | None:
        opened = self.roots.get(key)
        if opened is None or not self._fits(opened, count, each_s, self.target_s, unknown):
            return None
        return opened

    def _open(self, lane: Lane, key: tuple[object, ...], solo: bool, needs: frozenset[str]) -> Opened:
        start_s = max((self.segments[need].finish_s for need in needs if need in self.segments), default=0.0)
        opened = Opened(self.new_segment_id(), lane, key, start_s, solo=solo)
        self.segments[opened.id] = opened
        return opened

    def _join(self, opened: Opened, node: Node, part: Span, attempt: int, each_s: float, piece: Piece) -> None:
        more = piece.needs - opened.needs - {opened.id}
        if more:
            self.grown = self.grown or bool(opened.members)
            opened.needs |= more
        opened.members.append(Member(part, attempt))
        opened.known |= dict.fromkeys(piece.known)
        opened.expected_s += each_s * len(part)
        opened.elements += len(part)
        opened.unknown = opened.unknown or node.id not in self.costs
        self.supply.place(part, opened.id)

    def act(self, node: Node, spans: list[tuple[Span, int, bool]]) -> None:
        """Elements the engine handles itself begin when all they need is committed."""
        for span, _, _ in spans:
            for piece in self.pieces(node, span):
                if not piece.needs:
                    part = Span(node.id, span.prefix, piece.start, piece.stop)
                    self.actions.extend((node.id, element) for element in part.elements())


def _prefixes(runs: NodeRuns, length: int, prefix: Element = ()) -> Iterator[Element]:
    """Known prefixes of a length, without branches that ended as a whole."""
    if prefix in runs.runs and len(prefix) < runs.rank:
        return
    if len(prefix) == length:
        yield prefix
        return
    for index in range(runs.sizes.get(prefix, 0)):
        yield from _prefixes(runs, length, (*prefix, index))


def _with_ancestors(graph: Graph, targets: frozenset[str]) -> frozenset[str]:
    found: set[str] = set()
    todo = list(targets)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo.extend(link.source for link in graph.links[name])
    return frozenset(found)
