"""What is written after -p, and what a workflow makes of it."""

from __future__ import annotations

import datetime

import pytest

from wfplatform import workflow
from wfplatform.authoring.workflow import Workflow
from wfplatform.cli.parameter import bound, given_parameters
from wfplatform.errors import ParameterError, UserError


@workflow
def shop(
    year: int,
    carriers: list[str] | None = None,
    article: str = "",
    day: datetime.date | None = None,
    share: float = 0.5,
    anything: object = None,
) -> int:
    return year


def read(**texts: str) -> dict[str, object]:
    found: Workflow[..., int] = shop
    return dict(bound(found.parameters, texts))


def test_words_are_parted_at_the_first_equals_sign() -> None:
    assert given_parameters(["a=1", "b = x=y", "c="]) == {"a": "1", "b": " x=y", "c": ""}


def test_every_word_that_cannot_be_read_is_told() -> None:
    with pytest.raises(UserError) as caught:
        given_parameters(["year", "=3", "a=1", "a=2"])
    assert len(caught.value.facts["problems"]) == 3
    assert caught.value.exit_code == 2


def test_json_is_json_and_the_rest_is_text() -> None:
    found = read(year="2013", carriers='["AA","UA"]', day="2013-05-01", share="1")
    assert found == {
        "year": 2013, "carriers": ["AA", "UA"], "article": "", "day": "2013-05-01", "share": 1.0, "anything": None,
    }  # fmt: skip


@pytest.mark.parametrize("text", ["007", "null", "true", "[1]", "12", "NaN"])
def test_a_text_may_look_like_json(text: str) -> None:
    assert read(year="1", article=text)["article"] == text


def test_quoted_json_is_a_text_without_quotes() -> None:
    assert read(year="1", article='"a b"')["article"] == "a b"


def test_all_that_does_not_fit_is_told_at_once() -> None:
    with pytest.raises(ParameterError) as caught:
        read(carriers="[1]", yeer="1")
    told = {problem["parameter"] for problem in caught.value.facts["problems"]}
    assert told == {"year", "carriers", "yeer"}
    assert "did you mean `year`" in caught.value.message
