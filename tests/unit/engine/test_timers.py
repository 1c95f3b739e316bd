"""Who is woken, and when."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from tests.unit.core.reach import NOW
from wfplatform.engine.timers import Timer, Timers


def timer(seconds: float, node: str = "a") -> Timer:
    return Timer(NOW + timedelta(seconds=seconds), UUID(int=1), node, ())


def test_what_is_due_comes_earliest_first_and_once() -> None:
    timers = Timers()
    for seconds in (3, 1, 2, 10):
        timers.set(timer(seconds))
    assert (timers.next_at, len(timers)) == (NOW + timedelta(seconds=1), 4)
    assert timers.due(NOW, 10) == []
    assert timers.due(NOW + timedelta(seconds=3), 2) == [timer(1), timer(2)]
    assert timers.due(NOW + timedelta(seconds=3), 2) == [timer(3)]
    assert (timers.next_at, len(timers)) == (NOW + timedelta(seconds=10), 1)


def test_without_timers_nothing_is_next() -> None:
    assert (Timers().next_at, Timers().due(NOW, 1)) == (None, [])
