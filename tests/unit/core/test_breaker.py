"""When a circuit breaker opens, for how long, and what closes it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfplatform.core.breaker import CLOSED, BreakerState, Position, after, position
from wfplatform.core.policy import Breaker
from wfplatform.errors import DefinitionError

T0 = datetime(2026, 1, 2, tzinfo=UTC)
API = Breaker("api", failure_share=0.5, calls=4, window_s=10.0, open_s=30.0)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def opened() -> BreakerState:
    return after(CLOSED, API, 1, 3, T0)


def test_few_calls_say_nothing() -> None:
    state = after(CLOSED, API, 0, 3, T0)
    assert position(state, T0) is Position.CLOSED
    assert position(after(state, API, 0, 1, at(1)), at(1)) is Position.OPEN


@pytest.mark.parametrize(("good", "bad", "found"), [(3, 2, "closed"), (2, 2, "open"), (0, 4, "open"), (9, 0, "closed")])
def test_it_opens_at_the_share_that_was_set(good: int, bad: int, found: str) -> None:
    assert position(after(CLOSED, API, good, bad, T0), T0) == found


def test_what_is_older_than_the_window_is_forgotten() -> None:
    state = after(CLOSED, API, 0, 3, T0)
    later = after(state, API, 0, 3, at(10.5))
    assert later.counted == (3, 3)
    assert position(later, at(10.5)) is Position.CLOSED


def test_open_it_stays_so_for_its_time_whatever_is_told_and_then_lets_one_try() -> None:
    state = opened()
    assert state.until_at == at(30)
    assert after(state, API, 5, 0, at(29.9)) == state
    assert position(state, at(29.9)) is Position.OPEN
    assert position(state, at(30)) is Position.HALF_OPEN


def test_a_try_that_completes_closes_it_and_one_that_fails_opens_it_again() -> None:
    assert after(opened(), API, 1, 0, at(31)) == CLOSED
    again = after(opened(), API, 0, 1, at(31))
    assert (again.opened_at, again.until_at) == (T0, at(61))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.floats(0, 40)), max_size=30))
def test_it_never_keeps_more_than_its_window_and_opens_only_for_a_reason(calls: list[tuple[int, int, float]]) -> None:
    state, now = CLOSED, T0
    for good, bad, passed_s in calls:
        now += timedelta(seconds=passed_s)
        before, state = state, after(state, API, good, bad, now)
        assert len(state.window) <= 62
        if state.until_at is not None and before.until_at is None:
            failed, total = state.counted
            assert total >= API.calls
            assert failed >= API.failure_share * total
            assert all(one.at_s > now.timestamp() - API.window_s - 1 for one in state.window)


@pytest.mark.parametrize(
    ("option", "value"),
    [("failure_share", 0), ("failure_share", 1.5), ("calls", 0), ("window_s", 0), ("open_s", -1), ("on_open", "shout")],
)
def test_what_makes_no_sense_is_refused(option: str, value: object) -> None:
    with pytest.raises(DefinitionError, match=f"Breaker.{option} must be"):
        Breaker("api", **{option: value})  # type: ignore[arg-type]
