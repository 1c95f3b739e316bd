"""When a worker host gives up: only while no worker at all is up."""

from __future__ import annotations

import pytest

from wfplatform.worker.muster import Muster, NoWorkerError


def test_the_first_worker_is_told_once() -> None:
    told: list[str] = []
    muster = Muster(2, on_first=lambda: told.append("up"))
    muster.up(1)
    muster.up(0)
    assert muster.ended(1)
    muster.up(1)
    assert told == ["up"]


def test_it_ends_when_every_slot_has_failed_twice_and_says_how() -> None:
    muster = Muster(2, on_first=lambda: None)
    for number in range(3):
        muster.failed(f"exit code {number}")
        muster.check()
    muster.failed("exit code 7")
    with pytest.raises(NoWorkerError, match="4 starts in a row failed, the last with: exit code 7"):
        muster.check()


def test_a_worker_that_is_up_keeps_the_host_and_begins_the_count_anew() -> None:
    muster = Muster(1, on_first=lambda: None)
    muster.failed("no")
    muster.up(0)
    for _ in range(9):
        muster.failed("no")
    muster.check()
    assert muster.ended(0)
    assert not muster.ended(0)
    with pytest.raises(NoWorkerError):
        muster.check()
    muster.up(0)
    assert muster.ended(0)
    muster.failed("no")
    muster.check()
