"""Parameters: schemas, coercion, the way to JSON and back, and errors that name everything at once."""

# ruff: noqa: B018  # drawing is what is tested

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import math
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, TypedDict
from uuid import UUID

import jsonschema  # type: ignore[import-untyped]
import pandas as pd
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfplatform import DefinitionError, ParameterError, workflow
from wfplatform.authoring.parameter import Parameters, load_parameter, parameter_adapter
from wfplatform.authoring.signature import ANY, ParameterSlot, type_name


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


@dataclasses.dataclass
class Window:
    start: datetime.date
    days: int = 7


class Settings(pydantic.BaseModel):
    depth: int
    sizes: list[Size] = []
    window: Window | None = None


class Options(TypedDict, total=False):
    n: int


class Pair(NamedTuple):
    a: int
    b: str


def parameters(annotation: Any, default: Any = ANY) -> Parameters:
    return Parameters("w", {"p": ParameterSlot(name="p", annotation=annotation, default=default)})


def round_trip(annotation: Any, value: Any) -> Any:
    found = parameters(annotation)
    as_json = json.loads(json.dumps(found.to_json({"p": value}), allow_nan=False))
    jsonschema.validate(as_json["p"], dict(found.declared[0].schema))
    return found.from_json(as_json)["p"]


DAY = datetime.date(2013, 1, 2)
AT = datetime.datetime(2013, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (int, 2013, 2013),
        (int, "2013", 2013),
        (int, 2013.0, 2013),
        (float, "2.5", 2.5),
        (float, 2, 2.0),
        (bool, "true", True),
        (bool, "no", False),
        (str, "a", "a"),
        (int | None, None, None),
        (int | str, "x", "x"),
        (Literal["a", "b"], "b", "b"),
        (Size, "l", Size.LARGE),
        (Size, Size.SMALL, Size.SMALL),
        (datetime.date, "2013-01-02", DAY),
        (datetime.datetime, "2013-01-02T03:04:05.000006Z", AT),
        (datetime.timedelta, datetime.timedelta(days=1, seconds=2), datetime.timedelta(days=1, seconds=2)),
        (UUID, str(UUID(int=5)), UUID(int=5)),
        (Decimal, "1.50", Decimal("1.50")),
        (list[int], ["1", 2], [1, 2]),
        (tuple[int, str], [1, "a"], (1, "a")),
        (tuple[int, ...], (1, 2), (1, 2)),
        (set[int], [1, 1], {1}),
        (frozenset[str], {"a"}, frozenset({"a"})),
        (dict[str, float], {"a": "1"}, {"a": 1.0}),
        (dict[int, str], {"1": "a"}, {1: "a"}),
        (Window, {"start": "2013-01-02"}, Window(DAY)),
        (Window, Window(DAY, 3), Window(DAY, 3)),
        (Options, {"n": "3"}, {"n": 3}),
        (Pair, [1, "x"], Pair(1, "x")),
        (
            Settings,
            {"depth": "3", "sizes": ["s"], "window": {"start": "2013-01-02"}},
            Settings(depth=3, sizes=[Size.SMALL], window=Window(DAY)),
        ),
        (list[Settings], [Settings(depth=1)], [Settings(depth=1)]),
        (ANY, {"a": (1, None)}, {"a": [1, None]}),
        (Any, [1.5, "x"], [1.5, "x"]),
    ],
)
def test_values_are_coerced_and_come_back(annotation: Any, value: Any, expected: Any) -> None:
    back = round_trip(annotation, value)
    assert back == expected
    assert type(back) is type(expected)


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (int, 2013.5, "p: expected int, got 2013.5 (float); input should be a valid integer"),
        (int, "abc", "p: expected int, got 'abc' (str); "),
        (int, None, "p: expected int, got None (NoneType); "),
        (str, 5, "p: expected str, got 5 (int); "),
        (bool, "maybe", "p: expected bool, got 'maybe' (str); "),
        (Literal["a", "b"], "c", "got 'c' (str); input should be 'a' or 'b'"),
        (Size, "x", "got 'x' (str); input should be 's' or 'l'"),
        (datetime.date, "2013-13-01", "p: expected date, got '2013-13-01' (str); "),
        (list[int], [1, "x"], "p[1]: expected list[int], got 'x' (str); "),
        (dict[str, int], {"a": "x"}, "p.a: expected dict[str, int], got 'x' (str); "),
        (int | list[int], "x", "valid integer, unable to parse string as an integer; or "),
        (Settings, {"sizes": []}, "p.depth: "),
        (Settings, {"depth": 1, "window": {}}, "p.window."),
        (float, math.nan, "p: expected float, got nan; expected a finite number"),
        (list[float], [math.inf], "expected a finite number, got inf"),
        (ANY, math.nan, "expected a finite number"),
        (ANY, DAY, "expected plain JSON, got an object of type datetime.date"),
        (ANY, {1: 2}, "expected text as key, got 1"),
        (Any, {1, 2}, "got an object of type set"),
        (str, "a\0", "the character NUL"),
        (bytes, b"\xff", "it cannot be written as JSON"),
        (dict[str, Any], {"a": object()}, "it cannot be written as JSON"),
        (dict[str, Any], {"a": math.nan}, "expected a finite number"),
    ],
)
def test_what_does_not_fit_is_told_with_expected_and_got(annotation: Any, value: Any, message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parameters(annotation).to_json({"p": value})
    assert message in caught.value.message
    for problem in caught.value.facts["problems"]:
        assert problem["parameter"] == "p"
        assert set(problem) == {"parameter", "place", "expected", "got", "reason"}
    json.dumps(caught.value.facts)


def test_long_values_are_shortened_in_messages() -> None:
    with pytest.raises(ParameterError) as caught:
        parameters(int).to_json({"p": "x" * 10_000})
    assert len(caught.value.message) < 300


@workflow
def flights(year: int, carriers: list[str] | None = None, size: Size = Size.SMALL, limit=5):  # type: ignore[no-untyped-def]
    return None


def test_declared_parameters() -> None:
    year, carriers, size, limit = flights.graph.parameters
    assert (year.name, year.required, year.annotation, year.schema) == ("year", True, "int", {"type": "integer"})
    assert (carriers.required, carriers.default, carriers.annotation) == (False, None, "list[str] | None")
    assert (size.default, size.schema["enum"]) == ("s", ["s", "l"])
    assert (limit.default, limit.schema, limit.annotation) == (5, {}, "")


def test_defaults_are_filled_in() -> None:
    assert flights.parameters.to_json({"year": "2013"}) == {"year": 2013, "carriers": None, "size": "s", "limit": 5}


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ParameterError) as caught:
        flights.local(yaer=2013, carriers=[1, "UA", 2], size="xl", zebra=1)  # type: ignore[call-arg, list-item, arg-type]
    message = caught.value.message
    assert message.startswith("flights: 6 parameters do not fit.")
    for line in (
        "yaer: unknown parameter; did you mean `year`?",
        "zebra: unknown parameter; there are: year, carriers, size, limit",
        "year: expected int, got nothing; it must be given",
        "carriers[0]: expected list[str] | None, got 1 (int)",
        "carriers[2]: expected list[str] | None, got 2 (int)",
        "size: expected Size, got 'xl' (str)",
    ):
        assert f"\n  {line}" in message
    assert caught.value.exit_code == 2


