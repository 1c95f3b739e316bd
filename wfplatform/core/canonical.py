"""JSON that is the same bytes everywhere, digests over it, and a strict reader of JSON that strangers wrote.

Refuses what PostgreSQL or another reader would refuse or change: NaN, infinities, NUL, lone surrogates,
repeated keys.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from wfplatform.core.graph import Json
from wfplatform.errors import UserError

__all__ = ["MAX_DEPTH", "JsonProblem", "canonical_json", "digest", "json_problems", "parse_json", "pointer"]

MAX_DEPTH: Final = 64

_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


@dataclass(frozen=True, slots=True)
class JsonProblem:
    """What is wrong with a value, and where.

    Args:
        place: JSON Pointer (RFC 6901) of the offending value; empty = the whole.
        code: stable, snake_case.
        message: one sentence.
    """

    place: str
    code: str
    message: str


def canonical_json(value: Any) -> bytes:
    """The one way to write a JSON value: keys sorted, no spaces, UTF-8, numbers as Python writes them.

    Lossless: `1` and `1.0` stay apart. Tuples are written as lists.

    Args:
        value: plain JSON with text as keys.

    Returns:
        The bytes.

    Raises:
        UserError: `not_json`, with every problem and its place in `facts["problems"]`.
    """
    try:
        return _ENCODER.encode(value).encode()
    except (TypeError, ValueError, RecursionError) as error:  # UnicodeEncodeError is a ValueError
        problems = list(json_problems(value))
        first = f"{problems[0].message} (at {problems[0].place or 'the top'})" if problems else f"{error}."
        raise UserError(
            "not_json",
            f"The value cannot be written as JSON: {first}",
            "Use only None, bool, int, finite float, str, list and dict with text as keys.",
            problems=[_fact(problem) for problem in problems],
        ) from error


def digest(content: bytes) -> str:
    """SHA-256 of some bytes, as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def pointer(*keys: str | int) -> str:
    """A JSON Pointer from keys and indices."""
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)


def json_problems(value: Any, place: str = "", *, max_depth: int = MAX_DEPTH) -> Iterator[JsonProblem]:
    """Everything in a value that is not plain JSON or that a database would refuse.

    Args:
        value: anything.
        place: JSON Pointer of the value itself, put before every place.
        max_depth: deepest nesting of lists and objects allowed.

    Returns:
        The problems, in the order of the value.
    """
    # An own stack instead of recursion: what is judged here may be nested a hundred thousand times.
    stack: list[tuple[Any, str, int]] = [(value, place, 0)]
    while stack:
        current, at, depth = stack.pop()
        match current:
            case None | bool() | int():
                continue
            case str():
                yield from _text_problems(current, at)
            case float():
                if not math.isfinite(current):
                    yield JsonProblem(at, "number_not_finite", f"Expected a finite number, got {current}.")
            case list() | tuple() | dict() if depth >= max_depth:
                yield JsonProblem(at, "nested_too_deep", f"Nested deeper than {max_depth} levels.")
            case list() | tuple():
                stack.extend((item, f"{at}/{index}", depth + 1) for index, item in reversed(list(enumerate(current))))
            case dict():
                for key in current:
                    if not isinstance(key, str):
                        yield JsonProblem(
                            at,
                            "key_not_text",
                            f"Expected text as key, got {key!r} of type {type(key).__name__}.",
                        )
                    else:
                        yield from _text_problems(key, at)
                stack.extend(
                    (item, at + pointer(key), depth + 1)
                    for key, item in reversed(current.items())
                    if isinstance(key, str)
                )
            case _:
                kind = f"{type(current).__module__}.{type(current).__qualname__}".removeprefix("builtins.")
                yield JsonProblem(at, "not_json", f"Expected plain JSON, got an object of type {kind}.")


def parse_json(text: str | bytes, *, max_bytes: int, max_depth: int = MAX_DEPTH) -> Json:
    """Read JSON that may be broken or hostile; its size is judged before it is parsed.

    Args:
        text: JSON; bytes must be UTF-8.
        max_bytes: the largest size allowed, in bytes.
        max_depth: deepest nesting of lists and objects allowed.

    Returns:
        The value.

    Raises:
        UserError: `too_large`, or `not_json` with every problem and its place in `facts["problems"]`.
    """
    # Every character is at least one byte, so a long text needs no encoding to be refused.
    size_bytes = len(text) if isinstance(text, bytes) or len(text) > max_bytes else _encoded_bytes(text)
    if size_bytes > max_bytes:
        raise UserError(
            "too_large",
            f"The document has at least {size_bytes} bytes, at most {max_bytes} are allowed.",
            "Keep data out of the document: store it as a file or an artifact and refer to it.",
            size_bytes=size_bytes,
            max_bytes=max_bytes,
        )
    problems: list[JsonProblem] = []
    value: Any = None
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        value = json.loads(decoded, object_pairs_hook=_Pairs)
    except UnicodeDecodeError as error:
        problems.append(JsonProblem("", "not_utf8", f"The bytes are not UTF-8 (at byte {error.start})."))
    except json.JSONDecodeError as error:
        message = f"Not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        problems.append(JsonProblem("", "syntax", message))
    except RecursionError:
        problems.append(JsonProblem("", "nested_too_deep", f"Nested deeper than {max_depth} levels."))
    except ValueError as error:  # an integer with more digits than Python reads
        problems.append(JsonProblem("", "number_too_long", f"A number cannot be read: {error}."))
    else:
        problems.extend(_repeated_keys(value, max_depth))
        if not any(problem.code == "nested_too_deep" for problem in problems):
            value = _plain(value)
            problems.extend(json_problems(value, max_depth=max_depth))
    if problems:
        lines = [f"{problem.place or 'the top'}: {problem.message}" for problem in problems[:20]]
        raise UserError(
            "not_json",
            "The text is not acceptable JSON.\n" + "\n".join(lines),
            "Write it with an ordinary JSON writer; NaN and infinities have no JSON form, use null.",
            problems=[_fact(problem) for problem in problems],
        )
    return value  # type: ignore[no-any-return]


class _Pairs(list[tuple[str, Any]]):
    """An object as it was written, so that repeated keys can still be seen."""


def _repeated_keys(value: Any, max_depth: int) -> Iterator[JsonProblem]:
    stack: list[tuple[Any, str, int]] = [(value, "", 0)]
    while stack:
        current, at, depth = stack.pop()
        if not isinstance(current, list):
            continue
        if depth >= max_depth:
            yield JsonProblem(at, "nested_too_deep", f"Nested deeper than {max_depth} levels.")
        elif isinstance(current, _Pairs):
            seen: set[str] = set()
            for key, item in current:
                if key in seen:
                    yield JsonProblem(
                        at + pointer(key), "duplicate_key", f"The key {key!r} stands here more than once."
                    )
                seen.add(key)
                stack.append((item, at + pointer(key), depth + 1))
        else:
            stack.extend((item, f"{at}/{index}", depth + 1) for index, item in enumerate(current))


def _plain(value: Any) -> Any:
    if isinstance(value, _Pairs):
        return {key: _plain(item) for key, item in value}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _text_problems(text: str, at: str) -> Iterator[JsonProblem]:
    if "\0" in text:
        yield JsonProblem(at, "nul_character", "The text contains the character NUL, which cannot be stored.")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        yield JsonProblem(at, "lone_surrogate", "The text contains half of a surrogate pair, which is no character.")


def _encoded_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _fact(problem: JsonProblem) -> dict[str, str]:
    return {"place": problem.place, "code": problem.code, "message": problem.message}
