"""What waits inside a Dask task is given back when the part before it takes long."""

from __future__ import annotations

import time
from uuid import UUID

from tests.unit.core.reach import graph_of, n
from wfplatform.compiler.payload import Part, SegmentOrder, unpack_delivery
from wfplatform.core.execution import Span
from wfplatform.worker.agenda import Agenda
from wfplatform.worker.backlog import Backlog
from wfplatform.worker.stream import OutcomeStream

PARTS = [Part(UUID(int=n), 1, "v", {}, f"s-{n}", []) for n in range(4)]


def test_parts_come_in_order_and_the_rest_is_given_back() -> None:
    sent: list[bytes] = []
    stream = OutcomeStream("name", "worker", lambda topic, body: sent.append(body))
    backlog = Backlog(stream)
    parts = backlog.parts(SegmentOrder("engine", PARTS, budget_s=0.02))
    assert [next(parts), next(parts)] == PARTS[:2]
    backlog.give_back()
    until_s = time.monotonic() + 10
    while not sent:
        assert time.monotonic() < until_s
        backlog.give_back()
        stream.flush()
        time.sleep(0.005)
    assert list(parts) == []
    stream.close()
    told = [delivery for body in sent for delivery in unpack_delivery(body).deliveries]
    assert [(one.segment, one.closed, list(one.outcomes)) for one in told] == [("s-2", True, []), ("s-3", True, [])]


def test_a_task_without_budget_or_of_one_part_is_never_given_back() -> None:
    stream = OutcomeStream("name", "worker", lambda topic, body: None)
    backlog = Backlog(stream)
    for order in (SegmentOrder("engine", PARTS), SegmentOrder("engine", PARTS[:1], budget_s=1e-9)):
        parts = backlog.parts(order)
        first = next(parts)
        backlog.give_back()
        assert [first, *parts] == list(order.parts)
    stream.close()


def test_elements_behind_a_long_one_are_given_back_once_and_only_while_their_part_runs() -> None:
    sent: list[bytes] = []
    stream = OutcomeStream("name", "worker", lambda topic, body: sent.append(body))
    stream.close()  # nothing leaves by itself any more
    backlog = Backlog(stream)
    part = Part(UUID(int=1), 4, "v", {}, "s-1", [(0, Span("", (), -1, 0), 1), (1, Span("", (), -1, 0), 1)])
    order = SegmentOrder("engine", [part], budget_s=1.0)
    made = Agenda(order, part, graph_of(n("a"), n("b")), lambda: True)
    made.begin(0, (), 0.0)
    backlog.give_back(0.5)
    with backlog.open(made):
        backlog.give_back(0.5)
        stream.flush()
        assert sent == []
        backlog.give_back(2.0)
        backlog.give_back(3.0)
        stream.flush()
    backlog.give_back(4.0)
    stream.flush()
    (told,) = [delivery for body in sent for delivery in unpack_delivery(body).deliveries]
    assert (told.execution, told.epoch, told.segment, told.closed) == (UUID(int=1), 4, "s-1", False)
    assert (list(told.outcomes), [tuple(one) for one in told.returned]) == ([], [(1, [], -1, 0)])
