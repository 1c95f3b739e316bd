"""What travels is the same on both sides."""

from __future__ import annotations

from uuid import UUID

import pytest

from tests.unit.core.reach import graph_of, n
from wfplatform.compiler.payload import (
    Delivery,
    KnownOutput,
    Part,
    SegmentOrder,
    pack_delivery,
    pack_order,
    pack_version,
    read_outcomes,
    read_returned,
    unpack_delivery,
    unpack_order,
    unpack_version,
)
from wfplatform.core.execution import Outcome, OutcomeKind, Span

EXECUTION = UUID(int=7)


def test_an_order_arrives_as_it_left() -> None:
    part = Part(
        EXECUTION,
        3,
        "v" * 64,
        {"n": 1, "xs": [1, None, "é"]},
        "s1",
        [(0, Span("", (1, 2), 0, 5), 1), (1, Span("", (), -1, 0), 2)],
        [KnownOutput(2, (0, 1), {"result": {"codec": "json", "value": [1]}}), KnownOutput(3, (), None)],
        {4: {(): 2, (0,): 3, (1,): 0}},
        frozenset({0, 1}),
        [(5, (0,), 3, {"result": {"value": 1}})],
        ((0, (1, 2, 3), {"x": [1, {"é": None}]}),),
    )
    order = SegmentOrder("engine", (part,), "io", 1.5, True)
    assert unpack_order(pack_order(order)) == order
    bare = SegmentOrder("engine", (Part(EXECUTION, 1, "v", {}, "s", [], known=[], turns=[]),))
    assert unpack_order(pack_order(bare)) == bare


def test_integers_of_any_size_arrive() -> None:
    parameters = {"n": 2**70, "xs": [{"é": -(2**64)}]}
    order = SegmentOrder("engine", tuple(Part(EXECUTION, 1, "v", given, "s", [], [], {}) for given in (parameters, {})))
    assert [part.parameters for part in unpack_order(pack_order(order)).parts] == [parameters, {}]
    edits = ((0, (1,), {"x": 2**70}), (0, (2,), {"x": 1}))
    order = SegmentOrder("engine", (Part(EXECUTION, 1, "v", {}, "s", [], [], {}, edits=edits),))
    assert unpack_order(pack_order(order)).parts[0].edits == edits


@pytest.mark.parametrize("kind", list(OutcomeKind))
def test_outcomes_arrive_with_names_for_indices(kind: OutcomeKind) -> None:
    letter = kind[0]
    raw = [1, (2, 3), 4, letter, 1.5, 2.5, 0.5, 1024, "d", {"result": {}}, None, {"result": 3}, True]
    raw += [[(1.0, 20, "l", "m")], (0.5, "half")]
    packed = pack_delivery("stream", 9, "tcp://w", [Delivery(EXECUTION, 3, "s1", [raw], closed=True)])
    message = unpack_delivery(packed)
    assert (message.stream, message.number, message.worker) == ("stream", 9, "tcp://w")
    delivery = message.deliveries[0]
    assert (delivery.execution, delivery.epoch, delivery.segment, delivery.closed) == (EXECUTION, 3, "s1", True)
    (outcome,) = read_outcomes(graph_of(n("a"), n("b")), delivery, message.worker)
    assert outcome[:6] == ("b", (2, 3), 4, kind, "tcp://w", "s1")
    assert isinstance(outcome, Outcome)
    assert (outcome.started_at, outcome.finished_at, outcome.sizes, outcome.verdict) == (1.5, 2.5, {"result": 3}, True)
    assert [tuple(line) for line in outcome.logs] == [(1.0, 20, "l", "m")]


def test_what_is_given_back_arrives_with_names_for_indices() -> None:
    returned = [(1, (2,), 3, 5), (0, (), -1, 0)]
    packed = pack_delivery("stream", 9, "tcp://w", [Delivery(EXECUTION, 3, "s1", [], closed=False, returned=returned)])
    (delivery,) = unpack_delivery(packed).deliveries
    assert not delivery.closed
    graph = graph_of(n("a"), n("b"))
    assert read_returned(graph, delivery) == (Span("b", (2,), 3, 5), Span.whole("a"))
    assert read_returned(graph, Delivery(EXECUTION, 3, "s1", [], closed=True)) == ()


def test_a_version_is_text_and_bytes() -> None:
    assert unpack_version(pack_version({"nodes": [1, "é"]}, b"\x00code")) == ('{"nodes": [1, "\\u00e9"]}', b"\x00code")


def test_whatever_a_user_prints_or_raises_can_be_said() -> None:
    endless: list[object] = []
    endless.append(endless)
    lines = [(1.0, 2**70, "a\ud800", "no UTF-8: \udcff")]
    error = {"message": "\udc80", "facts": {"n": -(2**90), "what": object(), "endless": endless}}
    outcome = [0, (), 1, "f", 1.0, 2.0, None, None, None, None, error, None, None, lines, None]
    (came,) = unpack_delivery(pack_delivery("s", 1, "w", [Delivery(UUID(int=1), 1, "x", [outcome], True)])).deliveries
    assert came.outcomes[0][13] == [[1.0, 2**63 - 1, "a\ud800", "no UTF-8: \udcff"]]
    said = came.outcomes[0][10]
    assert (said["message"], said["facts"]["n"]) == ("\udc80", -(2**63))
    assert said["facts"]["what"].startswith("<object object")
