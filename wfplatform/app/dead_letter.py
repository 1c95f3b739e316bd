"""A dead letter in the hands of who deals with it, and a list of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from wfplatform.app.dead_letters import DeadLetters
from wfplatform.app.handle import Execution, StartedExecutions
from wfplatform.core.dead_letter import DeadLetterRecord, InputView
from wfplatform.core.record import AttemptRecord, LogRecord, NodeExecutionRecord, Page

__all__ = ["DeadLetter", "DeadLetterList", "Inspection"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """Everything there is to know of a dead letter.

    Args:
        inputs: port -> what it was given, as far as that can be shown.
        traceback: of the user's code.
        attempts: earlier tries, oldest first.
        logs: the last lines it wrote, oldest first.
    """

    letter: DeadLetterRecord
    node: NodeExecutionRecord
    inputs: Mapping[str, InputView]
    traceback: str
    attempts: Sequence[AttemptRecord]
    logs: Sequence[LogRecord]


class DeadLetter:
    """An element that failed for good.

    Args:
        letters: the use cases behind it.
        record: what is listed of it.
    """

    def __init__(self, letters: DeadLetters, record: DeadLetterRecord) -> None:
        self._letters = letters
        self.record = record

    @property
    def id(self) -> str:
        """How it is called: execution, node and indices with `/` between them."""
        return self.record.id

    @property
    def execution(self) -> Execution:
        """The execution it belongs to."""
        return Execution(self._letters.executions, self.record.execution_id)

    def inspect(self) -> Inspection:
        """Its inputs, traceback, earlier tries and last lines."""
        history = self._letters.history(self.record)
        return Inspection(
            letter=self.record,
            node=history.node,
            inputs={view.port: view for view in self._letters.inputs(self.record)},
            traceback=str((history.node.error or {}).get("traceback") or ""),
            attempts=history.attempts,
            logs=history.logs,
        )

    def replay(self, inputs: Mapping[str, Any] | None = None) -> Execution:
        """Let its execution go on from it, and from what hangs on it; whatever else failed there stays failed.

        Args:
            inputs: port -> plain JSON in place of what it would get. It stays for all later tries, those of a plain retry too;
                an empty mapping takes it back.

        Returns:
            the execution; `result` and `wait` then wait for its new end.

        Raises:
            NotFoundError: it is no dead letter any more.
            UserError, ParameterError: the inputs do not fit.
        """
        self._letters.replay([self.record], inputs)
        return self.execution

    def discard(self, reason: str = "") -> None:
        """Note that nothing is to be done about it. Its execution stays as it is.

        Raises:
            NotFoundError: it is no dead letter any more.
        """
        self._letters.discard([self.record], reason)

    def __repr__(self) -> str:
        record = self.record
        return f"<dead letter {record.id} of {record.workflow_name}: {record.error_type}: {record.message[:80]}>"


class DeadLetterList(Sequence[DeadLetter]):
    """Some dead letters, newest first.

    Args:
        letters: the use cases behind them.
        page: which.

    Attributes:
        next: hand it in as `after` to get what follows; None at the end.
    """

    def __init__(self, letters: DeadLetters, page: Page[DeadLetterRecord]) -> None:
        self._letters = letters
        self._items = [DeadLetter(letters, record) for record in page.items]
        self.next = page.next

    @overload
    def __getitem__(self, index: int) -> DeadLetter: ...

    @overload
    def __getitem__(self, index: slice) -> DeadLetterList: ...

    def __getitem__(self, index: int | slice) -> DeadLetter | DeadLetterList:
        if isinstance(index, slice):
            return DeadLetterList(self._letters, Page([one.record for one in self._items[index]]))
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[DeadLetter]:
        return iter(self._items)

    def replay(self, inputs: Mapping[str, Any] | None = None) -> StartedExecutions:
        """Replay those in this list; see `DeadLetter.replay`. What is no dead letter any more is left out.

        Returns:
            the executions that go on.
        """
        found = self._letters.replay([one.record for one in self._items], inputs)
        return StartedExecutions(self._letters.executions, list(found))

    def discard(self, reason: str = "") -> int:
        """Discard those in this list; returns how many were dead letters until now."""
        return self._letters.discard([one.record for one in self._items], reason)
