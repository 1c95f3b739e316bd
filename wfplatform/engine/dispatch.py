"""From plans to the cluster and back: which segment of which execution is in which Dask task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple
from uuid import UUID

from wfplatform.compiler.dask_graph import ClusterTask
from wfplatform.compiler.order import bundle, known_elements, make_part
from wfplatform.compiler.payload import KnownOutput, Part, stage_of
from wfplatform.compiler.plan import plan
from wfplatform.compiler.segment import Limits, Planned, Segment
from wfplatform.compiler.stranded import stranded
from wfplatform.compiler.unwinding import plan_unwinding
from wfplatform.core.execution import Element, Span
from wfplatform.core.graph import NodeKind
from wfplatform.core.ports import EngineStore
from wfplatform.engine.cluster import Executor
from wfplatform.engine.committed import Outputs, committed_outputs
from wfplatform.engine.costs import Costs
from wfplatform.engine.live import Live
from wfplatform.errors import PlatformError

__all__ = ["Dispatch", "LostSegment"]

type LostSegment = tuple[UUID, str]
"""An execution and a segment of it."""


class Dispatch:
    """Hands segments to the cluster and knows what flies.

    Args:
        name: the engine's name; workers address outcomes to it.
        store: where committed outputs are read.
        executor: the cluster.
        costs: what nodes take.
        limits: how plans are cut.
        budget_s: after which time a task of several elements gives the rest back.
    """

    def __init__(
        self,
        name: str,
        *,
        store: EngineStore,
        executor: Executor,
        costs: Costs,
        limits: Limits,
        budget_s: float,
    ) -> None:
        self._name = name
        self._store = store
        self._executor = executor
        self._costs = costs
        self._cut = limits
        self._budget_s = budget_s
        self._segments = 0
        self._tasks: dict[str, set[LostSegment]] = {}
        self._to_release: list[str] = []
        self._first_plans: dict[UUID, Planned] = {}

    # -- out

    def plan(self, live: Live) -> Planned:
        """What of an execution can be handed out now.

        Executions of one version that begin together are planned alike, so one plan is made for all of them; until `submit`,
        because what nodes are expected to cost changes from then on.
        """
        version = live.version.stored.id
        if live.execution.unwinding:
            costs = self._costs.of(version)
            limits = self._limits(live)
            return plan_unwinding(live.graph, live.execution, live.flights, costs, limits, self._new_segment)
        alike = live.untouched and not live.limited
        known = self._first_plans.get(version) if alike else None
        if known is not None:
            return known.renamed(self._new_segment)
        planned = plan(
            live.graph,
            live.execution,
            live.flights,
            self._costs.of(version),
            self._limits(live),
            self._new_segment,
            held=live.held(),
        )
        if alike:
            self._first_plans[version] = planned
        return planned

    def submit(self, planned: Sequence[tuple[Live, Planned]]) -> list[tuple[Live, Exception]]:
        """Hand segments over, small ones of many executions together.

        Returns:
            executions whose segments cannot be made ready to travel, and why not; of these nothing was handed over.

        Raises:
            PlatformError: what they read cannot be fetched; nothing was handed over and nothing counts as flying.
        """
        self._first_plans.clear()
        try:
            made = self._make(planned)
        except PlatformError:
            raise
        except Exception as error:  # noqa: BLE001 - it may concern one of them alone
            if len(planned) == 1:
                return [(planned[0][0], error)]
            return [refused for one in planned for refused in self.submit([one])]
        if made is None:
            return []
        tasks, parts, owners, keys = made
        for live, _ in planned:
            live.at_hand.clear()
        for segment, _ in parts:
            live, key = owners[segment.id], keys[segment.id]
            live.flights.add(segment.id, segment.spans)
            live.keys[segment.id] = key
            self._tasks.setdefault(key, set()).add((live.id, segment.id))
        self._executor.submit(tasks)
        return []

    def _make(self, planned: Sequence[tuple[Live, Planned]]) -> _Made | None:
        """Tasks for what is planned, nothing of which counts as flying yet; None if there is nothing to run."""
        listed = self._read(planned)
        parts: list[tuple[Segment, Part]] = []
        owners: dict[str, Live] = {}
        keys: dict[str, str] = {}
        for live, one, read in listed:
            for segment, part in _parts(live, one, read):
                parts.append((segment, part))
                owners[segment.id] = live
                keys |= {need: live.keys[need] for need in segment.needs if need in live.keys}
        if not parts:
            return None
        return _Made(bundle(self._name, parts, keys, self._limits(None), self._budget_s), parts, owners, keys)

    # -- back

    def land(self, live: Live, segment: str) -> tuple[Span, ...]:
        """A segment flies no more; returns what it was to compute. Its task is released when none of its segments flies."""
        spans = live.flights.remove(segment)
        key = live.keys.pop(segment, None)
        left = self._tasks.get(key) if key is not None else None
        if key is not None and left is not None:
            left.discard((live.id, segment))
            if not left:
                del self._tasks[key]
                self._to_release.append(key)
        return spans

    def give_back(self, live: Live, segment: str, spans: Sequence[Span]) -> tuple[Span, ...]:
        """A segment that flies on will not compute these; returns those that it was to compute until now.

        Nothing for what has landed, and for what was given back before: then they may be on their way elsewhere.
        What waits for them in other segments flies no more either.
        """
        given = live.flights.give_back(segment, spans)
        if given:
            for other, waiting in stranded(live.graph, live.flights, segment, given).items():
                live.flights.give_back(other, waiting)
        return given

    def lost(self, key: str) -> set[LostSegment]:
        """A task is gone; returns the segments that were in it."""
        return self._tasks.pop(key, set())

    def cancel(self, lives: Sequence[Live]) -> None:
        """Whatever flies for these executions is to stop."""
        if not lives:
            return
        keys = []
        for live in lives:
            for segment in list(live.flights):
                key = live.keys.get(segment)
                self.land(live, segment)
                if key is not None and key not in self._tasks:
                    keys.append(key)
        self._to_release = [key for key in self._to_release if key not in set(keys)]
        self._executor.cancel([(live.id, stage_of(live.claim.epoch, unwinds=True)) for live in lives], keys)

    def stop(self, live: Live, *, wait: bool = True) -> None:
        """What runs for an execution is to stop, and flies on until it is known how it ended, if that is worth knowing.

        What has not begun as far as is known flies no more; but of what is to be undone it has to be certain.

        Args:
            live: which.
            wait: whether that is waited for; else nothing flies any more.
        """
        undone = {node.unwinds.node for node in live.graph.unwinding if node.unwinds is not None}
        keys = []
        for segment in list(live.flights):
            begun = segment in live.begun or any(span.node in undone for span in live.flights.spans(segment))
            if wait and begun:
                continue
            key = live.keys.get(segment)
            self.land(live, segment)
            if key is not None and key not in self._tasks:
                keys.append(key)
        self._to_release = [key for key in self._to_release if key not in set(keys)]
        self._executor.cancel([(live.id, stage_of(live.claim.epoch, unwinds=False))], keys)

    def release(self) -> None:
        """Let go of tasks whose outcomes are committed: else a lost worker would make Dask compute them again."""
        if self._to_release:
            released, self._to_release = self._to_release, []
            self._executor.release(released)

    # -- pieces

    def _limits(self, live: Live | None) -> Limits:
        slots = self._executor.slots()
        cut = self._cut
        if slots == cut.slots and live is None:
            return cut
        return Limits(
            slots=slots,
            longest_s=cut.longest_s,
            longest_chain_s=cut.longest_chain_s,
            shortest_s=cut.shortest_s,
            unknown_s=cut.unknown_s,
            most=cut.most,
            most_unknown=cut.most_unknown,
            free=live.free_limits(slots) if live is not None else {},
        )

    def _new_segment(self) -> str:
        self._segments += 1
        return f"{self._name[-12:]}-{self._segments}"

    def _read(self, planned: Sequence[tuple[Live, Planned]]) -> list[tuple[Live, Planned, _Read]]:
        """The committed outputs that the segments of plans need."""
        listed = []
        wanted: dict[UUID, dict[tuple[str, Element], None]] = {}
        for live, one in planned:
            known = {segment.id: known_elements(live.execution, segment) for segment in one.segments}
            loops = _unfinished_loops(live, one)
            wanted[live.id] = dict.fromkeys(key for keys in known.values() for key in keys)
            wanted[live.id] |= dict.fromkeys((node, (*element, turns - 1)) for (node, element), turns in loops.items())
            for place in live.at_hand.keys() & wanted[live.id].keys():
                if _is_whole(live.at_hand[place]):
                    del wanted[live.id][place]
            listed.append((live, one, known, loops))
        outputs = committed_outputs(self._store, wanted)
        return [
            (live, one, _Read(known, loops, {**outputs.get(live.id, {}), **_at_hand(live)}))
            for live, one, known, loops in listed
        ]


class _Made(NamedTuple):
    """Tasks, the segments in them, whose each segment is, and in which task it is."""

    tasks: Sequence[ClusterTask]
    parts: Sequence[tuple[Segment, Part]]
    owners: Mapping[str, Live]
    keys: Mapping[str, str]


class _Read(NamedTuple):
    """What a plan reads: for each segment its committed elements, the turns of loops that go on, and all their outputs."""

    known: Mapping[str, Sequence[tuple[str, Element]]]
    loops: Mapping[tuple[str, Element], int]
    outputs: Outputs


def _at_hand(live: Live) -> Outputs:
    """What need not be read, because this engine has just recorded it itself."""
    return {place: outputs for place, outputs in live.at_hand.items() if _is_whole(outputs)}


def _is_whole(outputs: Mapping[str, Any]) -> bool:
    """Whether outputs say where their values are; those of trees may come without."""
    return all(output.keys() & {"value", "body", "location"} for output in outputs.values())


def _parts(live: Live, planned: Planned, read: _Read) -> Iterator[tuple[Segment, Part]]:
    index = live.version.index
    urgency = live.claim.priority
    for one in planned.segments:
        segment = replace(one, priority=one.priority + urgency) if urgency else one
        known = [
            KnownOutput(index[node], element, read.outputs.get((node, element)))
            for node, element in read.known[segment.id]
        ]
        names = {member.span.node for member in segment.members} if read.loops else set()
        turns = [
            (index[node], element, count, dict(read.outputs.get((node, (*element, count - 1))) or {}))
            for (node, element), count in read.loops.items()
            if node in names
        ]
        yield segment, make_part(live.loaded, live.execution, segment, known, turns)


def _unfinished_loops(live: Live, planned: Planned) -> Mapping[tuple[str, Element], int]:
    """Loops that go on where they stopped: (node, element) -> turns that are done."""
    found: dict[tuple[str, Element], int] = {}
    for segment in planned.segments:
        for member in segment.members:
            if live.graph.by_id[member.span.node].type != NodeKind.LOOP:
                continue
            for element in member.span.elements():
                run = live.execution.nodes[member.span.node].run(element)
                turns = (run.sizes or {}).get("turns", 0) if run else 0
                if turns:
                    found[member.span.node, element] = turns
    return found
