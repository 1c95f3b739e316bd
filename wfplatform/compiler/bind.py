"""Parameters of one run against what the workflow declares: defaults filled in, values checked by schema.

Knows no user types: those are built on the worker. Refuses all that does not fit, all at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import jsonschema  # type: ignore[import-untyped]
from pydantic_core import SchemaError, SchemaValidator, ValidationError, core_schema
from referencing import Registry

from wfplatform.authoring.port_type import json_types
from wfplatform.core.canonical import canonical_json, json_problems, parse_json, pointer
from wfplatform.core.graph import Json, Parameter
from wfplatform.errors import DefinitionError, ParameterError, UserError

__all__ = ["bind"]

_SHOWN: Final = 80
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,400}")
_NUMBER: Final = re.compile(r"[+-]?([0-9]{1,400}(\.[0-9]*)?|\.[0-9]{1,400})([eE][+-]?[0-9]{1,4})?")
_DURATION: Final = re.compile(r"[+-]?P(?!$)(\d+Y)?(\d+M)?(\d+W)?(\d+(\.\d+)?D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?")
_WORDS: Final[Mapping[str, bool]] = {"true": True, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Problem:
    parameter: str
    place: str
    expected: str
    got: str
    message: str

    @property
    def fact(self) -> dict[str, str]:
        return {
            "parameter": self.parameter,
            "place": self.place,
            "expected": self.expected,
            "got": self.got,
            "message": self.message,
        }


def bind(parameters: tuple[Parameter, ...], given: Mapping[str, Json]) -> dict[str, Json]:
    """What a run really gets.

    Text is taken for a number or a truth value where only that fits: it may come from a command line.

    Args:
        parameters: what the workflow declares.
        given: name -> plain JSON.

    Returns:
        all parameters in the order of their declaration.

    Raises:
        ParameterError: `invalid_parameters`; `facts["problems"]` has `parameter`, `place` (JSON Pointer in
            its value), `expected`, `got` and `message` of each.
        DefinitionError: `parameter_schema`; the schema of a parameter is none.
    """
    declared = {parameter.name: parameter for parameter in parameters}
    problems = [_unknown(name, declared) for name in given if name not in declared]
    bound: dict[str, Json] = {}
    for name, parameter in declared.items():
        if name in given:
            value = _coerced(given[name], parameter.schema)
            problems.extend(_misfits(parameter, value))
            bound[name] = value
        elif parameter.required:
            expected = _expected(parameter.schema)
            message = f"Parameter {name!r} is missing; expected {expected}."
            problems.append(_Problem(parameter=name, place="", expected=expected, got="nothing", message=message))
        else:
            bound[name] = parameter.default
    if problems:
        raise ParameterError(
            "invalid_parameters",
            "\n".join(problem.message for problem in problems),
            f"The parameters are: {', '.join(map(_signature, parameters)) or 'none'}.",
            problems=[problem.fact for problem in problems],
        )
    return bound


def _unknown(name: str, declared: Mapping[str, Parameter]) -> _Problem:
    close = get_close_matches(name, declared, n=1)
    meant = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(declared) or 'none'}."
    message = f"There is no parameter {name!r}; {meant}"
    return _Problem(parameter=name, place="", expected="no such parameter", got=name, message=message)


def _coerced(value: Json, schema: Mapping[str, Json]) -> Json:
    types = json_types(schema)
    if types is None:
        return value
    if isinstance(value, str) and "string" not in types:
        text = value.strip()
        if "integer" in types and _WHOLE.fullmatch(text):
            return int(text)
        if "number" in types and _NUMBER.fullmatch(text):
            return float(text)
        if "boolean" in types and text.lower() in _WORDS:
            return _WORDS[text.lower()]
        if "null" in types and text.lower() in ("null", "none", ""):
            return None
        if types & {"array", "object"} and text[:1] in ("[", "{"):
            return _from_text(value)
    if isinstance(value, float) and "number" not in types and "integer" in types and value.is_integer():
        return int(value)  # JavaScript has no whole numbers
    return value


def _from_text(text: str) -> Json:
    try:
        return parse_json(text, max_bytes=len(text) * 4)
    except UserError:  # then it is not what was meant, and the schema says so
        return text


def _misfits(parameter: Parameter, value: Json) -> Iterator[_Problem]:
    name = parameter.name
    unstorable = list(json_problems(value))
    for problem in unstorable:
        message = f"Parameter {name!r}{_at(problem.place)}: {problem.message}"
        yield _Problem(parameter=name, place=problem.place, expected="plain JSON", got=problem.code, message=message)
    if unstorable:
        return
    validator = _validator(canonical_json(dict(parameter.schema)))
    try:
        errors = sorted(validator.iter_errors(value), key=lambda error: list(map(str, error.absolute_path)))
    except Exception as error:  # a schema that is none makes the validator fail in many ways
        raise DefinitionError(
            "parameter_schema",
            f"The JSON Schema of parameter {name!r} cannot be used: {error}.",
            "Mend the schema of the parameter, and publish the workflow again.",
            parameter=name,
        ) from error
    for failed in errors:
        place = pointer(*failed.absolute_path)
        expected = _expectation(failed)
        got = _shown(failed.instance)
        message = f"Parameter {name!r}{_at(place)}: expected {expected}, got {got}."
        yield _Problem(parameter=name, place=place, expected=expected, got=got, message=message)


@lru_cache(maxsize=1024)
def _validator(schema: bytes) -> Any:
    # The registry is empty on purpose: a reference to another document must never be fetched.
    return _Validator(parse_json(schema, max_bytes=len(schema)), registry=Registry(), format_checker=_FORMATS)


def _matches(pattern: str, text: str) -> bool:
    """Whether a pattern is found, in time that grows with the text only: both may come from strangers."""
    searched = _pattern(pattern)
    if searched is None:
        return True  # with look-around, say; the worker builds the value and judges it
    try:
        searched.validate_python(text)
    except ValidationError:
        return False
    return True


@lru_cache(maxsize=256)
def _pattern(pattern: str) -> SchemaValidator | None:
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern))  # Rust's regular expressions
    except SchemaError:
        return None


def _check_pattern(validator: Any, pattern: Any, text: Any, schema: Any) -> Iterator[Any]:
    if isinstance(text, str) and not _matches(pattern, text):
        yield jsonschema.ValidationError("pattern")


def _check_pattern_properties(validator: Any, patterns: Any, value: Any, schema: Any) -> Iterator[Any]:
    for pattern, inner in patterns.items() if isinstance(value, dict) else ():
        for key, item in value.items():
            if _matches(pattern, key):
                yield from validator.descend(item, inner, path=key, schema_path=pattern)


def _check_additional(validator: Any, inner: Any, value: Any, schema: Any) -> Iterator[Any]:
    patterns = schema.get("patternProperties", {})
    for key, item in value.items() if isinstance(value, dict) else ():
        if key in schema.get("properties", {}) or any(_matches(pattern, key) for pattern in patterns):
            continue
        if isinstance(inner, dict):
            yield from validator.descend(item, inner, path=key)
        elif inner is False:
            yield jsonschema.ValidationError("additionalProperties")


_Validator: Final = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    {
        "pattern": _check_pattern,
        "patternProperties": _check_pattern_properties,
        "additionalProperties": _check_additional,
    },
)


def _expectation(error: Any) -> str:
    """What one failed keyword of a schema asks for, in words."""
    wanted = error.validator_value
    match error.validator:
        case "type" | "$ref" | "anyOf" | "oneOf" | "enum" | "const":
            return _expected(error.schema)
        case "required":
            missing = [key for key in wanted if key not in error.instance]
            return f"an object with {', '.join(map(repr, missing))}"
        case "additionalProperties":
            known = ", ".join(map(repr, error.schema.get("properties", {})))
            return f"an object with no other keys than {known or 'none'}"
        case "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum" | "multipleOf":
            words = {
                "minimum": "at least",
                "exclusiveMinimum": "more than",
                "maximum": "at most",
                "exclusiveMaximum": "less than",
                "multipleOf": "a multiple of",
            }
            return f"{words[error.validator]} {wanted}"
        case "minLength" | "minItems":
            return f"a length of at least {wanted}"
        case "maxLength" | "maxItems":
            return f"a length of at most {wanted}"
        case "format":
            return _FORMAT_WORDS.get(wanted, f"the format {wanted!r}")
        case "uniqueItems":
            return "no item twice"
        case other:
            return f"{other} {_shown(wanted)}"


def _expected(schema: Mapping[str, Any]) -> str:
    """A schema in words."""
    if "const" in schema:
        return _shown(schema["const"])
    if isinstance(schema.get("enum"), list):
        return "one of " + ", ".join(map(_shown, schema["enum"]))
    form = schema.get("format")
    if schema.get("type") == "string" and isinstance(form, str) and form in _FORMAT_WORDS:
        return _FORMAT_WORDS[form]
    options = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(options, list):
        return " or ".join(dict.fromkeys(_expected(option) for option in options if isinstance(option, dict)))
    types = json_types(schema)
    return " or ".join(_TYPE_WORDS.get(name, name) for name in sorted(types)) if types else "any value"


_TYPE_WORDS: Final[Mapping[str, str]] = {
    "null": "null",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "array": "a list",
    "object": "an object",
}

_FORMAT_WORDS: Final[Mapping[str, str]] = {
    "date": "a date such as 2013-01-31",
    "date-time": "a date with time such as 2013-01-31T08:00:00Z",
    "time": "a time such as 08:00:00",
    "duration": "a duration such as PT1H30M",
    "uuid": "a UUID",
}


def _formats() -> jsonschema.FormatChecker:
    checker = jsonschema.FormatChecker(formats=())

    def check(form: str, read: Any) -> None:
        def fits(value: object) -> bool:
            return not isinstance(value, str) or bool(read(value))

        checker.checks(form, raises=ValueError)(fits)

    check("date", lambda text: date.fromisoformat(text) is not None)
    check("date-time", lambda text: datetime.fromisoformat(text) is not None)
    check("time", lambda text: time.fromisoformat(text) is not None)
    check("duration", _DURATION.fullmatch)
    check("uuid", lambda text: UUID(text) is not None)
    return checker


_FORMATS: Final = _formats()


def _signature(parameter: Parameter) -> str:
    kind = parameter.annotation or _expected(parameter.schema)
    return f"{parameter.name}: {kind}" + ("" if parameter.required else f" = {_shown(parameter.default)}")


def _at(place: str) -> str:
    return f" at {place}" if place else ""


def _shown(value: Any) -> str:
    text = canonical_json(value).decode()
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
