"""Values of a document: inputs and the result as JSON, the forms with `$` and plain values, both ways.

Refuses what looks like one of the forms and is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from wfplatform.authoring.problem import Report, shown
from wfplatform.core.canonical import pointer
from wfplatform.core.graph import (
    DEFAULT_PORT,
    Binding,
    Constant,
    DictOf,
    Json,
    ListOf,
    Literal,
    OutputRef,
    ParameterRef,
    PathStep,
)

__all__ = ["read_value", "write_value"]

_FORMS: Final[Mapping[str, tuple[type, tuple[str, ...]]]] = {
    "$ref": (str, ("port", "path")),
    "$param": (str, ("path",)),
    "$constant": (str, ("preview",)),
    "$list": (list, ()),
    "$tuple": (list, ()),
    "$dict": (dict, ()),
    "$literal": (object, ()),
}


def write_value(binding: Binding) -> Any:
    """A binding as JSON."""
    match binding:
        case Literal(value=value):
            return {"$literal": value} if _looks_special(value) else value
        case Constant(digest=name, preview=preview):
            return {"$constant": name} | ({"preview": preview} if preview else {})
        case ParameterRef(name=name, path=path):
            return {"$param": name} | _path(path)
        case OutputRef(node=name, port=port, path=path):
            return {"$ref": name} | ({"port": port} if port != DEFAULT_PORT else {}) | _path(path)
        case ListOf(items=items, kind=kind):
            return {f"${kind}": [write_value(item) for item in items]}
        case DictOf(items=pairs):
            return {"$dict": {key: write_value(item) for key, item in pairs}}


def _looks_special(value: Json) -> bool:
    """Whether a plain value has a key that starts with `$`, at any depth."""
    stack: list[Json] = [value]
    while stack:
        current = stack.pop()
        if isinstance(current, list):
            stack.extend(current)
        elif isinstance(current, dict):
            if any(key.startswith("$") for key in current):
                return True
            stack.extend(current.values())
    return False


def _path(path: tuple[PathStep, ...]) -> dict[str, Json]:
    steps: list[Json] = [{"attribute": step.key} if step.attribute else step.key for step in path]
    return {"path": steps} if steps else {}


def read_value(value: Any, place: str, report: Report) -> Binding:
    """A binding from JSON.

    Args:
        value: as `write_value` makes it, or any plain value.
        place: JSON Pointer to it.
        report: told of each problem.

    Returns:
        the binding; where something was refused, `Literal(None)`.
    """
    if not isinstance(value, dict) or not any(key.startswith("$") for key in value):
        _report_hidden_forms(value, place, report)
        return Literal(value)
    forms = [key for key in value if key.startswith("$")]
    form = forms[0]
    kind, more = _FORMS.get(form, (None, ()))
    if len(forms) > 1 or kind is None or not isinstance(value[form], kind) or {*value} - {form, *more}:
        message = f"Expected one of {', '.join(_FORMS)} with what belongs to it, got {shown(value)}."
        report(place, "unknown_form", f'{message} A value that looks like this is {{"$literal": value}}.')
        return Literal(None)
    content = value[form]
    match form:
        case "$ref":
            port = _text(value.get("port", DEFAULT_PORT), f"{place}/port", report)
            return OutputRef(content, port, _read_path(value.get("path", []), f"{place}/path", report))
        case "$param":
            return ParameterRef(content, _read_path(value.get("path", []), f"{place}/path", report))
        case "$constant":
            return Constant(content, _text(value.get("preview", ""), f"{place}/preview", report))
        case "$list" | "$tuple":
            items = [read_value(item, f"{place}/{form}/{index}", report) for index, item in enumerate(content)]
            return ListOf(tuple(items), form[1:])
        case "$dict":
            within = f"{place}/$dict"
            return DictOf(
                tuple((key, read_value(item, within + pointer(key), report)) for key, item in content.items())
            )
        case _:
            return Literal(content)


def _report_hidden_forms(value: Any, place: str, report: Report) -> None:
    stack = [(value, place)]
    while stack:
        current, at = stack.pop()
        if isinstance(current, list):
            stack.extend((item, f"{at}/{index}") for index, item in enumerate(current))
        elif isinstance(current, dict):
            forms = [key for key in current if key.startswith("$")]
            if forms:
                message = (
                    f"{forms[0]} inside a plain value has no meaning. Write a list around it as "
                    '{"$list": [...]}, an object as {"$dict": {...}}, or all as {"$literal": ...}.'
                )
                report(at, "hidden_form", message)
            else:
                stack.extend((item, at + pointer(key)) for key, item in current.items())


def _read_path(given: Any, place: str, report: Report) -> tuple[PathStep, ...]:
    if not isinstance(given, list):
        report(place, "wrong_type", f"Expected a list, got {shown(given)}.")
        return ()
    steps: list[PathStep] = []
    for index, item in enumerate(given):
        match item:
            case str() | int() if not isinstance(item, bool):
                steps.append(PathStep(item))
            case {"attribute": str() | int() as key, **rest} if not rest:
                steps.append(PathStep(key, attribute=True))
            case _:
                message = f'Expected a key, an index or {{"attribute": name}}, got {shown(item)}.'
                report(f"{place}/{index}", "path", message)
    return tuple(steps)


def _text(given: Any, place: str, report: Report) -> str:
    if isinstance(given, str):
        return given
    report(place, "wrong_type", f"Expected text, got {shown(given)}.")
    return ""
