"""A clock that goes by the database's, whatever the machine's own says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from wfplatform.engine.shared_clock import ASK_EVERY_S, SharedClock
from wfplatform.errors import UnreachableError

BEGIN = datetime(2026, 1, 2, tzinfo=UTC)


class Machine:
    """A machine whose seconds are longer than true ones, and its way to a database."""

    def __init__(self, slow: float = 1.0) -> None:
        self.true_s = 0.0
        self.slow = slow
        self.way_there_s = self.way_back_s = 0.0
        self.asked = 0

    def monotonic_s(self) -> float:
        return 500.0 + self.true_s * self.slow

    def ask(self) -> datetime:
        self.asked += 1
        self.true_s += self.way_there_s
        told = BEGIN + timedelta(seconds=self.true_s)
        self.true_s += self.way_back_s
        return told

    def wrong_s(self, clock: SharedClock) -> float:
        return (clock.now() - BEGIN).total_seconds() - self.true_s


def test_it_shows_the_time_of_the_database() -> None:
    machine = Machine()
    machine.way_there_s = machine.way_back_s = 2.0
    clock = SharedClock(machine.ask, machine.monotonic_s)
    assert machine.wrong_s(clock) == pytest.approx(0)
    machine.true_s += 1000
    assert machine.wrong_s(clock) == pytest.approx(0)


def test_it_asks_again_now_and_then() -> None:
    machine = Machine(slow=1.0001)
    clock = SharedClock(machine.ask, machine.monotonic_s)
    for _ in range(1000):
        machine.true_s += 1
        clock.look_after()
    assert machine.asked == 1 + 1000 // ASK_EVERY_S
    assert abs(machine.wrong_s(clock)) < 0.01


def test_a_slow_answer_is_not_taken_for_a_better_one() -> None:
    machine = Machine()
    clock = SharedClock(machine.ask, machine.monotonic_s)
    machine.true_s += ASK_EVERY_S
    machine.way_back_s = 5.0
    clock.look_after()
    assert machine.wrong_s(clock) == pytest.approx(0)


def test_it_goes_on_while_the_database_is_away() -> None:
    machine = Machine()
    answers = [machine.ask]

    def ask() -> datetime:
        if not answers:
            raise UnreachableError("database_unreachable", "The database does not answer.")
        return answers.pop()()

    clock = SharedClock(ask, machine.monotonic_s)
    machine.true_s += ASK_EVERY_S
    with pytest.raises(UnreachableError):
        clock.look_after()
    assert machine.wrong_s(clock) == pytest.approx(0)
