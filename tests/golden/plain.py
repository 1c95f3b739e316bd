"""The data of the state machine as compact JSON and back: by the names of classes and fields, whatever else a release adds.

A list that begins with `@Outcome` is one, its values in the order of the fields that stand beside the histories; `@state:failed`
is a member of an enumeration. Refuses fields and classes that the present release does not know.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from wfplatform.core import event, execution, hook, ports

__all__ = ["Fields", "UnknownError", "known", "plain", "read"]

type Fields = dict[str, list[str]]
"""Class -> its fields, as they were when it was recorded."""

_AT, _ID, _TEXT, _KEYS = "@at:", "@id:", "@text:", "@keys"


class UnknownError(AssertionError):
    """Something was recorded that the present release has no place for."""


def known() -> dict[str, Any]:
    """The classes by their names."""
    return {
        name: value
        for module in (execution, event, hook, ports)
        for name, value in vars(module).items()
        if isinstance(value, type) and (_fields(value) is not None or issubclass(value, StrEnum))
    }


def plain(value: Any, fields: Fields) -> Any:
    """A value as JSON; the fields of the classes in it are noted."""
    match value:
        case StrEnum():
            return f"@{type(value).__name__}:{value}"
        case None | bool() | int() | float():
            return value
        case str():
            return f"{_TEXT}{value}" if value.startswith("@") else value
        case datetime():
            return f"{_AT}{value.isoformat()}"
        case UUID():
            return f"{_ID}{value.hex}"
        case Mapping():
            if all(isinstance(key, str) for key in value):
                # Tracebacks name the folder of who recorded it, and nothing is decided by them.
                return {key: "" if key == "traceback" else plain(item, fields) for key, item in value.items()}
            return [_KEYS, *([plain(key, fields), plain(item, fields)] for key, item in value.items())]
    kind = type(value)
    names = _fields(kind)
    if names is not None:
        fields.setdefault(kind.__name__, list(names))
        return [f"@{kind.__name__}", *(plain(getattr(value, name), fields) for name in names)]
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [plain(item, fields) for item in value]
    raise TypeError(f"no JSON for {kind}")


def read(value: Any, fields: Fields) -> Any:
    """What was written by `plain`. Sequences come as tuples; fields that came after it was recorded have their defaults.

    Raises:
        UnknownError: a class or a field is gone, or a new field has no default.
    """
    match value:
        case str() if value.startswith("@"):
            return _word(value)
        case dict():
            return {key: read(item, fields) for key, item in value.items()}
        case [str() as first, *rest] if first.startswith("@") and ":" not in first:
            if first == _KEYS:
                return {read(key, fields): read(item, fields) for key, item in rest}
            return _made(first[1:], [read(item, fields) for item in rest], fields)
        case list():
            return tuple(read(item, fields) for item in value)
        case _:
            return value


def _word(text: str) -> Any:
    if text.startswith(_TEXT):
        return text.removeprefix(_TEXT)
    if text.startswith(_AT):
        return datetime.fromisoformat(text.removeprefix(_AT))
    if text.startswith(_ID):
        return UUID(text.removeprefix(_ID))
    name, _, member = text[1:].partition(":")
    try:
        return known()[name](member)
    except (KeyError, ValueError):
        raise UnknownError(f"This release knows no {name} called {member!r}.") from None


def _made(name: str, values: list[Any], fields: Fields) -> Any:
    kind = known().get(name)
    if kind is None:
        raise UnknownError(f"This release knows no {name}.")
    given = dict(zip(fields[name], values, strict=True))
    gone = sorted(set(given) - set(_fields(kind) or ()))
    if gone:
        raise UnknownError(f"{name} has no {' and no '.join(gone)} in this release.")
    try:
        return kind(**given)
    except TypeError as error:
        raise UnknownError(f"{name} cannot be made of what was recorded of it: {error}") from None


def _fields(kind: type) -> Sequence[str] | None:
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind) if field.init]
    return getattr(kind, "_fields", None)
