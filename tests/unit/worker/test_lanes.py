"""Who may run beside whom in a worker process."""

from __future__ import annotations

import threading
from collections.abc import Callable

from wfplatform.core.policy import Lane
from wfplatform.worker.lanes import Lanes


class Guest:
    """A thread that enters a lane and stays until told."""

    def __init__(self, lanes: Lanes, lane: Lane, *, alone: bool = False) -> None:
        self.inside = threading.Event()
        self.leave = threading.Event()
        self._thread = threading.Thread(target=self._stay, args=(lanes, lane, alone), daemon=True)
        self._thread.start()

    def _stay(self, lanes: Lanes, lane: Lane, alone: bool) -> None:
        with lanes.enter(lane, alone=alone):
            self.inside.set()
            self.leave.wait(10)

    def go(self) -> None:
        self.leave.set()
        self._thread.join(10)


def waits(guest: Guest) -> bool:
    return not guest.inside.wait(0.05)


def is_in(guest: Guest) -> bool:
    return guest.inside.wait(10)


def test_the_cpu_lane_takes_one_and_the_io_lane_many() -> None:
    lanes = Lanes(2)
    first, second = Guest(lanes, Lane.CPU), Guest(lanes, Lane.IO)
    assert is_in(first)
    assert is_in(second)
    third, full, more = Guest(lanes, Lane.IO), Guest(lanes, Lane.CPU), Guest(lanes, Lane.IO)
    assert is_in(third) or is_in(more)
    assert waits(full)
    first.go()
    assert is_in(full)
    for guest in (second, third, more, full):
        guest.go()


def test_a_suspect_runs_with_nobody_beside_it() -> None:
    lanes = Lanes(5)
    running: list[Guest] = [Guest(lanes, Lane.IO), Guest(lanes, Lane.CPU)]
    assert all(map(is_in, running))
    suspect = Guest(lanes, Lane.IO, alone=True)
    assert waits(suspect)
    after = [Guest(lanes, Lane.IO), Guest(lanes, Lane.CPU)]
    assert all(map(waits, after)), "who comes later does not keep the suspect waiting for ever"
    for guest in running:
        guest.go()
    assert is_in(suspect)
    assert all(map(waits, after))
    another = Guest(lanes, Lane.CPU, alone=True)
    suspect.go()
    assert is_in(another)
    another.go()
    assert all(map(is_in, after))
    for guest in after:
        guest.go()


def test_an_error_gives_the_place_back() -> None:
    lanes = Lanes(1)

    def fail() -> None:
        with lanes.enter(Lane.CPU, alone=True):
            raise ValueError

    failing: Callable[[], None] = fail
    for _ in range(2):
        try:
            failing()
        except ValueError:
            continue
    guest = Guest(lanes, Lane.IO)
    assert is_in(guest)
    guest.go()
