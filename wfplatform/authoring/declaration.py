"""`@workflow`: makes a Python function that draws a graph a `Workflow`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Protocol, cast, overload

from wfplatform.authoring.hook import Hooks, tellers
from wfplatform.authoring.options import NodeDefaults
from wfplatform.authoring.signature import checked_name
from wfplatform.authoring.workflow import Workflow
from wfplatform.core.hook import Occasion
from wfplatform.core.policy import DEFAULT_TIMEOUT_S, Retry, WorkflowPolicy

__all__ = ["WorkflowDecorator", "workflow"]


class WorkflowDecorator(Protocol):
    """What `@workflow(...)` with options returns."""

    def __call__[**P, R](self, function: Callable[P, R], /) -> Workflow[P, R]:
        """Make a workflow of a function."""
        ...


@overload
def workflow[**P, R](
    function: Callable[P, R],
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    retry: Retry | None = None,
    node_timeout_s: float | None = None,
    priority: int = 0,
    max_executions: int | None = None,
    tags: tuple[str, ...] = (),
    on_failure: Hooks = None,
    on_completion: Hooks = None,
    on_cancellation: Hooks = None,
    late_after_s: float | None = None,
    on_late: Hooks = None,
) -> Workflow[P, R]: ...
@overload
def workflow(
    *,
    name: str | None = None,
    description: str | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    retry: Retry | None = None,
    node_timeout_s: float | None = None,
    priority: int = 0,
    max_executions: int | None = None,
    tags: tuple[str, ...] = (),
    on_failure: Hooks = None,
    on_completion: Hooks = None,
    on_cancellation: Hooks = None,
    late_after_s: float | None = None,
    on_late: Hooks = None,
) -> WorkflowDecorator: ...
def workflow(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    retry: Retry | None = None,
    node_timeout_s: float | None = None,
    priority: int = 0,
    max_executions: int | None = None,
    tags: tuple[str, ...] = (),
    on_failure: Hooks = None,
    on_completion: Hooks = None,
    on_cancellation: Hooks = None,
    late_after_s: float | None = None,
    on_late: Hooks = None,
) -> Workflow[..., Any] | WorkflowDecorator:
    """Make a function a workflow: it is called once, with stand-ins for its parameters, to draw the graph.

    Args:
        name: what it is called on the platform; default: the name of the function.
        description: default: the docstring.
        timeout_s: seconds an execution may have work on the cluster, at most 86,400; waits do not count.
        retry: for those of its nodes that say nothing about it.
        node_timeout_s: seconds one try may take, for those of its nodes that say nothing about it.
        priority: larger runs earlier.
        max_executions: how many of its executions may run at once.
        tags: free words to find it by.
        on_failure: what is run when an execution has failed: a function that takes a `Notice`, a workflow, `mail(...)`,
            `webhook(...)` or `slack(...)`, or a list of these. Each is run as an execution of its own.
        on_completion: the same for one that has completed.
        on_cancellation: the same for one that was cancelled.
        late_after_s: seconds after which an execution that was asked for is late, above 0 and at most 366 days.
        on_late: what is run then, once, if it has not ended.

    Returns:
        A `Workflow`.

    Raises:
        DefinitionError: it is async, a generator or no function, takes `*args` or `**kwargs`, or something cannot be a hook.

    Example:
        >>> from wfplatform import node, workflow
        >>> @node
        ... def square(x: int) -> int:
        ...     return x * x
        >>> @node
        ... def total(xs: list[int]) -> int:
        ...     return sum(xs)
        >>> @workflow
        ... def squares(numbers: list[int]):
        ...     return total(square.map(numbers))
        >>> squares.local(numbers=[1, 2, 3])
        14
    """
    hooks = {
        Occasion.FAILURE: on_failure,
        Occasion.COMPLETION: on_completion,
        Occasion.CANCELLATION: on_cancellation,
        Occasion.LATENESS: on_late,
    }

    def decorate(function: Callable[..., Any], /) -> Workflow[..., Any]:
        own = checked_name(name if name is not None else getattr(function, "__name__", ""))
        told = tellers(own, hooks, late_after_s)
        return Workflow(
            function,
            name=own,
            description=inspect.getdoc(function) or "" if description is None else description,
            policy=WorkflowPolicy(
                timeout_s=timeout_s,
                priority=priority,
                max_executions=max_executions,
                tags=tuple(tags),
                late_after_s=late_after_s,
            ),
            defaults=NodeDefaults(retry=retry, timeout_s=node_timeout_s),
            hooks=told,
        )

    return cast("WorkflowDecorator", decorate) if function is None else decorate(function)
