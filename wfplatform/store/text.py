"""Text and JSON as PostgreSQL takes them. Users' text may hold NUL or half a surrogate pair, which no PostgreSQL text can.

In prose they are replaced (U+FFFD). Refuses: changing a value; one that JSON cannot say is told apart by None.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["MESSAGE_LIMIT_BYTES", "clean", "clean_json", "cut", "exact_json"]

MESSAGE_LIMIT_BYTES: Final = 16_384
"""A longer log message is cut."""

_REFUSED: Final = re.compile("[\0\ud800-\udfff]")
_MARK: Final = "\N{REPLACEMENT CHARACTER}"
_DEPTH: Final = 40
# Only ASCII: `\u0000` and `\ud800` are fine in the type json as escapes, and come back as they were.
_EXACT: Final = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode


def clean(text: str) -> str:
    """The text with what cannot be stored replaced."""
    return _REFUSED.sub(_MARK, text)


def cut(text: str) -> str:
    """A log message: cleaned, and cut at `MESSAGE_LIMIT_BYTES`."""
    if len(text) * 4 > MESSAGE_LIMIT_BYTES:
        encoded = text[: MESSAGE_LIMIT_BYTES + 1].encode("utf-8", "replace")
        if len(encoded) > MESSAGE_LIMIT_BYTES:
            text = encoded[: MESSAGE_LIMIT_BYTES - 16].decode("utf-8", "ignore") + " ... (cut)"
    return clean(text)


def exact_json(value: Any) -> str | None:
    """A value for a column of type json, without loss (order, `1.0`, escapes); None if JSON cannot say it (NaN, infinities)."""
    try:
        return _EXACT(value)
    except ValueError:
        return None


def clean_json(value: Mapping[str, Any] | None) -> str | None:
    """Facts for people (an error, lengths) for a column of type jsonb: never refused, at the price of being changed."""
    return None if value is None else _EXACT(_clean(value, 0))


def _clean(value: Any, depth: int) -> Any:
    match value:
        case str():
            return clean(value)
        case None | bool():
            return value
        case int():
            return value if abs(value) < 10**300 else str(value)[:100]
        case float():
            return value if math.isfinite(value) else str(value)
        case _ if depth > _DEPTH:
            return "..."
        case Mapping():
            return {clean(str(key)): _clean(item, depth + 1) for key, item in value.items()}
        case list() | tuple():
            return [_clean(item, depth + 1) for item in value]
        case _:
            return clean(repr(value))