def test_too_many_or_twice_by_place() -> None:
    with pytest.raises(ParameterError, match=r"expected at most 4 parameters .* got 5 by place"):
        flights.local(2013, None, Size.SMALL, 5, 6)  # type: ignore[call-arg]
    with pytest.raises(ParameterError, match="`year` twice"):
        flights.local(2013, year=2014)  # type: ignore[misc]


def test_none_as_default_makes_a_parameter_optional() -> None:
    @workflow
    def sloppy(year: int = None) -> Any:  # type: ignore[assignment]  # noqa: RUF013
        return year

    assert sloppy.local() is None
    assert sloppy.local(year=3) == 3


def test_a_default_that_does_not_fit_is_refused() -> None:
    @workflow
    def wrong(year: int = "x") -> Any:  # type: ignore[assignment]
        return year

    with pytest.raises(DefinitionError, match=r"Workflow `wrong`: the default .* year: expected int, got 'x' \(str\)"):
        wrong.graph


class Opaque:
    pass


@pytest.mark.parametrize("annotation", [Opaque, pd.DataFrame, list[Opaque], type(lambda: 1)])
def test_a_type_json_cannot_say_is_refused(annotation: Any) -> None:
    with pytest.raises(DefinitionError, match=r"parameter `p` has the type .* which JSON cannot say") as caught:
        parameters(annotation)
    assert "load the object in a node" in caught.value.hint


