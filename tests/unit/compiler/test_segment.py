"""What flies: added in any order, read in order, gone when it has landed."""

from __future__ import annotations

from wfplatform.compiler.segment import Chunk, Flights, Member, Segment
from wfplatform.core.execution import Span


def test_what_flies_is_read_in_order_however_it_took_off() -> None:
    flights = Flights()
    flights.add("b", [Span("m", (), 4, 6), Span("p", (1,), 0, 2)])
    flights.add("a", [Span("m", (), 0, 2)])
    flights.add("c", [Span("m", (), 2, 4)])
    assert flights.chunks("m", ()) == (Chunk(0, 2, "a"), Chunk(2, 4, "c"), Chunk(4, 6, "b"))
    assert (flights.chunks("p", (1,)), flights.chunks("p", ())) == ((Chunk(0, 2, "b"),), ())
    assert (len(flights), list(flights), "a" in flights, flights.count("m")) == (3, ["b", "a", "c"], True, 6)


def test_what_landed_flies_no_more() -> None:
    flights = Flights()
    flights.add("a", [Span("m", (), 0, 2), Span.whole("r")])
    flights.add("b", [Span("m", (), 2, 3)])
    assert flights.remove("a") == (Span("m", (), 0, 2), Span.whole("r"))
    assert (flights.chunks("m", ()), flights.chunks("r", ())) == ((Chunk(2, 3, "b"),), ())
    assert (flights.remove("a"), flights.spans("a"), flights.spans("b")) == ((), (), (Span("m", (), 2, 3),))


def test_a_segment_names_its_spans() -> None:
    segment = Segment(id="s", members=(Member(Span.whole("a"), 1), Member(Span("m", (), 0, 2), 3)))
    assert segment.spans == (Span.whole("a"), Span("m", (), 0, 2))
