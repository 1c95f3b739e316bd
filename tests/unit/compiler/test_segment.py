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


def test_what_is_given_back_flies_no_more_and_the_segment_flies_on() -> None:
    flights = Flights()
    flights.add("a", [Span("m", (), 0, 8), Span("p", (1,), 0, 2), Span.whole("r"), Span.whole("s")])
    flights.add("b", [Span("m", (), 8, 9)])
    asked = [Span("m", (), 6, 9), Span("m", (), 1, 3), Span("p", (0,), 0, 2), Span.whole("r"), Span.whole("t")]
    given = (Span("m", (), 1, 3), Span("m", (), 6, 8), Span.whole("r"))
    assert flights.give_back("a", asked) == given
    assert flights.spans("a") == (
        Span("m", (), 0, 1),
        Span("m", (), 3, 6),
        Span("p", (1,), 0, 2),
        Span.whole("s"),
    )
    assert flights.chunks("m", ()) == (Chunk(0, 1, "a"), Chunk(3, 6, "a"), Chunk(8, 9, "b"))
    assert flights.chunks("r", ()) == ()
    # Told twice, or of a segment that has landed, it means nothing: they may fly elsewhere by now.
    flights.add("c", given)
    assert flights.give_back("a", asked) == ()
    flights.remove("a")
    assert flights.give_back("a", asked) == ()
    assert flights.spans("c") == given
    assert flights.of("m") == [
        (Span("m", (), 1, 3), "c"),
        (Span("m", (), 6, 8), "c"),
        (Span("m", (), 8, 9), "b"),
    ]


def test_a_segment_that_gave_all_back_still_flies() -> None:
    flights = Flights()
    flights.add("a", [Span.whole("r")])
    assert flights.give_back("a", [Span.whole("r")]) == (Span.whole("r"),)
    assert ("a" in flights, flights.spans("a"), flights.chunks("r", ())) == (True, (), ())


def test_it_is_known_which_elements_fly() -> None:
    flights = Flights()
    flights.add("s-1", [Span("month", (), 0, 2), Span.of("total", ())])
    assert flights.has("month", (1,))
    assert flights.has("total", ())
    assert not flights.has("month", (2,))
    assert not flights.has("month", (1, 0))
    flights.remove("s-1")
    assert not flights.has("month", (1,))


def test_a_segment_names_its_spans() -> None:
    segment = Segment(id="s", members=(Member(Span.whole("a"), 1), Member(Span("m", (), 0, 2), 3)))
    assert segment.spans == (Span.whole("a"), Span("m", (), 0, 2))
