"""The one error tree. Every error a user can meet is a `WfError` with a code, a sentence, and a hint what to do.

    WfError
    ├── UserError              the caller can mend it
    │   ├── DefinitionError    a workflow is not well formed (carries every problem at once)
    │   ├── ParameterError     a parameter is missing or does not fit
    │   ├── NotFoundError      nothing has that name or id
    │   ├── ConflictError      not possible in the present state
    │   ├── TravelError        code or a value cannot leave this process
    │   ├── UnstorableError    the database cannot hold what was to be recorded
    │   └── SettingsError      the configuration is wrong
    ├── NodeError              user code failed on a worker
    │   ├── NodeTimeoutError
    │   └── WorkerLostError
    ├── ExecutionError         an execution did not complete
    │   └── ExecutionCancelledError
    ├── PlatformError          an operator can mend it
    │   ├── UnreachableError   database, scheduler or supervisor does not answer
    │   ├── SchemaError        the database has another schema than this release
    │   └── StorageError       artifacts cannot be read or written
    └── WaitTimeoutError       the caller's patience ended; the execution goes on

Refuses: control flow. An error is raised to be read by a person.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = [
    "ConflictError",
    "DefinitionError",
    "ExecutionCancelledError",
    "ExecutionError",
    "NodeError",
    "NodeTimeoutError",
    "NotFoundError",
    "ParameterError",
    "PlatformError",
    "SchemaError",
    "SettingsError",
    "StorageError",
    "TravelError",
    "UnreachableError",
    "UnstorableError",
    "UserError",
    "WaitTimeoutError",
    "WfError",
    "WorkerLostError",
]


class WfError(Exception):
    """An error of the platform.

    Args:
        code: stable, snake_case, for programs.
        message: one or more sentences that name the thing, what was expected and what came.
        hint: what to do about it, or empty.
        facts: the values behind the message, JSON-like.
    """

    exit_code: int = 1

    def __init__(self, code: str, message: str, hint: str = "", **facts: Any) -> None:
        super().__init__(message)
        self.code: Final = code
        self.message: Final = message
        self.hint: Final = hint
        self.facts: Final = facts

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are rebuilt from args by default, which would lose code, hint and facts on the way between processes.
        return (_rebuild, (type(self), self.code, self.message, self.hint, self.facts))


def _rebuild(kind: type[WfError], code: str, message: str, hint: str, facts: dict[str, Any]) -> WfError:
    return kind(code, message, hint, **facts)


class UserError(WfError):
    """The caller can mend it."""

    exit_code = 2


class DefinitionError(UserError):
    """A workflow is not well formed; `facts["problems"]` lists every problem with its place."""


class ParameterError(UserError):
    """A parameter is missing, unknown, or does not fit its type."""


class NotFoundError(UserError):
    """Nothing has that name or id."""


class ConflictError(UserError):
    """The thing is in a state in which this cannot be done."""


class TravelError(UserError):
    """A function or value cannot leave this process, with the reason."""


class UnstorableError(UserError):
    """The database refuses what was to be recorded, now and whenever it is tried again."""


class SettingsError(UserError):
    """The configuration is wrong."""


class NodeError(WfError):
    """A node failed; carries node, element, attempt and the traceback of user code."""

    @property
    def node(self) -> str:
        """The node's id."""
        return str(self.facts.get("node", ""))

    @property
    def traceback(self) -> str:
        """The traceback of the user's code as text, or empty."""
        return str(self.facts.get("traceback", ""))


class NodeTimeoutError(NodeError):
    """A node ran longer than its timeout."""


class WorkerLostError(NodeError):
    """The worker process that ran the node ended."""


class ExecutionError(WfError):
    """An execution did not complete."""


class ExecutionCancelledError(ExecutionError):
    """An execution was cancelled."""


class PlatformError(WfError):
    """An operator can mend it."""

    exit_code = 3


class UnreachableError(PlatformError):
    """A service the platform needs does not answer."""


class SchemaError(PlatformError):
    """The database's schema does not fit this release."""


class StorageError(PlatformError):
    """Artifacts cannot be read or written."""


class WaitTimeoutError(WfError):
    """The caller waited as long as it said; the execution goes on."""
