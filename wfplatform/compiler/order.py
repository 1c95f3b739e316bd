"""From segments to what travels: parts with everything a worker needs to run them, bundled into Dask tasks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log2
from uuid import UUID

from wfplatform.compiler.dask_graph import ClusterTask
from wfplatform.compiler.payload import KnownOutput, Part, SegmentOrder, pack_order
from wfplatform.compiler.segment import Limits, Segment
from wfplatform.core.execution import Element, Execution
from wfplatform.core.graph import Graph, Json
from wfplatform.core.policy import Lane

__all__ = ["Loaded", "bundle", "known_elements", "make_part"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What of an execution goes into each of its parts."""

    execution: UUID
    epoch: int
    version: str
    graph: Graph
    index: Mapping[str, int]
    parameters: Mapping[str, Json]


def known_elements(execution: Execution, segment: Segment) -> list[tuple[str, Element]]:
    """Each committed element that a segment reads, and the branches of the elements that were skipped as a whole."""
    found: dict[tuple[str, Element], None] = {}
    for name, prefix in segment.known:
        runs = execution.nodes[name]
        for element in runs.elements(prefix[: runs.rank]):
            run = runs.run(element)
            if run is not None and run.state.final:  # others below the prefix may fly
                # What is skipped because of a whole branch is skipped as a whole too, which its worker has to know.
                found |= dict.fromkeys(
                    (name, element[:cut]) for cut in range(len(element)) if element[:cut] in runs.runs
                )
                found[name, element] = None
    return list(found)


def make_part(
    loaded: Loaded,
    execution: Execution,
    segment: Segment,
    known: Sequence[KnownOutput],
    turns: Sequence[tuple[int, Element, int, Mapping[str, Json]]] = (),
) -> Part:
    """What a segment does, ready to travel.

    Args:
        loaded: its execution.
        execution: the execution as it stands, for the sizes of what is read as a whole.
        segment: what to run.
        known: the committed outputs it reads.
        turns: loops that go on where they stopped.
    """
    graph, index = loaded.graph, loaded.index
    names = {member.span.node for member in segment.members}
    known = [*known, *_settled(loaded, execution, segment, known)]
    sizes: dict[int, Mapping[Element, int]] = {}
    exports: set[int] = set()
    for name in names:
        rank = graph.by_id[name].rank
        for link in graph.links[name]:
            source_rank = graph.by_id[link.source].rank
            if source_rank > link.shared:
                sizes[index[link.source]] = execution.nodes[link.source].sizes
        for link in graph.dependants[name]:
            if link.target not in names or link.shared < rank:
                exports.add(index[name])
    return Part(
        loaded.execution,
        loaded.epoch,
        loaded.version,
        loaded.parameters,
        segment.id,
        [(index[member.span.node], member.span, member.attempt) for member in segment.members],
        known,
        sizes,
        frozenset(exports),
        turns,
        tuple(_edits(loaded, execution, segment)),
        execution.unwinding,
    )


def _edits(loaded: Loaded, execution: Execution, segment: Segment) -> Iterator[tuple[int, Element, Mapping[str, Json]]]:
    """Inputs that somebody replaced. Nobody does so before a first try has failed."""
    for span, attempt in segment.members:
        if attempt > 1:
            runs = execution.nodes[span.node].runs
            for element in span.elements():
                run = runs.get(element)
                if run is not None and run.edit is not None:
                    yield loaded.index[span.node], element, run.edited


def _settled(loaded: Loaded, execution: Execution, segment: Segment, known: Sequence[KnownOutput]) -> list[KnownOutput]:
    """What members only come after, as far as it is committed: their worker is to know that it has ended, not with what."""
    graph, index = loaded.graph, loaded.index
    named = dict.fromkeys(after for member in segment.members for after in graph.by_id[member.span.node].after)
    if not named:
        return []
    here = {member.span.node for member in segment.members}
    read = {(one.node, one.element) for one in known}
    found: list[KnownOutput] = []
    for name in named:
        runs, number = execution.nodes[name], index[name]
        is_read = any(link.port and link.target in here for link in graph.dependants[name])
        if runs.complete and not is_read:
            found.append(KnownOutput(number, (), None))
            continue
        found += [
            KnownOutput(number, element, None)
            for element in runs.elements()
            if (number, element) not in read and runs.state(element).final
        ]
    return found


def bundle(
    engine: str,
    parts: Iterable[tuple[Segment, Part]],
    keys: dict[str, str],
    limits: Limits,
    budget_s: float,
) -> list[ClusterTask]:
    """Dask tasks for segments, those of small executions many to a task.

    Args:
        engine: who hears of the outcomes.
        parts: segments in an order in which each needs earlier ones or what flies.
        keys: segment -> Dask key of what flies; extended.
        limits: how long a task may be.
        budget_s: after which time a task of several elements gives the rest back.
    """
    listed = list(parts)
    total_s = sum(segment.expected_s for segment, _ in listed)
    target_s = min(max(total_s / (2 * limits.slots), limits.shortest_s), limits.longest_s)
    tasks: list[ClusterTask] = []
    waiting: dict[tuple[object, ...], list[tuple[Segment, Part]]] = {}
    waiting_s: dict[tuple[object, ...], float] = {}

    def close(kind: tuple[object, ...]) -> None:
        group = waiting.pop(kind, [])
        waiting_s.pop(kind, None)
        if group:
            tasks.append(_task(engine, group, keys, budget_s))

    for segment, part in listed:
        if segment.needs or segment.solo or segment.known or segment.expected_s > target_s:
            # What it needs must have its key first.
            for kind in list(waiting):
                close(kind)
            tasks.append(_task(engine, [(segment, part)], keys, budget_s))
            continue
        kind = (segment.lane, segment.priority, *sorted(segment.resources.items()))
        if kind in waiting and (
            waiting_s[kind] + segment.expected_s > target_s or len(waiting[kind]) * len(segment.members) >= limits.most
        ):
            close(kind)
        waiting.setdefault(kind, []).append((segment, part))
        waiting_s[kind] = waiting_s.get(kind, 0.0) + segment.expected_s
    for kind in list(waiting):
        close(kind)
    return tasks


def _duration_class(expected_s: float) -> str:
    """A letter for tasks that take about as long, a factor of two each.

    Dask learns durations by the words a key begins with, and places tasks by them: under one word for all, it would take a
    long task for a short one, and leave it where its inputs are.
    """
    step = max(0, min(25, int(log2(max(expected_s, 1e-4) / 1e-4))))
    return chr(ord("a") + step)


def _task(engine: str, group: Sequence[tuple[Segment, Part]], keys: dict[str, str], budget_s: float) -> ClusterTask:
    first = group[0][0]
    # A worker tells by the key to which lane a task goes.
    lane = "wfp-io" if first.lane is Lane.IO else "wfp"
    key = f"{lane}-{_duration_class(sum(segment.expected_s for segment, _ in group))}-{first.id}"
    needs = tuple(dict.fromkeys(keys[need] for segment, _ in group for need in sorted(segment.needs)))
    single = len(group) == 1 and sum(len(member.span) for member in first.members) == 1
    order = SegmentOrder(
        engine,
        [part for _, part in group],
        first.lane,
        0.0 if single or first.solo else budget_s,
        first.announce,
    )
    for segment, _ in group:
        keys[segment.id] = key
    return ClusterTask(
        key=key,
        order=pack_order(order),
        lane=first.lane,
        needs=needs,
        priority=first.priority,
        resources=first.resources,
    )
