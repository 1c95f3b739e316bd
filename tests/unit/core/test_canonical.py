"""Canonical JSON: the same bytes everywhere, without loss; strict reading of what strangers wrote."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfplatform.core.canonical import canonical_json, digest, json_problems, parse_json, pointer
from wfplatform.errors import UserError

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


def _codes(error: UserError) -> list[tuple[str, str]]:
    return [(problem["place"], problem["code"]) for problem in error.facts["problems"]]


@given(JSON)
def test_nothing_is_lost(value: object) -> None:
    again = json.loads(canonical_json(value))
    assert again == value
    assert repr(again) == repr(json.loads(json.dumps(value, sort_keys=True)))  # 1 and 1.0 stay apart


@given(st.dictionaries(TEXT, JSON))
def test_the_order_of_keys_does_not_count(value: dict[str, object]) -> None:
    assert canonical_json(value) == canonical_json(dict(reversed(value.items())))


def test_the_bytes_are_these() -> None:
    assert canonical_json({"b": [1, 2.5, None], "a": "é"}) == '{"a":"é","b":[1,2.5,null]}'.encode()
    assert digest(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_another_process_writes_the_same_bytes() -> None:
    code = "from wfplatform.core.canonical import *; print(digest(canonical_json({'b': [1.5], 'a': {'é': 2}})))"
    answers = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert answers == {digest(canonical_json({"a": {"é": 2}, "b": [1.5]})) + "\n"}


@pytest.mark.parametrize(
    ("value", "place", "code"),
    [
        ({"a": [1, float("nan")]}, "/a/1", "number_not_finite"),
        ({"a/b": {"c~": object()}}, "/a~1b/c~0", "not_json"),
        (["\ud800"], "/0", "lone_surrogate"),
    ],
)
def test_what_is_not_json_is_refused_with_its_place(value: object, place: str, code: str) -> None:
    with pytest.raises(UserError) as caught:
        canonical_json(value)
    assert _codes(caught.value) == [(place, code)]


def test_every_problem_of_a_value_is_told() -> None:
    value = {"a": float("inf"), "b": ["x\0", {1: 2}]}
    assert [(problem.place, problem.code) for problem in json_problems(value)] == [
        ("/a", "number_not_finite"),
        ("/b/0", "nul_character"),
        ("/b/1", "key_not_text"),
    ]


@given(JSON)
def test_reading_gives_what_was_written(value: object) -> None:
    assert repr(parse_json(json.dumps(value), max_bytes=10**7)) == repr(value)
    assert repr(parse_json(json.dumps(value).encode(), max_bytes=10**7)) == repr(value)


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ('{"a": NaN, "b": -Infinity}', [("/a", "number_not_finite"), ("/b", "number_not_finite")]),
        ('{"a": [1e400]}', [("/a/0", "number_not_finite")]),
        ('{"a": {"b": 1, "b": 2}}', [("/a/b", "duplicate_key")]),
        ('["\\u0000"]', [("/0", "nul_character")]),
        ('["\\ud83d"]', [("/0", "lone_surrogate")]),
        ("[" * 100_000 + "]" * 100_000, [("", "nested_too_deep")]),
        ("[" * 65 + "]" * 65, [("/0" * 64, "nested_too_deep")]),
        ("[" + "9" * 5000 + "]", [("", "number_too_long")]),
        ("[1,]", [("", "syntax")]),
        (b"\xff", [("", "not_utf8")]),
    ],
)
def test_hostile_text_is_refused(text: str | bytes, problems: list[tuple[str, str]]) -> None:
    with pytest.raises(UserError) as caught:
        parse_json(text, max_bytes=10**7)
    assert _codes(caught.value) == problems


def test_a_pair_of_surrogates_and_64_levels_are_fine() -> None:
    assert parse_json('["\\ud83d\\ude00"]', max_bytes=100) == ["\U0001f600"]
    parse_json("[" * 64 + "]" * 64, max_bytes=1000)


@pytest.mark.parametrize("text", ["é" * 6, ("é" * 6).encode(), "x" * 11])
def test_size_is_judged_in_bytes_before_reading(text: str | bytes) -> None:
    with pytest.raises(UserError, match="at most 10 are allowed") as caught:
        parse_json(text, max_bytes=10)
    assert caught.value.code == "too_large"


def test_pointers_are_escaped() -> None:
    assert pointer("a/b", 3, "c~d") == "/a~1b/3/c~0d"
