"""Policies as JSON objects and back: camelCase, what is default left out, whole numbers without a fraction.

Refuses keys it does not know and values of another kind, each with its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, Final

from wfplatform.authoring.problem import Report, shown
from wfplatform.core.canonical import pointer
from wfplatform.core.graph import Json
from wfplatform.core.policy import (
    MAX_LIMIT,
    Across,
    Breaker,
    Cache,
    Lane,
    Limit,
    OnFailure,
    OnOpen,
    OnSkip,
    OnUnknown,
    Policy,
    Retry,
    WorkflowPolicy,
)
from wfplatform.errors import DefinitionError

__all__ = ["POLICY_SCHEMA", "WORKFLOW_POLICY_SCHEMA", "camel", "plain_number", "read_policy", "write_policy"]


@dataclass(frozen=True, slots=True)
class _Kind:
    """What one field holds: its JSON Schema, the check, and how to make the value of it."""

    schema: Mapping[str, Json]
    expected: str
    fits: Callable[[Any], bool]
    make: Callable[[Any], Any] = lambda value: value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _limit(value: Any) -> Limit | None:
    """A limit as it is written: a pair where it says nothing else."""
    match value:
        case [name, most] if _is_whole(most):
            said = {"name": name, "most": int(most)}
        case {"name": _, "most": most} if _is_whole(most) and value.keys() <= {"name", "most", "across", "key"}:
            said = {**value, "most": int(most)}
        case _:
            return None
    try:
        return Limit(**said)
    except DefinitionError:
        return None


def _breaker(value: Any) -> Breaker | None:
    names = {camel(field.name): field.name for field in fields(Breaker)}
    if not isinstance(value, dict) or "name" not in value or not value.keys() <= names.keys():
        return None
    try:
        return Breaker(**{names[key]: item for key, item in value.items()})
    except DefinitionError:
        return None


def _choice(kind: type[StrEnum]) -> _Kind:
    words: list[Json] = [str(item) for item in kind]
    return _Kind({"enum": words}, f"one of {', '.join(map(str, kind))}", lambda v: v in words, kind)


_SECONDS: Final = _Kind({"type": "number"}, "a number of seconds", _is_number, float)
_NUMBER: Final = _Kind({"type": "number"}, "a number", _is_number, float)
_WHOLE: Final = _Kind({"type": "integer"}, "a whole number", _is_whole, int)
_TEXT: Final = _Kind({"type": "string"}, "text", lambda v: isinstance(v, str))
_FLAG: Final = _Kind({"type": "boolean"}, "true or false", lambda v: isinstance(v, bool))
_WORDS: Final = _Kind({"type": "array", "items": {"type": "string"}}, "a list of texts", _is_words, tuple)
_AMOUNTS: Final = _Kind(
    {"type": "object", "additionalProperties": {"type": "number"}},
    "an object of numbers",
    lambda v: isinstance(v, dict) and all(map(_is_number, v.values())),
    lambda v: {name: float(amount) for name, amount in v.items()},
)
_MOST: Final[dict[str, Json]] = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT}
_LIMIT: Final = _Kind(
    {
        "anyOf": [
            {"type": "array", "prefixItems": [{"type": "string"}, _MOST], "minItems": 2, "maxItems": 2},
            {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "most": _MOST,
                    "across": {"enum": list(map(str, Across))},
                    "key": {"type": "string"},
                },
                "required": ["name", "most"],
                "additionalProperties": False,
            },
        ]
    },
    f"a name and a whole number, 1 to {MAX_LIMIT}: as a list, or as an object that may also have `across` and `key`",
    lambda v: _limit(v) is not None,
    _limit,
)

_BREAKER: Final = _Kind(
    {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "failureShare": {"type": "number"},
            "calls": {"type": "integer", "minimum": 1},
            "windowS": {"type": "number"},
            "openS": {"type": "number"},
            "onOpen": {"enum": list(map(str, OnOpen))},
        },
        "required": ["name"],
        "additionalProperties": False,
    },
    "an object with the name of a circuit breaker, and what it goes by",
    lambda v: _breaker(v) is not None,
    _breaker,
)

_RETRY: Final[Mapping[str, _Kind]] = {
    "attempts": _WHOLE,
    "delay_s": _SECONDS,
    "backoff": _NUMBER,
    "jitter": _NUMBER,
    "max_delay_s": _SECONDS,
    "on": _WORDS,
    "never_on": _WORDS,
}
_CACHE: Final[Mapping[str, _Kind]] = {
    "expires_s": _SECONDS,
    "salt": _TEXT,
    "ignore": _WORDS,
    "packages": _WORDS,
    "variables": _WORDS,
}
_POLICY: Final[Mapping[str, _Kind | tuple[type, Mapping[str, _Kind]]]] = {
    "retry": (Retry, _RETRY),
    "timeout_s": _SECONDS,
    "cache": (Cache, _CACHE),
    "lane": _choice(Lane),
    "resources": _AMOUNTS,
    "priority": _WHOLE,
    "limit": _LIMIT,
    "breaker": _BREAKER,
    "on_failure": _choice(OnFailure),
    "on_skip": _choice(OnSkip),
    "effect": _FLAG,
    "on_unknown": _choice(OnUnknown),
    "tags": _WORDS,
}
_WORKFLOW_POLICY: Final[Mapping[str, _Kind]] = {
    "timeout_s": _SECONDS,
    "priority": _WHOLE,
    "max_executions": _WHOLE,
    "late_after_s": _SECONDS,
    "tags": _WORDS,
}
_FIELDS: Final[Mapping[type, Mapping[str, Any]]] = {
    Policy: _POLICY,
    WorkflowPolicy: _WORKFLOW_POLICY,
    Retry: _RETRY,
    Cache: _CACHE,
}


def camel(name: str) -> str:
    """`max_delay_s` as `maxDelayS`."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def plain_number(value: float) -> int | float:
    """A float without a fraction as int: JavaScript would write it so, and the digest must not change."""
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def write_policy(policy: Policy | WorkflowPolicy | Retry | Cache) -> dict[str, Json]:
    """A policy as JSON; what is default is left out."""
    plain = type(policy)()
    return {
        camel(field.name): _written(value)
        for field in fields(policy)
        if (value := getattr(policy, field.name)) != getattr(plain, field.name)
    }