def test_secrets_are_refused() -> None:
    class Login(pydantic.BaseModel):
        password: pydantic.SecretStr

    for annotation in (pydantic.SecretStr, Login, list[Login]):
        with pytest.raises(DefinitionError, match="is a secret"):
            parameters(annotation)


def test_an_annotation_that_names_nothing_is_refused() -> None:
    def lost(p):  # type: ignore[no-untyped-def]
        return p

    lost.__annotations__["p"] = "Nowhere"
    with pytest.raises(DefinitionError, match=r"Workflow `lost`: the annotations .* name 'Nowhere' is not defined"):
        workflow(lost).graph


@pytest.mark.parametrize("source", ["def w(*years): pass", "def w(**more): pass"])
def test_variadic_parameters_are_refused_at_the_decorator(source: str) -> None:
    scope: dict[str, Any] = {}
    exec(source, scope)
    with pytest.raises(DefinitionError, match=r"Workflow `w` takes `\*+\w+`; expected parameters with names"):
        workflow(scope["w"])


def test_keyword_only_and_positional_only_parameters() -> None:
    @workflow
    def both(a: int, /, b: int = 2, *, c: int = 3) -> Any:
        return [a, b, c]

    assert both.local(1, c=4) == [1, 2, 4]
    assert both.local(a=1) == [1, 2, 3]  # type: ignore[call-arg]


def test_a_worker_loads_the_same_object() -> None:
    adapter = parameter_adapter(Settings)
    as_json = parameters(Settings).to_json({"p": Settings(depth=2)})["p"]
    assert load_parameter(adapter, as_json) == Settings(depth=2)


def test_parameters_are_fresh_for_every_node() -> None:
    from wfplatform import node

    @node
    def spoil(s: Settings) -> int:
        s.depth += 1
        return s.depth

    @workflow
    def twice(s: Settings) -> Any:
        return [spoil(s), spoil(s)]

    assert twice.local(s={"depth": 1}) == [2, 2]  # type: ignore[arg-type]


@given(
    st.dates()
    | st.datetimes(timezones=st.just(datetime.UTC))
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.uuids()
)
def test_scalars_come_back(value: Any) -> None:
    if isinstance(value, Decimal) and value.is_infinite():
        return
    assert round_trip(type(value), value) == value


@given(
    st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"))
)
def test_plain_values_come_back(value: Any) -> None:
    back = parameters(type(value)).from_json(parameters(type(value)).to_json({"p": value}))["p"]
    assert back == value


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "int"), (int | None, "int | None"), (list[Size], "list[Size]"), (Literal["a", 1], "Literal['a', 1]"),
        (dict[str, list[int]], "dict[str, list[int]]"), (Any, "Any"), (tuple[int, ...], "tuple[int, ...]"), (ANY, ""),
        (Annotated[int, pydantic.Field(ge=0)], "int"), (datetime.date, "date"),
    ],
)  # fmt: skip
def test_types_are_written_as_the_user_would(annotation: Any, text: str) -> None:
    assert type_name(annotation) == text


def test_constraints_hold() -> None:
    with pytest.raises(ParameterError, match="greater than or equal to 0"):
        parameters(Annotated[int, pydantic.Field(ge=0)]).to_json({"p": -1})
