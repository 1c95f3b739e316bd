"""What a plan is made of: segments (groups of elements that run as one Dask task) and what already flies.

Data only.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from wfplatform.core.execution import Element, Span
from wfplatform.core.policy import Lane

__all__ = ["BLOCKED", "KNOWN", "Chunk", "Flights", "Limits", "Member", "Planned", "Segment"]

KNOWN: Final = ""
"""In a chunk: its elements are committed."""
BLOCKED: Final = "?"
"""In a chunk: its elements neither are committed nor fly."""


class Member(NamedTuple):
    """Elements of one node in a segment, and which attempt this is for them."""

    span: Span
    attempt: int


class Chunk(NamedTuple):
    """Elements `start` to `stop - 1` of a node below a prefix, and the segment that computes them."""

    start: int
    stop: int
    segment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A group of elements that runs as one unit on one worker.

    Args:
        members: in an order in which they can run.
        needs: segments whose values it reads while they fly.
        known: (node, prefix) of committed values it reads: all elements below the prefix.
        expected_s: how long it should take.
        solo: nothing else may be put beside it.
        announce: say that it starts before it starts: it is suspected of killing its worker.
    """

    id: str
    members: tuple[Member, ...]
    needs: frozenset[str] = frozenset()
    known: tuple[tuple[str, Element], ...] = ()
    lane: Lane = Lane.CPU
    resources: Mapping[str, float] = field(default_factory=dict)
    priority: int = 0
    expected_s: float = 0.0
    solo: bool = False
    announce: bool = False

    @property
    def spans(self) -> tuple[Span, ...]:
        """The elements, without their attempts."""
        return tuple(member.span for member in self.members)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What to submit, and what the engine itself is to begin: (node, element) of delays and child executions."""

    segments: tuple[Segment, ...]
    actions: tuple[tuple[str, Element], ...]

    def renamed(self, new_segment_id: Callable[[], str]) -> Planned:
        """The same plan for another execution that stands where this one stood."""
        names = {segment.id: new_segment_id() for segment in self.segments}
        segments = tuple(
            Segment(
                id=names[segment.id],
                members=segment.members,
                needs=frozenset(names[need] for need in segment.needs) if segment.needs else segment.needs,
                known=segment.known,
                lane=segment.lane,
                resources=segment.resources,
                priority=segment.priority,
                expected_s=segment.expected_s,
                solo=segment.solo,
                announce=segment.announce,
            )
            for segment in self.segments
        )
        return Planned(segments=segments, actions=self.actions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How segments are cut.

    Args:
        slots: nodes that run at the same moment on the cluster.
        longest_s: no segment of elements that could run side by side is expected to take longer.
        longest_chain_s: no segment of several elements is expected to take longer.
        shortest_s: below this, splitting for the sake of parallel work costs more than it brings.
        unknown_s: what a node is taken to cost before one was seen.
        most: elements in one segment; `most_unknown` while their cost is unknown.
        free: name of a concurrency limit -> how many more may start.
    """

    slots: int = 2
    longest_s: float = 0.05
    longest_chain_s: float = 0.5
    shortest_s: float = 0.005
    unknown_s: float = 0.002
    most: int = 2000
    most_unknown: int = 25
    free: Mapping[str, int] = field(default_factory=dict)


class Flights:
    """Which segment computes which element, for the segments that fly. Grows and shrinks with them."""

    def __init__(self) -> None:
        self._segments: dict[str, tuple[Span, ...]] = {}
        self._chunks: dict[tuple[str, Element], list[Chunk]] = {}

    def __len__(self) -> int:
        return len(self._segments)

    def __contains__(self, segment: object) -> bool:
        return segment in self._segments

    def __iter__(self) -> Iterator[str]:
        return iter(self._segments)

    def add(self, segment: str, spans: Iterable[Span]) -> None:
        """A segment takes off."""
        self._segments[segment] = spans = tuple(spans)
        for span in spans:
            chunks = self._chunks.setdefault((span.node, span.prefix), [])
            chunk = Chunk(span.start, span.stop, segment)
            if chunks and chunks[-1].start > chunk.start:
                chunks.insert(bisect_right(chunks, chunk), chunk)
            else:
                chunks.append(chunk)

    def remove(self, segment: str) -> tuple[Span, ...]:
        """A segment landed or was lost; returns its spans (nothing if it was unknown)."""
        spans = self._segments.pop(segment, ())
        for key in {(span.node, span.prefix) for span in spans}:
            left = [chunk for chunk in self._chunks[key] if chunk.segment != segment]
            if left:
                self._chunks[key] = left
            else:
                del self._chunks[key]
        return spans

    def give_back(self, segment: str, spans: Iterable[Span]) -> tuple[Span, ...]:
        """A segment that flies on computes these no more; returns those of them that it was to compute until now."""
        asked: dict[tuple[str, Element], list[Span]] = {}
        for span in spans:
            asked.setdefault((span.node, span.prefix), []).append(span)
        kept: list[Span] = []
        given: list[Span] = []
        for span in self._segments.get(segment, ()):
            at = span.start
            for one in sorted(asked.get((span.node, span.prefix), ())):
                start, stop = max(at, one.start), min(span.stop, one.stop)
                if start < stop:
                    if at < start:
                        kept.append(Span(span.node, span.prefix, at, start))
                    given.append(Span(span.node, span.prefix, start, stop))
                    at = stop
            if at < span.stop:
                kept.append(Span(span.node, span.prefix, at, span.stop))
        if given:
            self.remove(segment)
            self.add(segment, kept)
        return tuple(given)

    def spans(self, segment: str) -> tuple[Span, ...]:
        """What a segment computes."""
        return self._segments.get(segment, ())

    def has(self, node: str, element: Element) -> bool:
        """Whether any segment computes an element."""
        span = Span.of(node, element)
        chunks = self._chunks.get((node, span.prefix), ())
        return any(chunk.start <= span.start < chunk.stop for chunk in chunks)

    def of(self, node: str) -> list[tuple[Span, str]]:
        """What flies of a node, and in which segment."""
        return [
            (Span(node, prefix, chunk.start, chunk.stop), chunk.segment)
            for (name, prefix), chunks in self._chunks.items()
            if name == node
            for chunk in chunks
        ]

    def count(self, node: str) -> int:
        """How many elements of a node fly."""
        return sum(
            chunk.stop - chunk.start for (name, _), chunks in self._chunks.items() if name == node for chunk in chunks
        )

    def chunks(self, node: str, prefix: Element) -> tuple[Chunk, ...]:
        """What flies of a node below a prefix, in order."""
        return tuple(self._chunks.get((node, prefix), ()))
