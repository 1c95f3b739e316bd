"""Text and JSON that PostgreSQL takes."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from wfplatform.store.text import MESSAGE_LIMIT_BYTES, clean, clean_json, cut, exact_json

ANY_TEXT = st.text(st.characters(codec=None, categories=None))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=20,
)
ANYTHING = st.recursive(
    st.none() | st.floats() | st.integers() | ANY_TEXT | st.binary() | st.sets(st.integers()),
    lambda inner: (
        st.lists(inner, max_size=4) | st.tuples(inner) | st.dictionaries(ANY_TEXT | st.integers(), inner, max_size=4)
    ),
    max_leaves=20,
)


def storable(text: str) -> bool:
    return "\0" not in text and text.encode(errors="replace").decode() == text


@given(ANY_TEXT)
def test_cleaned_text_can_be_stored_and_is_as_long(text: str) -> None:
    found = clean(text)
    assert storable(found)
    assert len(found) == len(text)
    assert clean(found) == found
    if storable(text):
        assert found == text


@given(JSON)
def test_exact_json_changes_nothing(value: Any) -> None:
    text = exact_json(value)
    assert text is not None
    assert text.isascii()
    assert repr(json.loads(text)) == repr(value)


def test_what_json_cannot_say_is_told_apart() -> None:
    for value in (math.nan, [math.inf], {"a": {"b": -math.inf}}):
        assert exact_json(value) is None


@given(st.dictionaries(ANY_TEXT, ANYTHING, max_size=5))
def test_facts_for_people_are_never_refused(facts: dict[str, Any]) -> None:
    text = clean_json(facts)
    assert text is not None
    assert "\\u0000" not in text
    assert isinstance(json.loads(text, parse_constant=refuse), dict)


def refuse(constant: str) -> None:
    raise AssertionError(constant)


def test_facts_that_contain_themselves_end() -> None:
    facts: dict[str, Any] = {}
    facts["again"] = facts
    assert clean_json(facts) is not None
    assert clean_json(None) is None


@given(ANY_TEXT, st.integers(1, MESSAGE_LIMIT_BYTES))
def test_a_message_is_cut_at_its_limit(text: str, times: int) -> None:
    message = (text * times)[: 2 * MESSAGE_LIMIT_BYTES]
    found = cut(message)
    assert storable(found)
    if len(message.encode(errors="replace")) <= MESSAGE_LIMIT_BYTES:
        assert found == clean(message)
    else:
        assert found.endswith(" ... (cut)")
