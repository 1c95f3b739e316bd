"""The watch over attempts: announced when they last, told to stop, interrupted, given up."""

from __future__ import annotations

import threading
from time import monotonic
from uuid import UUID

import pytest

from wfplatform.authoring.context import NodeStopped
from wfplatform.worker.attempt import ANNOUNCE_AFTER_S, Attempt, Watch

EXECUTION = UUID(int=1)


def attempt() -> Attempt:
    return Attempt("e", EXECUTION, 3, "s1", 2, (1,), 4)


def spin_until(limit_s: float) -> None:
    until_s = monotonic() + limit_s
    while monotonic() < until_s:
        pass


def test_a_short_attempt_is_never_announced_and_a_long_one_once() -> None:
    announced: list[Attempt] = []
    watch = Watch(announced.append, lambda _: None)
    one = attempt()
    watch.begin(one, None)
    watch.tick()
    assert announced == []
    one.started_s -= ANNOUNCE_AFTER_S * 2
    watch.tick()
    watch.tick()
    assert announced == [one]
    watch.end(one)
    assert (one.over, dict(watch.running)) == (True, {})


def test_an_announcement_carries_what_is_new() -> None:
    one = attempt()
    one.started_at = 5.0
    one.log.add(20, "l", "first")
    one.report(0.5, "half")
    said = one.started()
    assert (said[:5], said[13][0][1:], said[14]) == ([2, (1,), 4, "s", 5.0], (20, "l", "first"), (0.5, "half"))
    assert (one.started()[13], one.started()[14]) == ([], None)


def test_an_announced_attempt_is_announced_again_when_it_has_something_to_say() -> None:
    announced: list[Attempt] = []
    watch = Watch(announced.append, lambda _: None)
    one = attempt()
    watch.begin(one, None)
    one.announced = True
    watch.tick()
    one.report(0.1, "")
    watch.tick()
    assert announced == [one]
    watch.end(one)


def test_an_attempt_over_its_time_is_interrupted() -> None:
    watch = Watch(lambda _: None, lambda _: None)
    one = attempt()
    ended = threading.Event()

    def work() -> None:
        try:
            watch.begin(one, 0.001)
            try:
                while True:
                    spin_until(0.001)
            finally:
                watch.end(one)
        except NodeStopped:
            ended.set()

    thread = threading.Thread(target=work)
    thread.start()
    limit_s = monotonic() + 10
    while thread.is_alive() and monotonic() < limit_s:
        watch.tick()
    thread.join(timeout=10)
    assert ended.is_set()
    assert (one.reason, one.over) == ("timeout", True)


def test_what_does_not_end_is_given_up() -> None:
    given_up: list[Attempt] = []
    watch = Watch(lambda _: None, given_up.append, grace_s=0.0)
    one = attempt()
    watch.begin(one, None)
    one.deadline_s = monotonic() - 1
    one.interrupted_s = monotonic() - 1  # it was told, and went on
    watch.tick()
    one.interrupted_s = None
    watch.end(one)
    assert given_up == [one]


@pytest.mark.parametrize(("stage", "found"), [(5, 0), (6, 1), (9, 1)])
def test_cancelling_tells_attempts_of_that_stage_and_before(stage: int, found: int) -> None:
    watch = Watch(lambda _: None, lambda _: None, grace_s=60.0)
    one = attempt()
    watch.begin(one, None)
    assert watch.cancel(UUID(int=9), 9) == 0
    assert watch.cancel(EXECUTION, stage) == found
    assert (one.is_cancelled(), one.reason) == (bool(found), "cancelled" if found else "")
    assert (one.deadline_s is not None) is bool(found)
    watch.end(one)
