"""The bytes that travel between an engine and its workers: segments out, outcomes back.

MessagePack of plain lists, so that neither side opens a pickle of the other, and a scheduler in between sees bytes only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgpack

from wfplatform.core.execution import Element, Outcome, OutcomeKind, Span
from wfplatform.core.graph import Graph, Json

__all__ = [
    "Delivery",
    "KnownOutput",
    "Part",
    "SegmentOrder",
    "StreamMessage",
    "pack_delivery",
    "pack_order",
    "pack_version",
    "read_outcomes",
    "read_returned",
    "stage_of",
    "unpack_delivery",
    "unpack_order",
    "unpack_version",
]


_INTEGERS: Final = 1 << 63
_DEPTH: Final = 50


class KnownOutput(NamedTuple):
    """A committed output that a segment reads: None = the element was skipped."""

    node: int
    element: Element
    outputs: Mapping[str, Any] | None


class Part(NamedTuple):
    """What a segment does for one execution.

    Args:
        version: digest of the workflow version; its program lies in the artifact storage under this name.
        members: (index of the node in the graph, span, attempt), in the order to run them.
        sizes: index of a node -> known prefix -> number of elements, for mapped nodes that are read as a whole.
        exports: indices of nodes whose values other segments read.
        turns: index of a loop node, element -> turns already done and the output of the last one.
        edits: index of a node, element -> inputs that somebody replaced: port -> plain JSON.
        unwinds: it takes back what the execution did.
    """

    execution: UUID
    epoch: int
    version: str
    parameters: Mapping[str, Json]
    segment: str
    members: Sequence[tuple[int, Span, int]]
    known: Sequence[KnownOutput] = ()
    sizes: Mapping[int, Mapping[Element, int]] = {}
    exports: frozenset[int] = frozenset()
    turns: Sequence[tuple[int, Element, int, Mapping[str, Any]]] = ()
    edits: Sequence[tuple[int, Element, Mapping[str, Json]]] = ()
    unwinds: bool = False

    @property
    def stage(self) -> int:
        """When it was wanted, in the order in which whole executions are given up; see `stage_of`."""
        return stage_of(self.epoch, unwinds=self.unwinds)


def stage_of(epoch: int, *, unwinds: bool) -> int:
    """A number that grows from the work of an epoch to what takes that back, and from one epoch to the next.

    Workers are told up to which one nobody wants what they run: work that is given up, but not what undoes it.
    """
    return 2 * epoch + unwinds


class SegmentOrder(NamedTuple):
    """One Dask task: the parts it runs one after the other.

    Args:
        engine: who is to hear of the outcomes.
        budget_s: after this time the rest is given back to be planned again; 0 = never.
        announce: say that the node starts before it starts, because it may not live to say so later.
    """

    engine: str
    parts: Sequence[Part]
    lane: str = "cpu"
    budget_s: float = 0.0
    announce: bool = False


def pack_version(document: Mapping[str, Any], code: bytes) -> bytes:
    """A definition and its code as the one blob that workers read from the artifact storage."""
    return _pack({"document": json.dumps(document), "code": code})


def unpack_version(packed: bytes) -> tuple[str, bytes]:
    """The definition as JSON text, and the code."""
    content = _unpack(packed)
    return content["document"], content["code"]


def pack_order(order: SegmentOrder) -> bytes:
    """A segment as bytes."""
    try:
        return _packed(order, lambda parameters: parameters)
    except OverflowError:  # MessagePack has no integers of more than 64 bits, JSON text has
        return _packed(order, json.dumps)


def _packed(order: SegmentOrder, write: Callable[[Mapping[str, Json]], object]) -> bytes:
    parts: list[list[object]] = [
        [
            part.execution.bytes,
            part.epoch,
            part.version,
            write(part.parameters),
            part.segment,
            [[index, span.prefix, span.start, span.stop, attempt] for index, span, attempt in part.members],
            [list(known) for known in part.known],
            [[index, list(sizes.items())] for index, sizes in part.sizes.items()],
            sorted(part.exports),
            [list(turn) for turn in part.turns],
            [[index, element, write(inputs)] for index, element, inputs in part.edits],
            part.unwinds,
        ]
        for part in order.parts
    ]
    return _pack([order.engine, parts, order.lane, order.budget_s, order.announce])


def unpack_order(packed: bytes) -> SegmentOrder:
    """A segment from bytes. Its spans carry no node names: the index beside each says which node it is."""
    engine, parts, lane, budget_s, announce = _unpack(packed)
    return SegmentOrder(
        engine,
        tuple(
            Part(
                UUID(bytes=execution),
                epoch,
                version,
                _written(parameters),
                segment,
                [
                    (index, Span("", tuple(prefix), start, stop), attempt)
                    for index, prefix, start, stop, attempt in members
                ],
                [KnownOutput(index, tuple(element), outputs) for index, element, outputs in knowns],
                {index: {tuple(prefix): size for prefix, size in items} for index, items in sizes},
                frozenset(exports),
                [(index, tuple(element), count, outputs) for index, element, count, outputs in turns],
                tuple((index, tuple(element), _written(inputs)) for index, element, inputs in edits),
                unwinds,
            )
            for execution, epoch, version, parameters, segment, members, knowns, sizes, exports, turns, edits, unwinds in parts
        ),
        lane,
        budget_s,
        announce,
    )


def _written(values: Any) -> Mapping[str, Json]:
    found: Mapping[str, Json] = values if isinstance(values, dict) else json.loads(values)
    return found


class Delivery(NamedTuple):
    """Outcomes of one part of one segment; `closed` when it will say no more.

    `returned` are spans it will not run although it goes on: index of the node, prefix, start, stop.
    """

    execution: UUID
    epoch: int
    segment: str
    outcomes: Sequence[Sequence[Any]]
    """Each the fields of `Outcome`, with the kind as its first letter and the node as its index in the graph."""
    closed: bool
    returned: Sequence[Sequence[Any]] = ()


class StreamMessage(NamedTuple):
    """A numbered message of one worker's stream."""

    stream: str
    number: int
    worker: str
    deliveries: Sequence[Delivery]


