"""An execution in the hands of who started it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload
from uuid import UUID

from wfplatform.app.approvals import decide, signal
from wfplatform.app.executions import Executions
from wfplatform.app.why import why
from wfplatform.authoring.platform import ExecutionHandle, ExecutionHandles
from wfplatform.core.execution import Element
from wfplatform.core.record import ExecutionRecord, LogRecord, NodeExecutionRecord
from wfplatform.core.why import Reason

__all__ = ["Execution", "StartedExecutions"]


class Execution:
    """An execution; it goes on whether or not anybody holds this.

    Args:
        executions: how it is asked about.
        id: which it is.
    """

    def __init__(self, executions: Executions, id: UUID) -> None:
        self._executions = executions
        self._id = id

    @property
    def id(self) -> UUID:
        """Its id."""
        return self._id

    @property
    def state(self) -> str:
        """Its present state: pending, running, waiting, completed, failed or cancelled."""
        return str(self.record.state)

    @property
    def record(self) -> ExecutionRecord:
        """Everything that is recorded of it."""
        return self._executions.record(self._id)

    def result(self, timeout_s: float | None = None) -> Any:
        """Wait for the end and return what the workflow returned.

        Args:
            timeout_s: seconds to wait; None = as long as it takes.

        Raises:
            WaitTimeoutError: the time is over; the execution goes on.
            NodeError: a node failed; its traceback is part of the message.
            ExecutionError: it did not complete for another reason.
        """
        return self._executions.result(self._id, timeout_s)

    def wait(self, timeout_s: float | None = None) -> str:
        """Wait for the end, at most `timeout_s` seconds, and return the state then; never raises for a failure."""
        return str(self._executions.wait([self._id], timeout_s)[self._id])

    def cancel(self) -> None:
        """Ask it to stop.

        Raises:
            ConflictError: it has ended.
        """
        self._executions.ask(self._id, "cancel")

    def signal(self, event: str, data: Any = None) -> None:
        """Tell it that something happened; what waits for that goes on, now or when it comes to wait.

        Args:
            event: its name.
            data: plain JSON.

        Raises:
            ConflictError: it has ended.
            UserError: the data are not plain JSON.
        """
        signal(self._executions, self._id, event, data)

    def approve(
        self, node: str | None = None, *, form: Any = None, comment: str = "", element: Element | None = None
    ) -> None:
        """Decide that it goes on.

        Args:
            node: which of its approvals; None = the only one that waits.
            form: what is filled in, as plain JSON, if it has a form.
            comment: for those who read it later.
            element: of a node with several elements.

        Raises:
            NotFoundError: nothing waits for a decision.
            ConflictError: several do, or it was assigned to others.
            ParameterError: the form does not fit.
        """
        decide(self._executions, self._id, node, element, approved=True, form=form, comment=comment)

    def reject(self, node: str | None = None, *, comment: str = "", element: Element | None = None) -> None:
        """Decide against it.

        Raises:
            NotFoundError, ConflictError: as `approve`.
        """
        decide(self._executions, self._id, node, element, approved=False, comment=comment)

    def pause(self) -> None:
        """Let it start nothing new; what runs is finished.

        Raises:
            ConflictError: it has ended.
        """
        self._executions.ask(self._id, "pause")

    def resume(self) -> None:
        """Let it go on after a pause.

        Raises:
            ConflictError: it has ended.
        """
        self._executions.ask(self._id, "resume")

    def retry(self) -> None:
        """Go on from the nodes that failed; what has completed is not run again. `result` and `wait` then wait for the new end.

        Raises:
            ConflictError: it has not failed.
        """
        self._executions.ask(self._id, "retry")

    def why(self) -> list[Reason]:
        """Why it is not further: one sentence for each node that has not ended, and what holds it as a whole."""
        return why(self._executions, self._id)

    def nodes(self) -> Sequence[NodeExecutionRecord]:
        """What is recorded of each node and element that has begun."""
        return self._executions.nodes(self._id)

    def logs(self) -> Sequence[LogRecord]:
        """The lines its nodes printed and logged, oldest first."""
        return self._executions.logs(self._id)

    def __repr__(self) -> str:
        record = self.record
        return f"<execution {self._id} of {record.workflow_name}: {record.state}>"


class StartedExecutions(ExecutionHandles):
    """Executions that were started together.

    Args:
        executions: how they are asked about.
        ids: which they are.
    """

    def __init__(self, executions: Executions, ids: Sequence[UUID]) -> None:
        self._executions = executions
        self._handles = [Execution(executions, one) for one in ids]

    @overload
    def __getitem__(self, index: int) -> Execution: ...

    @overload
    def __getitem__(self, index: slice) -> list[ExecutionHandle]: ...

    def __getitem__(self, index: int | slice) -> Execution | list[ExecutionHandle]:
        return list(self._handles[index]) if isinstance(index, slice) else self._handles[index]

    def __len__(self) -> int:
        return len(self._handles)

    def results(self, timeout_s: float | None = None) -> list[Any]:
        """Wait for all of them and return what each returned."""
        return self._executions.results([one.id for one in self._handles], timeout_s)
