"""From the values in a workflow function to bindings: what JSON can say is written out, the rest travels as
pickled constants.

Refuses what cannot travel (open files, locks, connections, generators), naming node, port and reason.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import math
import pathlib
import reprlib
import uuid
from collections.abc import Sequence
from typing import Final

from wfplatform.authoring.output import Each, Outputs, Reference, Unmapped, ref_of
from wfplatform.authoring.trace import Trace
from wfplatform.core.canonical import MAX_DEPTH, canonical_json, digest
from wfplatform.core.graph import Binding, Constant, DictOf, ListOf, Literal
from wfplatform.errors import DefinitionError, TravelError

__all__ = [
    "MAX_CONSTANT_BYTES",
    "MAX_INLINE_BYTES",
    "bind_items",
    "bind_value",
    "holds_references",
    "is_plain_json",
]

MAX_INLINE_BYTES: Final = 64 * 1024
"""A larger literal travels as a constant, so that documents stay small; except a list that is mapped over."""

MAX_CONSTANT_BYTES: Final = 32 * 1024 * 1024

_SAFE_INTEGER: Final = 2**53 - 1
"""Larger whole numbers are changed by JavaScript, and the canvas reads and writes definitions."""

_SHOWN: Final = (
    *(str, bytes, int, float, complex, uuid.UUID, decimal.Decimal, pathlib.PurePath),
    *(datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo),
)


def bind_value(trace: Trace, value: object, place: str) -> Binding:
    """A value as the input of a node, or as the result of a workflow.

    Args:
        trace: the workflow function that is being drawn.
        value: outputs, parameters, plain values, or lists, tuples and dicts with any of these inside.
        place: where it is used, for messages: "node `load`, input `path`".

    Returns:
        Its binding; the bytes of constants are kept in the trace.

    Raises:
        DefinitionError: an output of another workflow, or a marker of `.map`, stands in it.
        TravelError: it cannot leave this process.
    """
    match value:
        case Reference():
            trace.own(value)
            return ref_of(value)
        case Outputs():
            names = ", ".join(f"out.{port}" for port in value._wf_parts)
            raise DefinitionError(
                "several_outputs",
                f"{place}: `{value._wf_node}` has several outputs, so it is not clear what is to be handed over.",
                f"Name one of them ({names}), or put them into a list or dict.",
            )
        case Unmapped() | Each():
            mark = "unmapped" if isinstance(value, Unmapped) else "each"
            raise DefinitionError(
                "map_marks",
                f"{place}: {mark}(...) says how to map and has no meaning here.",
                "Use it inside f.map(...).",
            )
        case _:
            pass
    if is_plain_json(value) and (isinstance(value, int) or len(canonical_json(value)) <= MAX_INLINE_BYTES):
        return Literal(value)  # type: ignore[arg-type]
    if _is_structure(value):
        if isinstance(value, dict):
            return DictOf(tuple((_key(k, place), bind_value(trace, v, f"{place}[{k!r}]")) for k, v in value.items()))
        return bind_items(trace, value, place, kind=type(value).__name__)  # type: ignore[arg-type]
    return _constant(trace, value, place)


def bind_items(trace: Trace, items: Sequence[object], place: str, *, kind: str = "list") -> Binding:
    """A list or tuple, item by item, so that its length stands in the definition."""
    if kind == "list" and is_plain_json(items):
        return Literal(items)  # type: ignore[arg-type]
    return ListOf(tuple(bind_value(trace, v, f"{place}[{i}]") for i, v in enumerate(items)), kind)


def is_plain_json(value: object, depth: int = 0) -> bool:
    """Whether JSON, PostgreSQL and JavaScript give the value back as it is. Subclasses (enums, NumPy
    numbers) are not.
    """
    kind = type(value)
    if value is None or kind is bool:
        return True
    if kind is int:
        return -_SAFE_INTEGER <= value <= _SAFE_INTEGER  # type: ignore[operator]
    if kind is float:
        return math.isfinite(value)  # type: ignore[arg-type]
    if isinstance(value, str) and kind is str:
        return "\0" not in value and (value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value))
    if depth >= MAX_DEPTH // 2:  # half: the document around it needs some of the depth
        return False
    if isinstance(value, list) and kind is list:
        return all(is_plain_json(item, depth + 1) for item in value)
    if isinstance(value, dict) and kind is dict:
        return all(
            type(key) is str and is_plain_json(key) and is_plain_json(item, depth + 1) for key, item in value.items()
        )
    return False


def _is_structure(value: object) -> bool:
    """Whether the parts of a container are bound one by one: there are outputs among them, or it is a tuple
    of plain values.
    """
    if type(value) is tuple and all(is_plain_json(item) for item in value):
        return len(canonical_json(value)) <= MAX_INLINE_BYTES
    return type(value) in (list, tuple, dict) and holds_references(value)


def holds_references(value: object, above: frozenset[int] = frozenset()) -> bool:
    """Whether there is an output or a parameter in a value, or in the plain lists, tuples and dicts in it."""
    if isinstance(value, (Reference, Outputs, Unmapped, Each)):
        return True
    if type(value) not in (list, tuple, dict) or id(value) in above:
        return False
    inside = above | {id(value)}
    items = value.values() if isinstance(value, dict) else value
    return any(holds_references(item, inside) for item in items)  # type: ignore[attr-defined]


def _key(key: object, place: str) -> str:
    if type(key) is not str:
        raise DefinitionError(
            "dict_key",
            f"{place}: a dict with outputs in it needs text as keys, got {key!r} ({type(key).__name__}).",
            "Use text, or build the dict in a node.",
        )
    return key


def _constant(trace: Trace, value: object, place: str) -> Constant:
    # Most workflows have no constants, and whoever only imports them does not wait for what packs code.
    from wfplatform.authoring.function_digest import Unanalysable, fingerprint  # noqa: PLC0415
    from wfplatform.authoring.travel import dump_constant  # noqa: PLC0415

    try:
        content = dump_constant(value, place[:1].upper() + place[1:])
    except TravelError as error:
        if isinstance(error.__cause__, DefinitionError):  # an output inside a user's object says so itself
            found = error.__cause__
            raise DefinitionError(found.code, f"{place}: {found.message}", found.hint) from None
        raise
    if len(content) > MAX_CONSTANT_BYTES:
        raise TravelError(
            "value_too_large",
            f"{place}: a value of type {type(value).__qualname__} is {len(content)} bytes pickled; a "
            "definition carries at "
            f"most {MAX_CONSTANT_BYTES} bytes each.",
            "Read the data in a node, and hand over its path.",
            size_bytes=len(content),
        )
    try:
        key = fingerprint(value)  # equal in every process, which pickles of sets and of classes are not
    except Unanalysable:
        key = digest(content)
    trace.constants[key] = content
    return Constant(key, _preview(value))


def _preview(value: object) -> str:
    # Only of types whose repr is short and the same in every process: it stands in the document.
    kind = type(value).__qualname__
    if isinstance(value, enum.Enum):
        return f"{kind}.{value.name}"
    if isinstance(value, _SHOWN):
        return reprlib.repr(value)
    size = f" of {len(value)}" if isinstance(value, (list, tuple, dict, set, frozenset)) else ""
    return f"{kind}{size}"
