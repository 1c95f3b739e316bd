"""Hooks in documents: there and back, and every problem with its place."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from wfplatform.authoring.document import document_schema, from_document, to_document
from wfplatform.authoring.document_hook import plain_hooks
from wfplatform.core.hook import Hook, Occasion
from wfplatform.errors import DefinitionError

DIGEST = "a" * 64
FAILURE = {"on": "failure", "workflow": "tell", "version": DIGEST}
LATENESS = {"on": "lateness", "workflow": "tell", "version": DIGEST}


def document(**more: Any) -> dict[str, Any]:
    node = {"id": "a", "type": "http", "position": {"x": 0, "y": 0}}
    return {"schemaVersion": 1, "name": "flights", "parameters": [], "nodes": [node], "edges": [], **more}


def problems(**more: Any) -> list[tuple[str, str]]:
    with pytest.raises(DefinitionError) as caught:
        from_document(document(**more))
    return [(problem["place"], problem["code"]) for problem in caught.value.facts["problems"]]


def test_there_and_back() -> None:
    given = document(hooks=[FAILURE, LATENESS], policy={"lateAfterS": 60})
    definition = from_document(given)
    assert definition.hooks[0] == Hook(on=Occasion.FAILURE, workflow="tell", version=DIGEST)
    assert definition.policy.late_after_s == 60
    written = to_document(definition)
    assert (written["hooks"], written["policy"]) == (given["hooks"], given["policy"])
    jsonschema.validate(written, document_schema())
    assert "hooks" not in to_document(from_document(document()))


@pytest.mark.parametrize(
    ("hooks", "place", "code"),
    [
        ({}, "/hooks", "wrong_type"),
        ([5], "/hooks/0", "wrong_type"),
        ([FAILURE] * 101, "/hooks", "wrong_type"),
        ([{**FAILURE, "on": "success"}], "/hooks/0/on", "hook_on"),
        ([{**FAILURE, "on": ["failure"]}], "/hooks/0/on", "hook_on"),
        ([FAILURE, {**FAILURE, "workflow": ""}], "/hooks/1/workflow", "hook_workflow"),
        ([{**FAILURE, "version": None}], "/hooks/0/version", "hook_version"),
        ([{**FAILURE, "version": "A" * 64}], "/hooks/0/version", "hook_version"),
        ([{**FAILURE, "to": "ann"}], "/hooks/0/to", "unknown_key"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(hooks: Any, place: str, code: str) -> None:
    assert problems(hooks=hooks) == [(place, code)]
    assert not jsonschema.Draft202012Validator(document_schema()).is_valid(document(hooks=hooks))


def test_lateness_is_said_whole() -> None:
    assert problems(hooks=[LATENESS]) == [("/policy/lateAfterS", "late_after")]
    assert problems(policy={"lateAfterS": 5}) == [("/hooks", "late_hook")]
    assert problems(hooks=[LATENESS], policy={"lateAfterS": -5})[0] == ("/policy", "late_after")


@pytest.mark.parametrize("policy", [None, 5, {}, {"lateAfterS": "x"}, {"lateAfterS": True}])
def test_hooks_are_read_where_nothing_else_can_be(policy: Any) -> None:
    hooks, late_after_s = plain_hooks({"schemaVersion": 99, "hooks": [FAILURE, 5], "policy": policy})
    assert [hook.on for hook in hooks] == ["failure"]
    assert late_after_s is None
