"""What a running node may ask and tell: who it is, its log, its progress, whether it is wanted any more,
and a scratch folder.

Made by whoever runs a node, for one attempt. Refuses to be asked for outside a node.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, MutableMapping
from contextvars import ContextVar, Token
from pathlib import Path
from typing import Any
from uuid import UUID

from wfplatform.errors import ExecutionCancelledError, UserError

__all__ = ["NodeContext", "NodeStopped", "current_node", "enter_node", "leave_node"]

_current: ContextVar[NodeContext | None] = ContextVar("wfplatform_current_node", default=None)


class NodeStopped(BaseException):
    """Raised inside a node whose execution is to be cancelled or whose time is over, wherever it is at that moment.

    Not an Exception, so that `except Exception` lets it pass: `finally` and `with` blocks run, for as long as the grace
    period. In an `async def` it is `asyncio.CancelledError`, as asyncio has it.
    """


class _NodeLog(logging.LoggerAdapter[logging.Logger]):
    """A logger that adds the node's facts to each record and keeps what the user gave as `extra`."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


class NodeContext:
    """One attempt at one element of a node.

    Args:
        execution_id: the execution.
        node_id: the node.
        element: its indices if the node is mapped, else empty.
        attempt: 1 for the first try.
        report: called with (fraction, message) when the node tells its progress.
        is_cancelled: tells whether somebody wants the execution to stop.
        make_scratch: makes an empty folder; it is removed by `close`.
        undone: the node whose work this one takes back, if it is no part of the work itself.
    """

    __slots__ = (
        "_is_cancelled",
        "_log",
        "_make_scratch",
        "_report",
        "_scratch",
        "_undone",
        "attempt",
        "element",
        "execution_id",
        "node_id",
    )

    def __init__(
        self,
        execution_id: UUID,
        node_id: str,
        element: tuple[int, ...] = (),
        attempt: int = 1,
        report: Callable[[float, str], object] | None = None,
        is_cancelled: Callable[[], bool] | None = None,
        make_scratch: Callable[[], Path] | None = None,
        undone: str = "",
    ) -> None:
        self.execution_id = execution_id
        self.node_id = node_id
        self.element = element
        self.attempt = attempt
        self._report = report
        self._is_cancelled = is_cancelled
        self._make_scratch = make_scratch
        self._undone = undone
        self._log: _NodeLog | None = None
        self._scratch: Path | None = None

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt at this element, and for nothing else: hand it to services that refuse
        doubles.
        """
        return self._key(self.node_id)

    @property
    def undone_key(self) -> str:
        """In a function that undoes or cleans up: the `idempotency_key` that the node had whose work it takes back;
        elsewhere empty.
        """
        return self._key(self._undone) if self._undone else ""

    def _key(self, node_id: str) -> str:
        return "/".join((str(self.execution_id), node_id, *map(str, self.element)))

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """Messages of the node, kept with its execution. Values go into `extra={"rows": 5}`."""
        if self._log is None:
            facts: dict[str, object] = {
                "execution_id": str(self.execution_id),
                "node_id": self.node_id,
                "element": list(self.element),
                "attempt": self.attempt,
            }
            self._log = _NodeLog(logging.getLogger("wfplatform.node"), facts)
        return self._log

    def progress(self, fraction: float, message: str = "") -> None:
        """Tell how far the node is.

        Args:
            fraction: from 0 (just begun) to 1 (done).
            message: what it is doing, one line.

        Raises:
            UserError: the fraction is not between 0 and 1.
        """
        if not 0 <= fraction <= 1:
            raise UserError(
                "progress",
                f"Node `{self.node_id}`: progress expects a fraction from 0 to 1, got {fraction!r}.",
                "Divide what is done by what is to be done: progress(done / total).",
            )
        if self._report is not None:
            self._report(float(fraction), message)

    @property
    def cancelled(self) -> bool:
        """Whether the node is to stop, because its execution is to be cancelled or its own time is over.

        A node that asks has the grace period to come to an end by itself before `NodeStopped` is raised in it.
        """
        return self._is_cancelled is not None and self._is_cancelled()

    def check_cancelled(self) -> None:
        """Stop here if the node is to stop; call it now and then in long loops.

        Raises:
            ExecutionCancelledError: it is. Let it pass: the node then ends as cancelled, or as timed out.
        """
        if self.cancelled:
            raise ExecutionCancelledError(
                "cancelled",
                f"Node `{self.node_id}` stopped because its execution is to be cancelled or its time is over.",
                execution=str(self.execution_id),
                node=self.node_id,
            )

    @property
    def scratch(self) -> Path:
        """An empty folder for this attempt, made when first asked for, gone when the node has ended."""
        if self._scratch is None:
            make = self._make_scratch
            self._scratch = make() if make else Path(tempfile.mkdtemp(prefix="wfp-scratch-"))
        return self._scratch

    def close(self) -> None:
        """Remove the scratch folder, if there is one. For whoever runs the node."""
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None


def current_node() -> NodeContext:
    """The node that is running, for use inside a node's function.

    Returns:
        Its context: `execution_id`, `node_id`, `element`, `attempt`, `idempotency_key`, `log`,
        `undone_key`, `progress(fraction, message)`, `cancelled`, `check_cancelled()` and `scratch`.

    Raises:
        UserError: no node is running here.

    Example:
        >>> from wfplatform import current_node, node, workflow
        >>> @node
        ... def who() -> str:
        ...     return current_node().node_id
        >>> @workflow
        ... def one():
        ...     return who()
        >>> one.local()
        'who'
    """
    context = _current.get()
    if context is None:
        raise UserError(
            "no_current_node",
            "current_node() was called where no node is running.",
            "Call it inside a function decorated with @node while a workflow runs (.run or .local). In a "
            "thread of your own, "
            "call it before the thread starts and hand the result over.",
        )
    return context


def enter_node(context: NodeContext) -> Token[NodeContext | None]:
    """Make a context the current one; hand what comes back to `leave_node`. For whoever runs the node."""
    return _current.set(context)


def leave_node(token: Token[NodeContext | None]) -> None:
    """Undo `enter_node`."""
    _current.reset(token)
