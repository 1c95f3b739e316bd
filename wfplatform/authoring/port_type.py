"""Types of ports as JSON Schema: whether what one port gives can be what another one takes.

Says no only when it is sure: schemas it does not understand fit everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["json_types", "may_fit"]

_ALL: Final = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
_MAX_DEPTH: Final = 16


def json_types(
    schema: Mapping[str, Any], root: Mapping[str, Any] | None = None, depth: int = 0
) -> frozenset[str] | None:
    """The JSON types a schema allows.

    Args:
        schema: a JSON Schema.
        root: the schema its references lead into; None = itself.
        depth: how many references were followed.

    Returns:
        names of types; None if it may be any or cannot be told.
    """
    root = schema if root is None else root
    if depth > _MAX_DEPTH:
        return None
    found: frozenset[str] | None = None
    match schema.get("type"):
        case str(name):
            found = frozenset({name})
        case list(names):
            found = frozenset(name for name in names if isinstance(name, str))
        case _:
            pass
    if "const" in schema:
        found = _narrowed(found, frozenset({_type_of(schema["const"])}))
    if isinstance(schema.get("enum"), list):
        found = _narrowed(found, frozenset(map(_type_of, schema["enum"])))
    for key in ("anyOf", "oneOf"):
        options = schema.get(key)
        if isinstance(options, list) and all(isinstance(option, dict) for option in options):
            each = [json_types(option, root, depth + 1) for option in options]
            known = [types for types in each if types is not None]
            if len(known) == len(each):
                found = _narrowed(found, frozenset().union(*known))
    target = _resolved(schema.get("$ref"), root)
    if target is not None:
        found = _narrowed(found, json_types(target, root, depth + 1))
    return None if found is not None and found >= _ALL else found


def may_fit(given: Mapping[str, Any], taken: Mapping[str, Any]) -> bool:
    """Whether a value of one schema can be valid against another.

    Args:
        given: schema of what comes.
        taken: schema of what is expected.

    Returns:
        False only if no value can be both.
    """
    left, right = json_types(given), json_types(taken)
    if left is None or right is None:
        return True
    common = _widened(left) & _widened(right)
    if not common:
        return False
    if common == {"array"}:
        items = given.get("items"), taken.get("items")
        if isinstance(items[0], dict) and isinstance(items[1], dict):
            return may_fit(items[0], items[1])
    return True


def _widened(types: frozenset[str]) -> frozenset[str]:
    # A number may happen to be whole; and an integer is a number.
    return types | {"integer", "number"} if types & {"integer", "number"} else types


def _narrowed(known: frozenset[str] | None, more: frozenset[str] | None) -> frozenset[str] | None:
    if known is None or more is None:
        return more if known is None else known
    return _widened(known) & _widened(more) & (known | more)


def _resolved(reference: Any, root: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return None
    current: Any = root
    for part in reference[2:].split("/"):
        current = current.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(current, dict) else None
    return current if isinstance(current, dict) else None


def _type_of(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"