def read_policy[T: (Policy, WorkflowPolicy, Retry, Cache)](kind: type[T], given: Any, place: str, report: Report) -> T:
    """A policy from JSON.

    Args:
        kind: the class to make.
        given: an object as `write_policy` makes it.
        place: JSON Pointer to it.
        report: told of each problem.

    Returns:
        the policy; with defaults in place of what was refused.
    """
    known = _FIELDS[kind]
    names = {camel(name): name for name in known}
    if not isinstance(given, dict):
        report(place, "wrong_type", f"Expected an object, got {shown(given)}.")
        return kind()
    values: dict[str, Any] = {}
    for key, value in given.items():
        at = place + pointer(key)
        if key not in names:
            close = get_close_matches(key, names, n=1)
            meant = f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(names)}."
            report(at, "unknown_key", f"Nothing is called {key!r} here{meant}")
            continue
        name, field = names[key], known[names[key]]
        if value is None and getattr(kind(), name) is None:
            values[name] = None
        elif isinstance(field, tuple):
            values[name] = read_policy(field[0], value, at, report)
        elif field.fits(value):
            values[name] = field.make(value)
        else:
            report(at, "wrong_type", f"Expected {field.expected}, got {shown(value)}.")
    try:
        return kind(**values)
    except DefinitionError as error:  # the limits of values are the policy's own
        report(place, error.code, error.message)
        return kind()


def _written(value: Any) -> Json:
    said: dict[str, Json]
    match value:
        case Policy() | WorkflowPolicy() | Retry() | Cache():
            return write_policy(value)
        case Breaker(name):
            usual = Breaker(name)
            said = {"name": name}
            for field in fields(value):
                if getattr(value, field.name) != getattr(usual, field.name):
                    said[camel(field.name)] = _written(getattr(value, field.name))
            return said
        case Limit(name, most) if value.is_own:
            return [name, most]
        case Limit(name, most, across, key):
            said = {"name": name, "most": most}
            said |= {} if across is Across.EXECUTION else {"across": str(across)}
            return said if key is None else {**said, "key": key}
        case float():
            return plain_number(value)
        case StrEnum():
            return str(value)
        case tuple():
            return [_written(item) for item in value]
        case Mapping():
            return {str(key): _written(item) for key, item in value.items()}
        case _:
            return value  # type: ignore[no-any-return]  # text, a whole number, a flag or None


def _schema(kinds: Mapping[str, Any]) -> dict[str, Json]:
    properties: dict[str, Json] = {}
    for name, kind in kinds.items():
        properties[camel(name)] = _schema(kind[1]) if isinstance(kind, tuple) else dict(kind.schema)
    return {"type": "object", "properties": properties, "additionalProperties": False}


POLICY_SCHEMA: Final = _schema(_POLICY)
WORKFLOW_POLICY_SCHEMA: Final = _schema(_WORKFLOW_POLICY)
