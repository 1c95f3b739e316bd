"""The port through which `flights.run()` reaches a platform, and how one is found.

Refuses to know any platform: `wfplatform.bootstrap` makes the default one, at the first run and not before.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast
from uuid import UUID

from wfplatform.core.graph import Json
from wfplatform.core.policy import ALL_NODES

if TYPE_CHECKING:
    from wfplatform.authoring.workflow import Workflow
    from wfplatform.core.forecast import Forecast

__all__ = ["ExecutionHandle", "ExecutionHandles", "Platform", "RunOptions", "current_platform", "use_platform"]

_platform: ContextVar[Platform | None] = ContextVar("wfplatform_platform", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What is said about one run, and not about the workflow; None = as the workflow says.

    Args:
        priority: larger runs earlier.
        timeout_s: seconds the execution may have work on the cluster.
        tags: added to those of the workflow.
        idempotency_key: a second run with the same key answers with the execution of the first.
        refresh: nodes that are computed anew whatever is kept of earlier executions; `ALL_NODES` means all.
    """

    priority: int | None = None
    timeout_s: float | None = None
    tags: tuple[str, ...] = ()
    idempotency_key: str | None = None
    refresh: tuple[str, ...] = ()

    def over(
        self,
        *,
        priority: int | None,
        timeout_s: float | None,
        tags: tuple[str, ...],
        idempotency_key: str | None,
        refresh: bool | str | tuple[str, ...],
    ) -> RunOptions:
        """These options, and what was said before where nothing is said; tags come to those there are."""
        anew = ((ALL_NODES,) if refresh else self.refresh) if isinstance(refresh, bool) else refresh
        return RunOptions(
            priority=self.priority if priority is None else priority,
            timeout_s=self.timeout_s if timeout_s is None else timeout_s,
            tags=(*self.tags, *tags),
            idempotency_key=idempotency_key or self.idempotency_key,
            refresh=(anew,) if isinstance(anew, str) else tuple(anew),
        )


class ExecutionHandle(Protocol):
    """An execution that was started; it goes on whether or not anybody holds this."""

    @property
    def id(self) -> UUID:
        """Its id."""
        ...

    @property
    def state(self) -> str:
        """Its present state: pending, running, waiting, completed, failed or cancelled."""
        ...

    def result(self, timeout_s: float | None = None) -> Any:
        """Wait for the end and return what the workflow returned.

        Args:
            timeout_s: seconds to wait; None = as long as it takes.

        Raises:
            WaitTimeoutError: the time is over; the execution goes on.
            NodeError: a node failed.
            ExecutionError: it did not complete for another reason.
        """
        ...

    def wait(self, timeout_s: float | None = None) -> str:
        """Wait for the end, at most `timeout_s` seconds, and return the state then; never raises for a
        failure.
        """
        ...

    def cancel(self) -> None:
        """Ask the execution to stop."""
        ...

    def nodes(self) -> Sequence[Any]:
        """What is known of each node."""
        ...

    def logs(self) -> Sequence[Any]:
        """The messages of its nodes, oldest first."""
        ...


class ExecutionHandles(Sequence[ExecutionHandle], ABC):
    """Several executions that were started together, in the order of their parameters."""

    @abstractmethod
    def results(self, timeout_s: float | None = None) -> list[Any]:
        """Wait for all of them and return what each returned; much quicker than asking one after the other.

        Args:
            timeout_s: seconds to wait for all; None = as long as it takes.

        Raises:
            WaitTimeoutError, NodeError, ExecutionError: as `ExecutionHandle.result`, for the first without a result.
        """


class Platform(Protocol):
    """Something that runs workflows."""

    def run(self, workflow: Workflow[..., Any], parameters: Mapping[str, Json], options: RunOptions) -> ExecutionHandle:
        """Register the workflow if it is new, and start an execution of it.

        Args:
            workflow: what to run.
            parameters: all its parameters, checked, as JSON.
            options: for this run alone.
        """
        ...

    def plan(self, workflow: Workflow[..., Any], parameters: Mapping[str, Json], options: RunOptions) -> Forecast:
        """What `run` would do; nothing is registered or started."""
        ...

    def run_many(
        self, workflow: Workflow[..., Any], parameters: Sequence[Mapping[str, Json]], options: RunOptions
    ) -> ExecutionHandles:
        """Start one execution for each set of parameters, in one go."""
        ...


def current_platform() -> Platform:
    """The platform set by `use_platform`, else the default one, which is made or found now."""
    chosen = _platform.get()
    if chosen is not None:
        return chosen
    # The one import that goes upwards: whoever only writes workflows never pays for a platform.
    from wfplatform.bootstrap import default_platform  # noqa: PLC0415

    return cast("Platform", default_platform())


@contextmanager
def use_platform[T: Platform](platform: T) -> Iterator[T]:
    """Run workflows on this platform inside a `with` block.

    Args:
        platform: what `.run` and `.run_many` are sent to.
    """
    token = _platform.set(platform)
    try:
        yield platform
    finally:
        _platform.reset(token)
