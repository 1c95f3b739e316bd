"""JSON Schema (2020-12) of workflow documents, for editors and other programs.

Says the form only; `validation` says the rest.
"""

from __future__ import annotations

from typing import Any, Final

from wfplatform.authoring.document_hook import HOOKS_SCHEMA
from wfplatform.authoring.document_policy import POLICY_SCHEMA, WORKFLOW_POLICY_SCHEMA
from wfplatform.core.unwinds import UnwindOccasion

__all__ = ["document_schema"]

_TEXT: Final[dict[str, Any]] = {"type": "string"}
_TEXTS: Final[dict[str, Any]] = {"type": "array", "items": _TEXT}
_PATH: Final[dict[str, Any]] = {
    "type": "array",
    "items": {
        "anyOf": [
            {"type": ["string", "integer"]},
            {
                "type": "object",
                "properties": {"attribute": {"type": ["string", "integer"]}},
                "required": ["attribute"],
                "additionalProperties": False,
            },
        ]
    },
}


def document_schema() -> dict[str, Any]:
    """The schema every written document fits.

    Returns:
        a new dict.
    """
    value = {"$ref": "#/$defs/value"}
    position = _object({"x": {"type": "number"}, "y": {"type": "number"}}, required=["x", "y"], closed=False)
    guard = _object({"node": _TEXT, "verdict": {"type": "boolean"}}, required=["node", "verdict"])
    occasions = {"enum": [str(one) for one in UnwindOccasion]}
    unwinds = _object({"node": _TEXT, "occasion": occasions}, required=["node", "occasion"])
    data = _object(
        {
            "label": _TEXT,
            "inputs": {"type": "object", "additionalProperties": value},
            "order": _TEXTS,
            "over": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}},
            "outputs": {**_TEXTS, "uniqueItems": True},
            "after": _TEXTS,
            "guard": {"anyOf": [guard, {"type": "null"}]},
            "unwinds": {"anyOf": [unwinds, {"type": "null"}]},
            "config": {"type": "object"},
            "policy": POLICY_SCHEMA,
            "notes": _TEXT,
            "autoPosition": {"type": "boolean"},
        }
    )
    node = _object(
        {
            "id": {"type": "string", "pattern": r"^[\w-]{1,200}$"},
            "type": _TEXT,
            "data": data,
            "position": position,
        },
        required=["id", "type"],
        closed=False,
    )
    edge = _object(
        {
            "id": _TEXT,
            "type": _TEXT,
            "source": _TEXT,
            "target": _TEXT,
            "sourceHandle": {"type": ["string", "null"]},
            "targetHandle": {"type": ["string", "null"]},
        },
        required=["source", "target"],
        closed=False,
    )
    parameter = _object(
        {
            "name": {"type": "string", "minLength": 1},
            "schema": {"type": "object"},
            "required": {"type": "boolean"},
            "default": True,
            "annotation": _TEXT,
        },
        required=["name"],
    )
    top = _object(
        {
            "$schema": _TEXT,
            "schemaVersion": {"const": 1},
            "name": {"type": "string", "minLength": 1},
            "description": _TEXT,
            "parameters": {"type": "array", "items": parameter},
            "policy": WORKFLOW_POLICY_SCHEMA,
            "hooks": HOOKS_SCHEMA,
            "nodes": {"type": "array", "items": node, "maxItems": 10_000},
            "edges": {"type": "array", "items": edge},
            "result": value,
        },
        required=["schemaVersion", "name", "nodes"],
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Workflow",
        **top,
        "$defs": {"value": _value()},
    }


def _value() -> dict[str, Any]:
    """A binding: one of the forms with `$`, else a plain value."""
    nested = {"$ref": "#/$defs/value"}
    forms = [
        _object({"$ref": _TEXT, "port": _TEXT, "path": _PATH}, required=["$ref"]),
        _object({"$param": _TEXT, "path": _PATH}, required=["$param"]),
        _object({"$constant": _TEXT, "preview": _TEXT}, required=["$constant"]),
        _object({"$list": {"type": "array", "items": nested}}, required=["$list"]),
        _object({"$tuple": {"type": "array", "items": nested}}, required=["$tuple"]),
        _object({"$dict": {"type": "object", "additionalProperties": nested}}, required=["$dict"]),
        _object({"$literal": True}, required=["$literal"]),
    ]
    plain = {"anyOf": [{"not": {"type": "object"}}, {"propertyNames": {"not": {"pattern": r"^\$"}}}]}
    return {"anyOf": [*forms, plain]}


def _object(properties: dict[str, Any], *, required: list[str] | None = None, closed: bool = True) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required
    if closed:
        schema["additionalProperties"] = False
    return schema
