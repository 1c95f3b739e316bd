"""Plain data as JSON: exactly the same types, or not at all."""

from __future__ import annotations

import enum
import json
import math
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfplatform.artifacts import plain

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
ATOMS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXT)
PLAIN = st.recursive(ATOMS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=25)


def same(left: Any, right: Any) -> bool:
    """Equal, of the same types, in the same order, to the sign of a zero."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return list(left) == list(right) and all(map(same, left.values(), right.values()))
    return repr(left) == repr(right)


@given(PLAIN)
def test_plain_data_comes_back_the_same(value: Any) -> None:
    form = plain.encode(value)
    assert form is not None
    assert same(plain.decode(form[0]), value)
    assert json.loads(form[0]) == value
    assert form[0] == json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


@given(PLAIN)
def test_what_is_said_to_travel_travels(value: Any) -> None:
    form = plain.encode(value)
    assert form is not None
    if form[1]:
        assert same(msgpack.unpackb(msgpack.packb(value)), value)


@given(PLAIN)
def test_a_copy_shares_nothing_that_can_change(value: Any) -> None:
    form = plain.encode(value)
    assert form is not None
    if form[2] is None:
        assert not isinstance(value, list | dict)
        return
    copied = form[2](value)
    assert same(copied, value)
    assert containers(copied).isdisjoint(containers(value))


def containers(value: Any) -> set[int]:
    """The identities of all lists and dicts within."""
    if isinstance(value, dict):
        return {id(value)}.union(*map(containers, value.values()))
    if isinstance(value, list):
        return {id(value)}.union(*map(containers, value))
    return set()


class Colour(enum.IntEnum):
    RED = 1


class Name(str):
    __slots__ = ()


def nested(depth: int) -> list[Any]:
    """A list in a list in a list."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def within_itself() -> list[Any]:
    """A list that holds itself."""
    value: list[Any] = [1]
    value.append(value)
    return value


def doubled(levels: int) -> list[Any]:
    """Small in memory, 2**levels containers when written out."""
    value: list[Any] = [1]
    for _ in range(levels):
        value = [value, value]
    return value


ALMOST_PLAIN = [
    math.nan, math.inf, -math.inf, (1, 2), {1}, b"a", 1j, Colour.RED, Name("a"), {1: 2}, {None: 1},
    {"a": (1,)}, [math.nan], {"a": [math.inf]}, [[Colour.RED]], {Name("a"): 1}, "\ud800", ["\udfff"], {"\ud800": 1},
    10**5000, [10**5000], nested(65), within_itself(), doubled(40), range(3), object(),
]  # fmt: skip


@pytest.mark.parametrize("value", ALMOST_PLAIN, ids=lambda value: f"{type(value).__name__}")
def test_what_json_would_change_is_refused(value: Any) -> None:
    assert plain.encode(value) is None


NARROW = [0, -(2**63), 2**63 - 1, [2**59], 1e300, 5e-324, -0.0, "", "1" * 18, {"b": 1, "a": 2}, [[]], nested(60)]
WIDE = [2**63, -(2**63) - 1, [2**64], {"a": [[-(10**30)]]}, 10**4000]


@pytest.mark.parametrize("value", NARROW, ids=lambda value: repr(value)[:20])
def test_integers_of_64_bits_are_numbers_everywhere(value: Any) -> None:
    form = plain.encode(value)
    assert form is not None
    assert form[1]


@pytest.mark.parametrize("value", WIDE, ids=lambda value: repr(value)[:20])
def test_wider_integers_are_json_but_travel_as_bytes(value: Any) -> None:
    form = plain.encode(value)
    assert form is not None
    assert not form[1]
    assert same(plain.decode(form[0]), value)
