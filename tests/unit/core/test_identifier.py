"""Identifiers are UUIDv7, grow in the order in which they are made, and tell when."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID

from hypothesis import given
from hypothesis import strategies as st

from wfplatform.core.identifier import DEFAULT_TENANT, TimeOrderedIds, lowest_id_at, made_at

INSTANTS = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001


def test_identifiers_are_of_version_seven() -> None:
    new = TimeOrderedIds().new
    for identifier in (*(new() for _ in range(100)), DEFAULT_TENANT):
        assert (identifier.version, identifier.variant) == (7, RFC_4122)


def test_they_grow_even_within_a_millisecond_and_when_the_clock_is_set_back() -> None:
    clock = iter([5_000] * 1000 + [4_000] * 1000 + [5_001] * 10)
    ids = TimeOrderedIds(now_ms=lambda: next(clock))
    made = [ids.new() for _ in range(2010)]
    assert made == sorted(set(made))
    assert {one.int >> 80 for one in made} == {5_000, 5_001}


def test_a_counter_that_is_full_borrows_from_the_next_millisecond() -> None:
    ids = TimeOrderedIds(now_ms=lambda: 7, random_bits=lambda bits: (1 << bits) - 1)
    first = ids.new()
    ids._counter = (1 << 42) - 1
    second = ids.new()
    assert first < second
    assert (first.int >> 80, second.int >> 80) == (7, 8)


def test_threads_never_share_one() -> None:
    ids = TimeOrderedIds(random_bits=lambda bits: 0)
    found: list[UUID] = []

    def work() -> None:
        mine = [ids.new() for _ in range(2000)]
        assert mine == sorted(mine)
        found.extend(mine)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(set(found)) == 8000


@given(INSTANTS)
def test_the_instant_is_read_back(at: datetime) -> None:
    milliseconds = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    identifier = TimeOrderedIds(now_ms=lambda: milliseconds).new()
    assert at - timedelta(milliseconds=1) < made_at(identifier) <= at
    assert lowest_id_at(at) <= identifier < lowest_id_at(at + timedelta(milliseconds=1))


def test_chances_lie_in_their_range() -> None:
    ids = TimeOrderedIds()
    chances = [ids.chance() for _ in range(100)]
    assert all(0 <= chance < 1 for chance in chances)
    assert len(set(chances)) > 90
