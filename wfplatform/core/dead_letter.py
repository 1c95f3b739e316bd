"""Dead letters: elements that failed for good and by themselves, and that nobody has replayed or discarded so far.

Plain facts. Refuses: what has no input that could be mended, such as what was skipped because of another failure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from wfplatform.core.execution import Element, ExecutionState
from wfplatform.core.graph import Json
from wfplatform.core.record import AttemptRecord, LogRecord, NodeExecutionRecord

__all__ = ["DeadLetterFilter", "DeadLetterRecord", "History", "InputView", "letter_id"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterFilter:
    """Which dead letters are meant; None = any.

    Args:
        workflow: its name.
        node: its id.
        error: type of the error, one of its base classes, or its code.
        element: of that node of that execution.
    """

    execution_id: UUID | None = None
    workflow: str | None = None
    node: str | None = None
    error: str | None = None
    element: Element | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterRecord:
    """A dead letter as it is listed.

    Args:
        attempt: the last one, which failed.
        error: {"type", "message", "code", ...} without the traceback.
        dead_at: since when.
        edit: as in `core.execution.Run`.
    """

    execution_id: UUID
    version_id: UUID
    workflow_name: str
    execution_state: ExecutionState
    node: str
    element: Element
    attempt: int
    error: Mapping[str, Any]
    worker: str
    dead_at: datetime
    edit: Mapping[str, Any] | None = None

    @property
    def id(self) -> str:
        """How it is called: execution, node and indices with `/` between them."""
        return letter_id(self.execution_id, self.node, self.element)

    @property
    def error_type(self) -> str:
        """The class of its error."""
        return str(self.error.get("type") or "")

    @property
    def message(self) -> str:
        """What the error says."""
        return str(self.error.get("message") or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class InputView:
    """An input of a dead letter, as far as it can be shown.

    Args:
        source: where it comes from, in words.
        is_shown: whether `value` holds it; else `preview` says what it is.
        codec: how it is stored; empty where it is not.
        is_edited: somebody replaced it.
    """

    port: str
    source: str
    is_shown: bool
    value: Json = None
    preview: str = ""
    codec: str = ""
    size_bytes: int | None = None
    is_edited: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What became of an element.

    Args:
        node: its standing, with the whole error.
        attempts: earlier tries, oldest first.
        logs: the last lines it wrote, oldest first.
    """

    node: NodeExecutionRecord
    attempts: Sequence[AttemptRecord]
    logs: Sequence[LogRecord]


def letter_id(execution_id: UUID, node: str, element: Element) -> str:
    """What a dead letter is called."""
    return "/".join([str(execution_id), node, *map(str, element)])