_LETTER = {
    OutcomeKind.STARTED: "s",
    OutcomeKind.COMPLETED: "c",
    OutcomeKind.FAILED: "f",
    OutcomeKind.ITERATED: "i",
    OutcomeKind.UNREADABLE: "u",
}
_KIND = {letter: kind for kind, letter in _LETTER.items()}


def pack_delivery(stream: str, number: int, worker: str, deliveries: Iterable[Delivery]) -> bytes:
    """A message as bytes."""
    content = [
        stream,
        number,
        worker,
        [[d.execution.bytes, d.epoch, d.segment, d.outcomes, d.closed, d.returned] for d in deliveries],
    ]
    try:
        return _pack(content)
    except (OverflowError, TypeError, ValueError, RecursionError):
        # Values were looked at before; what a message of a user's error or log carries was not.
        return _pack(_sayable(content))


def unpack_delivery(packed: bytes) -> StreamMessage:
    """A message from bytes; its outcomes are still raw, see `read_outcome`."""
    stream, number, worker, deliveries = _unpack(packed)
    return StreamMessage(
        stream,
        number,
        worker,
        tuple(Delivery(UUID(bytes=execution), *rest) for execution, *rest in deliveries),
    )


def read_outcomes(graph: Graph, delivery: Delivery, worker: str) -> tuple[Outcome, ...]:
    """The outcomes of a delivery, with names for indices."""
    nodes = graph.every
    segment = delivery.segment
    return tuple(
        Outcome(nodes[index].id, tuple(element), attempt, _KIND[letter], worker, segment, *rest)
        for index, element, attempt, letter, *rest in delivery.outcomes
    )


def read_returned(graph: Graph, delivery: Delivery) -> tuple[Span, ...]:
    """What a delivery gives back, with names for indices."""
    nodes = graph.every
    return tuple(Span(nodes[index].id, tuple(prefix), start, stop) for index, prefix, start, stop in delivery.returned)


def _pack(content: Any) -> bytes:
    # Names of files and what is printed may hold half a surrogate pair, which is no UTF-8.
    packed: bytes = msgpack.packb(content, unicode_errors="surrogatepass")
    return packed


def _unpack(packed: bytes) -> Any:
    return msgpack.unpackb(packed, strict_map_key=False, unicode_errors="surrogatepass")


def _sayable(content: Any, depth: int = 0) -> Any:
    """The same as far as MessagePack can say it; the rest as text, integers of more than 64 bits cut to those."""
    match content:
        case None | bool() | float() | str() | bytes():
            return content
        case int():
            return max(-_INTEGERS, min(content, _INTEGERS - 1))
        case _ if depth > _DEPTH:
            return repr(content)[:1000]
        case list() | tuple():
            return [_sayable(item, depth + 1) for item in content]
        case Mapping():
            return {_sayable(key, depth + 1): _sayable(item, depth + 1) for key, item in content.items()}
        case _:
            return repr(content)[:1000]
