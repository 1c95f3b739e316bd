"""What is given back while its segment goes on is handed out anew at once, with what waits for it elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from tests.unit.engine.rig import Rig
from wfplatform import Retry, node, workflow
from wfplatform.compiler.payload import Delivery, Part, pack_delivery, unpack_order
from wfplatform.compiler.segment import Limits
from wfplatform.core.execution import Span
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.engine.cluster import OutcomesArrived
from wfplatform.engine.options import EngineOptions

ELEMENTS = 8


@node
def slow(x: Any) -> Any:
    return x


@node
def after(x: Any) -> Any:
    return x


@node
def total(xs: list[Any]) -> Any:
    return xs


@workflow
def mapped(xs: list[int]) -> Any:
    return slow.map(xs)


@workflow
def followed(xs: list[int]) -> Any:
    found = slow.map(xs)
    return after.map(found), total(found)


TOGETHER = EngineOptions(limits=Limits(unknown_s=1e-5))
"""Eight elements of unknown cost are one segment."""


def returned(rig: Rig, part: Part, *spans: tuple[int, tuple[int, ...], int, int], epoch: int = 0) -> OutcomesArrived:
    """A worker gives these back of a part that goes on."""
    rig.messages += 1
    delivery = Delivery(part.execution, epoch or part.epoch, part.segment, [], closed=False, returned=spans)
    return OutcomesArrived(pack_delivery("stream", rig.messages, "tcp://w", [delivery]))


def elements(parts: Iterable[Part]) -> list[tuple[int, tuple[int, ...]]]:
    """(index of the node, element) of all that parts are to run."""
    return [(index, element) for part in parts for index, span, _ in part.members for element in span.elements()]


def only(part: Part, *spans: tuple[int, tuple[int, ...], int, int]) -> Part:
    """The same, with less in it."""
    return part._replace(members=[(index, Span("", prefix, start, stop), 1) for index, prefix, start, stop in spans])


def begun(rig: Rig, flow: Any = mapped) -> tuple[UUID, Part]:
    """An execution, and the segment in which all of its first node flies."""
    execution = rig.start(rig.publish(flow), xs=list(range(ELEMENTS)))
    rig.turn()
    first = rig.cluster.parts[0]
    assert elements([first]) == [(0, (i,)) for i in range(ELEMENTS)]
    return execution, first


def test_it_is_handed_out_while_the_segment_still_flies() -> None:
    rig = Rig(options=TOGETHER)
    execution, first = begun(rig)
    rig.turn(returned(rig, first, (0, (), 1, ELEMENTS)), look=False)
    live = rig.engine.live[execution]
    assert first.segment in live.flights
    assert live.flights.spans(first.segment) == (Span("slow", (), 0, 1),)
    later = rig.cluster.parts[1:]
    assert elements(later) == [(0, (i,)) for i in range(1, ELEMENTS)]
    assert {attempt for part in later for _, _, attempt in part.members} == {1}
    assert all(not task.needs for task in rig.cluster.tasks)
    # All the others end before the one that takes long.
    rig.turn(*map(rig.done, later), look=False)
    assert rig.record(execution).state == "running"
    rig.turn(rig.done(only(first, (0, (), 0, 1))), look=False)
    assert rig.record(execution).state == "completed"
    assert len(rig.cluster.released) == len(rig.cluster.tasks)


def test_told_twice_or_too_late_it_means_nothing() -> None:
    rig = Rig(options=TOGETHER)
    execution, first = begun(rig)
    message = returned(rig, first, (0, (), 1, ELEMENTS))
    rig.turn(message, look=False)
    known = len(rig.cluster.tasks)
    rig.turn(message, look=False)
    rig.turn(rig.done(only(first, (0, (), 0, 1))), look=False)
    rig.turn(message, look=False)
    assert len(rig.cluster.tasks) == known
    rig.turn(*map(rig.done, rig.cluster.parts[1:]), look=False)
    assert rig.record(execution).state == "completed"


def test_told_with_the_end_of_its_segment_it_is_handed_out_once() -> None:
    rig = Rig(options=TOGETHER)
    _, first = begun(rig)
    message, done = returned(rig, first, (0, (), 1, ELEMENTS)), rig.done(only(first, (0, (), 0, 1)))
    rig.turn(done, message, look=False)
    assert elements(rig.cluster.parts[1:]) == [(0, (i,)) for i in range(1, ELEMENTS)]


def test_of_an_older_epoch_or_a_cancelled_execution_it_is_refused() -> None:
    rig = Rig(options=TOGETHER)
    execution, first = begun(rig)
    rig.turn(returned(rig, first, (0, (), 1, ELEMENTS), epoch=first.epoch + 1), look=False)
    assert len(rig.cluster.tasks) == 1
    rig.catalog.command(DEFAULT_TENANT, execution, "cancel")
    for _ in range(2):
        rig.turn(returned(rig, first, (0, (), 1, ELEMENTS)))
        assert rig.record(execution).state == "cancelled"
        assert not rig.engine.live


def test_what_waits_for_it_in_other_segments_is_handed_out_with_it() -> None:
    one_each = EngineOptions(limits=Limits(unknown_s=1e-5, most=ELEMENTS))
    rig = Rig(options=one_each)
    execution, first = begun(rig, followed)
    orders = {part.segment: task for task in rig.cluster.tasks for part in unpack_order(task.order).parts}
    waiting = [part for part in rig.cluster.parts if part.segment != first.segment]
    assert set(elements(waiting)) == {(1, (i,)) for i in range(ELEMENTS)} | {(2, ())}
    assert all(orders[first.segment].key in orders[part.segment].needs for part in waiting)
    known = len(rig.cluster.tasks)
    rig.turn(returned(rig, first, (0, (), 1, ELEMENTS)), look=False)
    live = rig.engine.live[execution]
    old = [span for segment in {part.segment for part in waiting} for span in live.flights.spans(segment)]
    assert old == [Span("after", (), 0, 1)], "what follows the long one stays where it is"
    new = [part for task in rig.cluster.tasks[known:] for part in unpack_order(task.order).parts]
    assert sorted(elements(new)) == sorted(
        [(0, (i,)) for i in range(1, ELEMENTS)] + [(1, (i,)) for i in range(1, ELEMENTS)] + [(2, ())]
    )
    held = [task for task in rig.cluster.tasks[known:] if orders[first.segment].key in task.needs]
    assert [elements(unpack_order(task.order).parts) for task in held] == [[(2, ())]], "only the sum reads the long one"


@node(retry=Retry(attempts=2, delay_s=5.0))
def flaky(x: Any) -> Any:
    return x


@workflow
def tried(xs: list[int]) -> Any:
    return after.map(flaky.map(xs))


def test_the_next_try_of_an_element_does_not_wait_for_the_rest_of_its_segment() -> None:
    rig = Rig(options=TOGETHER)
    execution = rig.start(rig.publish(tried), xs=list(range(ELEMENTS)))
    rig.turn()
    (part,) = rig.cluster.parts
    assert len(elements([part])) == 2 * ELEMENTS
    error = {"type": "ValueError", "message": "no", "kinds": ["ValueError"]}
    failed = [0, (3,), 1, "f", 1.0, 2.0, 0.5, 1, None, None, error, None, None, [], None]
    rig.turn(rig._said(part, [failed], closed=False))
    assert len(rig.cluster.parts) == 1, "it waits"
    rig.time.move(5.1)
    rig.turn()
    assert elements(rig.cluster.parts[1:]) == [(0, (3,))]
    rig.turn(*(rig.done(one) for one in rig.cluster.parts[1:]))
    # What hangs on it was left out where it was, and is free when that has come to its end.
    rest = [place for place in elements([part]) if place not in {(0, (3,)), (1, (3,))}]
    output = {"codec": "json", "size": 1, "digest": "d", "value": 1}
    ended = [[i, e, 1, "c", 1.0, 2.0, 0.5, 1, None, {"result": output}, None, None, None, [], None] for i, e in rest]
    rig.turn(rig._said(part, ended, closed=True))
    rig.turn(*(rig.done(one) for one in rig.cluster.parts[2:]))
    assert rig.record(execution).state == "completed"
