"""How the nodes of a run in this process ended, as data.

Refuses to run anything: `local` does.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final
from uuid import UUID

from wfplatform.authoring.call import exception_names, message_of
from wfplatform.core.execution import Element
from wfplatform.errors import NodeError, WfError

__all__ = ["Completed", "Ending", "Failed", "LocalExecution", "LocalNode", "Skipped", "failure"]

_OURS: Final = ("wfplatform.authoring.", "asyncio.", "concurrent.futures.")


@dataclass(frozen=True, slots=True)
class Completed:
    """An element ended well; `values` by output port."""

    values: Mapping[str, Any]
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Failed:
    """An element failed, or was not run because something before it failed and it was told to fail then."""

    error: NodeError
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Skipped:
    """An element was not run."""

    reason: str


type Ending = Completed | Failed | Skipped


@dataclass(slots=True)
class LocalNode:
    """How a node ended.

    Args:
        rank: number of indices of an element.
        sizes: prefix -> number of elements below it.
        endings: element -> how it ended; a prefix shorter than the rank stands for all below it.
    """

    rank: int
    sizes: dict[Element, int] = field(default_factory=dict)
    endings: dict[Element, Ending] = field(default_factory=dict)

    def ending(self, element: Element) -> Ending | None:
        """Of one element, or of the branch it belongs to."""
        for cut in range(len(element), -1, -1):
            found = self.endings.get(element[:cut])
            if found is not None:
                return found
        return None

    def below(self, prefix: Element) -> list[Ending]:
        """Of every element below a prefix, or of the branch it belongs to."""
        found = self.ending(prefix)
        if found is not None:
            return [found]
        return [one for index in range(self.sizes[prefix]) for one in self.below((*prefix, index))]


@dataclass(frozen=True, kw_only=True)
class LocalExecution:
    """What a run in this process came to.

    Args:
        result: what the workflow returned, with None in place of what was skipped; None if a node failed.
        failures: the errors of nodes that failed themselves, in order.
    """

    id: UUID
    result: Any
    nodes: Mapping[str, LocalNode]
    failures: Sequence[NodeError]


def failure(node: str, element: Element, error: BaseException, attempts: int) -> Failed:
    """The failure of an element by an error of the user's function, or of a check of the platform.

    Args:
        node: its id.
        attempts: tries in all, this one included.
    """
    trail = _users_frames(error.__traceback__)
    facts: dict[str, Any] = {
        "node": node,
        "element": list(element),
        "attempt": attempts,
        "type": exception_names(error)[0],
    }
    if isinstance(error, NodeError):  # of the platform's own checks, which say themselves what is wrong
        failed = NodeError(error.code, error.message, error.hint, **{**error.facts, **facts})
        failed.__cause__ = error.__cause__
    else:
        place = f", element {list(element)}," if element else ""
        tries = f" after {attempts} tries" if attempts > 1 else ""
        said, hint = (error.message, error.hint) if isinstance(error, WfError) else (message_of(error), "")
        facts["traceback"] = "".join(traceback.format_exception(type(error), error, trail))
        message = f"Node `{node}`{place} failed{tries}: {type(error).__name__}: {said}"
        failed = NodeError("node_failed", message, hint, **facts)
        failed.__cause__ = error.with_traceback(trail)
    return Failed(failed, attempts)


def _users_frames(trail: TracebackType | None) -> TracebackType | None:
    """A traceback without the frames that lead to the user's function, if it gets there."""
    inner = trail
    while inner is not None and str(inner.tb_frame.f_globals.get("__name__", "")).startswith(_OURS):
        inner = inner.tb_next
    return inner or trail
