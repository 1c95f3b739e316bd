"""Plain data as JSON, on the hot path: a scalar or a small list or dict costs about a microsecond.

Takes only what reads back with exactly the same types: None, bool, int, finite float, text, lists, and dicts
with text as keys. Refuses (by None, never by an error) tuples, subclasses, enums, NaN, half surrogate pairs
and deep nesting.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from json import encoder as json_encoder
from math import isfinite
from typing import Any, Final

from wfplatform.core.canonical import MAX_DEPTH

__all__ = ["Plain", "decode", "encode"]

type Plain = tuple[bytes, bool, Callable[[Any], Any] | None]
"""The bytes; whether every integer fits 64 bits, as msgpack wants it; how to copy the value, None = it is fixed."""

MAX_CONTAINERS: Final = 1_000_000
"""More lists and dicts are no JSON: one list may stand in another a thousand times, and that one again."""

_INT64: Final = 1 << 63
_DIGITS: Final = bytes(48 if 48 <= byte < 58 else 32 for byte in range(256))
_LONG: Final = b"0" * 19


def _encoder() -> Callable[[Any], str]:
    # JSONEncoder.encode builds this C encoder anew at each call, which costs more than small values do.
    fast = json_encoder.c_make_encoder  # type: ignore[attr-defined]
    if fast is None:  # an interpreter without the C accelerator
        return json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
    chunks = fast(None, None, json_encoder.encode_basestring, None, ":", ",", False, False, False)
    join = "".join
    return lambda value: join(chunks(value, 0))


_encode_json: Final = _encoder()
_quote: Final[Callable[[str], str]] = json_encoder.encode_basestring


class _NotPlainError(Exception):
    """The value holds something JSON would change."""


def encode(value: object) -> Plain | None:
    """Write plain data as compact UTF-8 JSON.

    Args:
        value: anything.

    Returns:
        The bytes with what is known of them, or None when the value is not plain data.
    """
    form = _FORM.get(type(value))
    return None if form is None else form(value)


def decode(body: Any) -> Any:
    """Read JSON that `encode` wrote.

    Args:
        body: bytes-like.

    Returns:
        The value, made anew.
    """
    return json.loads(str(body, "utf-8"))


def _none(_: None) -> Plain:
    return b"null", True, None


def _bool(value: bool) -> Plain:
    return (b"true" if value else b"false"), True, None


def _int(value: int) -> Plain | None:
    if -_INT64 <= value < _INT64:
        return b"%d" % value, True, None
    try:
        return b"%d" % value, False, None
    except ValueError:  # more digits than Python reads back
        return None


def _float(value: float) -> Plain | None:
    if not isfinite(value):
        return None
    return repr(value).encode(), True, None


def _str(value: str) -> Plain | None:
    try:
        return _quote(value).encode(), True, None
    except UnicodeEncodeError:
        return None


def _list(value: list[Any]) -> Plain | None:
    return _container(value, list.copy if _ATOMS.issuperset(map(type, value)) else _copy)


def _dict(value: dict[Any, Any]) -> Plain | None:
    flat = _ATOMS.issuperset(map(type, value.values())) and _TEXT.issuperset(map(type, value))
    return _container(value, dict.copy if flat else _copy)


def _container(value: Any, copy: Callable[[Any], Any]) -> Plain | None:
    try:
        if copy is _copy:
            _Walk().check(value, 1)
        body = _encode_json(value).encode()
    except (_NotPlainError, ValueError, TypeError, RecursionError):  # UnicodeEncodeError is a ValueError
        return None
    # Nineteen digits in a row may be an integer of more than 64 bits, or a part of another number, or text.
    return body, len(body) < len(_LONG) or body.translate(_DIGITS).find(_LONG) < 0, copy


def _copy(value: Any) -> Any:
    if type(value) is dict:
        return {key: _copy(item) if type(item) in _NESTING else item for key, item in value.items()}
    return [_copy(item) if type(item) in _NESTING else item for item in value]


class _Walk:
    """One look through nested data."""

    __slots__ = ("_containers",)

    def __init__(self) -> None:
        self._containers = 0

    def check(self, value: Any, depth: int) -> None:
        """Look at every type, and at the depth."""
        self._containers += 1
        if depth > MAX_DEPTH or self._containers > MAX_CONTAINERS:
            raise _NotPlainError
        items = value
        if type(value) is dict:
            if not _TEXT.issuperset(map(type, value)):
                raise _NotPlainError
            items = value.values()
        if _ATOMS.issuperset(map(type, items)):
            return
        for item in items:
            kind = type(item)
            if kind in _NESTING:
                self.check(item, depth + 1)
            elif kind not in _ATOMS:
                raise _NotPlainError


_ATOMS: Final = frozenset({type(None), bool, int, float, str})
_TEXT: Final = frozenset({str})
_NESTING: Final = frozenset({list, dict})
_FORM: Final[dict[type, Callable[[Any], Plain | None]]] = {
    type(None): _none,
    bool: _bool,
    int: _int,
    float: _float,
    str: _str,
    list: _list,
    dict: _dict,
}
