"""Refuses workflows whose versions could not be told: one that a hook of it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wfplatform.errors import DefinitionError

if TYPE_CHECKING:
    from wfplatform.authoring.workflow import Workflow

__all__ = ["refuse_circle"]


def refuse_circle(workflow: Workflow[..., Any]) -> None:
    """Refuse a workflow that one of its hooks runs, or something that the hook runs: neither could name the other's version.

    Raises:
        DefinitionError: code `hook_circle`.
    """
    for teller in workflow.hooks:
        way = _way(teller.workflow, workflow, set())
        if way is not None:
            raise DefinitionError(
                "hook_circle",
                f"Workflow `{workflow.name}` is told about by a workflow that runs it: "
                f"{' -> '.join([workflow.name, *way])}. The version of neither could be named in the other's.",
                "Let the hook be a workflow of its own that does not run this one; to try again, give nodes a retry.",
                workflow=workflow.name,
            )


def _way(one: Workflow[..., Any], wanted: Workflow[..., Any], seen: set[str]) -> list[str] | None:
    if one.function is wanted.function:
        return [one.name]
    if one.name in seen:
        return None
    seen.add(one.name)
    for next_one in (*one.children.values(), *(teller.workflow for teller in one.hooks)):
        way = _way(next_one, wanted, seen)
        if way is not None:
            return [one.name, *way]
    return None
