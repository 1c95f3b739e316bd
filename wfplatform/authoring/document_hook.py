"""Hooks of a document: `{"on": "failure", "workflow": "name", "version": "digest"}` each, and back.

Refuses a hook without a version: what tells of a failure must not change under a workflow that was not published anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from wfplatform.authoring.problem import Problem, Report, shown
from wfplatform.core.canonical import pointer
from wfplatform.core.graph import Json
from wfplatform.core.hook import Hook, Occasion
from wfplatform.core.policy import WorkflowPolicy

__all__ = ["HOOKS_SCHEMA", "MAX_HOOKS", "hook_problems", "plain_hooks", "read_hooks", "write_hooks"]

MAX_HOOKS: Final = 100

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_KEYS: Final = ("on", "workflow", "version")
_OCCASIONS: Final[list[Json]] = [str(occasion) for occasion in Occasion]

HOOKS_SCHEMA: Final[Mapping[str, Json]] = {
    "type": "array",
    "maxItems": MAX_HOOKS,
    "items": {
        "type": "object",
        "properties": {
            "on": {"enum": _OCCASIONS},
            "workflow": {"type": "string", "minLength": 1},
            "version": {"type": "string", "pattern": f"^{_DIGEST.pattern}$"},
        },
        "required": ["on", "workflow", "version"],
        "additionalProperties": False,
    },
}


def write_hooks(hooks: Sequence[Hook]) -> list[dict[str, str]]:
    """Hooks as JSON."""
    return [{"on": str(hook.on), "workflow": hook.workflow, "version": hook.version} for hook in hooks]


def read_hooks(given: Any, at: str, report: Report) -> tuple[Hook, ...]:
    """Hooks from JSON.

    Args:
        given: a list as `write_hooks` makes it, or None.
        at: JSON Pointer to it.
        report: told of each problem.

    Returns:
        those that could be read.
    """
    if given is None:
        return ()
    if not isinstance(given, list) or len(given) > MAX_HOOKS:
        report(at, "wrong_type", f"Expected a list of at most {MAX_HOOKS} hooks, got {shown(given)}.")
        return ()
    found = (_hook(item, f"{at}/{index}", report) for index, item in enumerate(given))
    return tuple(hook for hook in found if hook is not None)


def hook_problems(hooks: Sequence[Hook], policy: WorkflowPolicy) -> Iterator[Problem]:
    """Lateness that is said in one place only."""
    has_hook = any(hook.on is Occasion.LATENESS for hook in hooks)
    if has_hook and policy.late_after_s is None:
        message = "A hook is to tell of lateness, and nothing says when it is late."
        yield Problem(place="/policy/lateAfterS", code="late_after", message=message)
    elif policy.late_after_s is not None and not has_hook:
        message = "It is said when an execution is late, and no hook is to tell of lateness."
        yield Problem(place="/hooks", code="late_hook", message=message)


def plain_hooks(document: Mapping[str, Any]) -> tuple[tuple[Hook, ...], float | None]:
    """The hooks of a document of which the rest perhaps cannot be read, and after how many seconds it is late."""
    policy = document.get("policy")
    late_after_s = policy.get("lateAfterS") if isinstance(policy, Mapping) else None
    is_number = isinstance(late_after_s, int | float) and not isinstance(late_after_s, bool)
    hooks = read_hooks(document.get("hooks"), "/hooks", lambda place, code, message: None)
    return hooks, float(late_after_s) if is_number and late_after_s is not None else None


def _hook(item: Any, at: str, report: Report) -> Hook | None:
    if not isinstance(item, dict):
        report(at, "wrong_type", f"Expected an object, got {shown(item)}.")
        return None
    strange = [key for key in item if key not in _KEYS]
    for key in strange:
        report(at + pointer(key), "unknown_key", f"Nothing is called {key!r} here; known are {', '.join(_KEYS)}.")
    on, workflow, version = (item.get(key) for key in _KEYS)
    fits = True
    if on not in _OCCASIONS:
        report(f"{at}/on", "hook_on", f"Expected one of {', '.join(Occasion)}, got {shown(on)}.")
        fits = False
    if not isinstance(workflow, str) or not workflow.strip():
        report(f"{at}/workflow", "hook_workflow", f"Expected the name of a workflow, got {shown(workflow)}.")
        fits = False
    if not isinstance(version, str) or not _DIGEST.fullmatch(version):
        message = f"Expected the digest of a version, 64 hexadecimal digits, got {shown(version)}."
        report(f"{at}/version", "hook_version", message)
        fits = False
    return Hook(on=Occasion(str(on)), workflow=str(workflow), version=str(version)) if fits else None
