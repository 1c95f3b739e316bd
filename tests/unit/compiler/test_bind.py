"""Parameters of a run are checked on the server, without the user's types: everything that is wrong is told at once."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Literal
from uuid import UUID

import pydantic
import pytest

from wfplatform.compiler.bind import bind
from wfplatform.core.graph import Json, Parameter
from wfplatform.errors import DefinitionError, ParameterError


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Trip(pydantic.BaseModel):
    model_config = {"extra": "forbid"}
    carrier: str = pydantic.Field(pattern="^[A-Z]{2}$")
    hops: list[int] = []
    parent: Trip | None = None


def of(annotation: Any, name: str = "x") -> Parameter:
    return Parameter(name=name, schema=pydantic.TypeAdapter(annotation).json_schema(), required=True)


def test_defaults_and_order() -> None:
    parameters = (
        Parameter(name="year", schema={"type": "integer"}, required=False, default=2013),
        Parameter(name="carrier", schema={"type": "string"}, required=True),
        Parameter(name="anything", schema={}, required=False),
    )
    assert list(bind(parameters, {"carrier": "UA"}).items()) == [
        ("year", 2013),
        ("carrier", "UA"),
        ("anything", None),
    ]


@pytest.mark.parametrize(
    ("annotation", "given", "bound"),
    [
        (int, "2013", 2013),
        (int, " -5 ", -5),
        (int, 2013.0, 2013),
        (float, "1e3", 1000.0),
        (float, 3, 3),
        (bool, "True", True),
        (int | None, "none", None),
        (int | None, "7", 7),
        (str, "2013", "2013"),
        (str | int, "2013", "2013"),
        (list[int], "[1, 2]", [1, 2]),
        (date, "2013-01-31", "2013-01-31"),
        (datetime, "2013-01-31T08:00:00Z", "2013-01-31T08:00:00Z"),
        (time, "08:00:00", "08:00:00"),
        (timedelta, "P1DT2H", "P1DT2H"),
        (UUID, "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000001"),
        (Decimal, "1.50", "1.50"),
        (Colour, "red", "red"),
        (Literal["a", 1], 1, 1),
        (Any, {"a": [None]}, {"a": [None]}),
        (
            Trip,
            {"carrier": "UA", "parent": {"carrier": "DL"}},
            {"carrier": "UA", "parent": {"carrier": "DL"}},
        ),
    ],
)
def test_what_fits(annotation: Any, given: Json, bound: Json) -> None:
    found = bind((of(annotation),), {"x": given})["x"]
    assert found == bound
    assert type(found) is type(bound)


@pytest.mark.parametrize(
    ("annotation", "given", "place", "expected", "got"),
    [
        (int, 2013.5, "", "a whole number", "2013.5"),
        (int, "2013.5", "", "a whole number", '"2013.5"'),
        (int, True, "", "a whole number", "true"),
        (int, None, "", "a whole number", "null"),
        (int | None, "x", "", "a whole number or null", '"x"'),
        (str, 5, "", "text", "5"),
        (list[int], [1, "a"], "/1", "a whole number", '"a"'),
        (date, "2013-02-30", "", "a date such as 2013-01-31", '"2013-02-30"'),
        (datetime, "yesterday", "", "a date with time such as 2013-01-31T08:00:00Z", '"yesterday"'),
        (timedelta, "PT", "", "a duration such as PT1H30M", '"PT"'),
        (UUID, "1", "", "a UUID", '"1"'),
        (Colour, "green", "", 'one of "red", "blue"', '"green"'),
        (Trip, {}, "", "an object with 'carrier'", "{}"),
        (Trip, {"carrier": "ua"}, "/carrier", 'pattern "^[A-Z]{2}$"', '"ua"'),
        (
            Trip,
            {"carrier": "UA", "hop": 1},
            "",
            "an object with no other keys than 'carrier', 'hops', 'parent'",
            None,
        ),
        (Trip, {"carrier": "UA", "hops": [1.5]}, "/hops/0", "a whole number", "1.5"),
        (Any, float("nan"), "", "plain JSON", "number_not_finite"),
        (str, "a\0", "", "plain JSON", "nul_character"),
    ],
)
def test_what_does_not_fit(annotation: Any, given: Any, place: str, expected: str, got: str | None) -> None:
    with pytest.raises(ParameterError) as caught:
        bind((of(annotation),), {"x": given})
    (problem,) = caught.value.facts["problems"]
    assert (problem["parameter"], problem["place"], problem["expected"]) == ("x", place, expected)
    assert got is None or problem["got"] == got


def test_everything_is_told_at_once() -> None:
    parameters = (of(int, "year"), of(str, "carrier"), of(list[int], "hops"))
    with pytest.raises(ParameterError) as caught:
        bind(parameters, {"yaer": 2013, "hops": ["a", "b"], "carrier": "UA", "zzz": 1})
    assert caught.value.message.splitlines() == [
        "There is no parameter 'yaer'; did you mean 'year'?",
        "There is no parameter 'zzz'; there are year, carrier, hops.",
        "Parameter 'year' is missing; expected a whole number.",
        "Parameter 'hops' at /0: expected a whole number, got \"a\".",
        "Parameter 'hops' at /1: expected a whole number, got \"b\".",
    ]
    assert caught.value.hint == "The parameters are: year: a whole number, carrier: text, hops: a list."


def test_a_pattern_cannot_hold_the_server_up() -> None:
    parameter = Parameter(name="x", schema={"type": "string", "pattern": "^(a+)+$"}, required=True)
    with pytest.raises(ParameterError, match="pattern"):
        bind((parameter,), {"x": "a" * 50_000 + "!"})


@pytest.mark.parametrize("schema", [{"$ref": "https://example.org/schema"}, {"type": "nonsense"}, {"$ref": "#/gone"}])
def test_a_schema_that_is_none_is_not_fetched(schema: dict[str, Json]) -> None:
    with pytest.raises(DefinitionError, match="parameter 'x' cannot be used"):
        bind((Parameter(name="x", schema=schema, required=True),), {"x": 1})


def test_nothing_declared() -> None:
    assert bind((), {}) == {}
    with pytest.raises(ParameterError, match="there are none"):
        bind((), {"a": 1})
