"""What is wrong with a definition, and where; all of it in one error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from wfplatform.errors import DefinitionError

__all__ = ["Problem", "Report", "refuse", "shown", "too_long"]

_SHOWN: Final = 20
MAX_NAME_CHARS: Final = 200
"""Names stand in the indexes of the database, and on screens."""

type Report = Callable[[str, str, str], None]
"""Takes a place, a code and a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong.

    Args:
        place: JSON Pointer into the document; empty = the whole.
        code: stable, snake_case.
        message: one sentence: what was expected, what came.
        node: id of the node it concerns, or empty.
        port: the port it concerns, or empty.
    """

    place: str
    code: str
    message: str
    node: str = ""
    port: str = ""

    @property
    def fact(self) -> dict[str, str]:
        """As JSON; empty entries left out."""
        pairs = (
            ("place", self.place),
            ("code", self.code),
            ("message", self.message),
            ("node", self.node),
            ("port", self.port),
        )
        return {key: value for key, value in pairs if value or key == "place"}


def refuse(problems: Sequence[Problem], workflow: str = "") -> DefinitionError:
    """The error that tells of all of them.

    Args:
        problems: at least one.
        workflow: its name, or empty.
    """
    lines = []
    for problem in problems[:_SHOWN]:
        where = f"node {problem.node!r}" if problem.node else problem.place or "the document"
        lines.append(f"- {where}{f', port {problem.port!r}' if problem.port else ''}: {problem.message}")
    if len(problems) > _SHOWN:
        lines.append(f"- and {len(problems) - _SHOWN} more.")
    name = f"Workflow {workflow!r}" if workflow else "The workflow"
    many = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
    return DefinitionError(
        "invalid_definition",
        f"{name} has {many}:\n" + "\n".join(lines),
        problems=[problem.fact for problem in problems],
    )


def shown(value: Any) -> str:
    """A value that was refused, for a message: at most 80 characters, with its type."""
    if value is None:
        return "nothing"
    text = repr(value)
    return f"{text if len(text) <= 80 else text[:77] + '...'} ({type(value).__name__})"


def too_long(place: str, kind: str, name: str) -> Iterator[Problem]:
    """What is wrong with the name of something, if it is longer than names may be."""
    if len(name) > MAX_NAME_CHARS:
        message = (
            f"The name of a {kind}, {name[:40]!r}..., has {len(name)} characters; at most {MAX_NAME_CHARS} are allowed."
        )
        yield Problem(place=place, code="name_long", message=message)
