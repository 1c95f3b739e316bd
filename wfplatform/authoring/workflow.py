"""A workflow: what a Python function that draws a graph becomes by `@workflow`.

Drawn when first needed, and again when a function it names was replaced (as notebooks do). Refuses to be
called like a function: it is run by `.run()` on a platform or by `.local()` here.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from wfplatform.authoring.child import record_child
from wfplatform.authoring.drawing import Drawing
from wfplatform.authoring.options import NodeDefaults, NodeOptions, is_whole
from wfplatform.authoring.platform import ExecutionHandle, ExecutionHandles, RunOptions, current_platform
from wfplatform.authoring.signature import (
    ParameterSlot,
    arguments_by_name,
    parameter_slots,
    refuse_strange,
)
from wfplatform.authoring.trace import Traced, active_trace
from wfplatform.core.graph import Definition, Graph
from wfplatform.core.hook import Occasion
from wfplatform.core.policy import OnFailure, OnSkip, Retry, WorkflowPolicy
from wfplatform.errors import DefinitionError

if TYPE_CHECKING:
    from wfplatform.authoring.code import Code
    from wfplatform.authoring.ending import LocalExecution
    from wfplatform.authoring.parameter import Parameters
    from wfplatform.core.forecast import Forecast

__all__ = ["Teller", "Workflow"]


class Teller(NamedTuple):
    """What is run to tell of the executions of a workflow.

    Args:
        workflow: takes a parameter `notice`, or none that must be given.
    """

    on: Occasion
    workflow: Workflow[..., Any]


class Workflow[**P, R]:
    """A named graph of nodes with parameters. Made by `@workflow`.

    Args:
        function: the workflow function.
        name: what it is called on the platform.
        description: default: the docstring of the function.
        policy: what holds for its executions.
        defaults: what holds for those of its nodes that say nothing.
        hooks: what is run to tell of its executions.
    """

    __name__: str
    __qualname__: str

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str,
        description: str = "",
        policy: WorkflowPolicy | None = None,
        defaults: NodeDefaults | None = None,
        hooks: Sequence[Teller] = (),
    ) -> None:
        refuse_strange(function, name)
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name
        self.description = description
        self.policy = policy or WorkflowPolicy()
        self.defaults = defaults or NodeDefaults()
        self.hooks = tuple(hooks)
        self._node_options = NodeOptions()
        self._after: tuple[Any, ...] = ()
        self._run_options = RunOptions()
        self._drawing: Drawing | None = None

    # -- what it is

    @property
    def graph(self) -> Graph:
        """Nodes in topological order, parameters and result; nodes that are workflows say which version of
        them is meant.
        """
        return self._drawn.graph

    @property
    def definition(self) -> dict[str, Any]:
        """The JSON document: what the canvas shows, and what is published."""
        from wfplatform.authoring.document import to_document  # noqa: PLC0415  # only who publishes pays for it

        return to_document(self.as_definition())

    def as_definition(self) -> Definition:
        """Name, graph, policy and hooks as data."""
        return Definition(
            name=self.name, graph=self.graph, description=self.description, policy=self.policy, hooks=self._drawn.hooks
        )

    @property
    def children(self) -> Mapping[str, Workflow[..., Any]]:
        """The workflows it calls, by name."""
        return self.traced.children

    @property
    def traced(self) -> Traced:
        """What the workflow function came to; drawn now if it was not, or if a function it names was replaced since."""
        return self._drawn.traced

    @property
    def code(self) -> Code:
        """What a worker needs to run it.

        Raises:
            TravelError: something of it cannot leave this process.
        """
        return self._drawn.code

    @property
    def version(self) -> str:
        """The digest of its graph and code, 64 hexadecimal digits: the same wherever the same workflow is written."""
        return self._drawn.version

    @property
    def not_reused(self) -> Mapping[str, str]:
        """Nodes that have a cache and whose results cannot be reused all the same -> the reason."""
        return self._drawn.not_reused

    @functools.cached_property
    def slots(self) -> dict[str, ParameterSlot]:
        """Its parameters as Python sees them."""
        return parameter_slots(self.function, self.name)

    @functools.cached_property
    def parameters(self) -> Parameters:
        """Its parameters: schemas, check and coercion."""
        # pydantic takes long to load, and whoever only writes or imports workflows does not need it.
        from wfplatform.authoring.parameter import Parameters  # noqa: PLC0415

        return Parameters(self.name, self.slots)

    # -- running it

    def run(self, /, *args: P.args, **kwargs: P.kwargs) -> ExecutionHandle:
        """Start an execution on the platform.

        Args:
            args: parameters by place.
            kwargs: parameters by name. Text is taken for numbers and dates where it fits.

        Returns:
            A handle; `.result()` waits for what the workflow returns.

        Raises:
            ParameterError: parameters are missing, unknown or do not fit; all of them are told.
            TravelError: a function or value cannot leave this process.
        """
        parameters = self.parameters.to_json(self._by_name(args, kwargs))
        return current_platform().run(self, parameters, self._run_options)

    def run_many(self, parameters: Sequence[Mapping[str, Any]]) -> ExecutionHandles:
        """Start one execution for each set of parameters, in one go.

        Args:
            parameters: one dict for each execution.

        Returns:
            The handles, in the same order; `.results()` waits for all of them.

        Raises:
            ParameterError: parameters of at least one of them do not fit; nothing was started.
        """
        return current_platform().run_many(self, self.parameters.several_to_json(parameters), self._run_options)

    def plan(self, /, *args: P.args, **kwargs: P.kwargs) -> Forecast:
        """What `run` would do with these parameters: what runs, what is reused and why, and how long it may take. Nothing is run.

        Raises:
            ParameterError, TravelError: as for `run`.
        """
        parameters = self.parameters.to_json(self._by_name(args, kwargs))
        return current_platform().plan(self, parameters, self._run_options)

    def local(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it as plain Python in this process and return its result; for trying things out and for tests.

        The same meaning as on a platform, one node after the other: retries and delays do not wait,
        timeouts and caches do not apply. If a node fails, what does not depend on it still runs.

        Raises:
            ParameterError: as for `run`.
            NodeError: a node failed; `__cause__` is the error of the user's function.
        """
        execution = self.local_execution(*args, **kwargs)
        if execution.failures:
            raise execution.failures[0]
        return cast("R", execution.result)

    def local_execution(self, /, *args: P.args, **kwargs: P.kwargs) -> LocalExecution:
        """Like `local`, but returns how each node and element ended, and does not raise if some failed."""
        from wfplatform.authoring.local import run_here  # noqa: PLC0415  # loads asyncio and cloudpickle

        given = self.parameters.to_json(self._by_name(args, kwargs))
        return run_here(self, self.parameters.from_json(given))

    # -- inside another workflow function

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Inside another workflow function: record it as a node, to be run as a child execution."""
        if active_trace() is None:
            raise TypeError(
                f"Workflow `{self.name}` is not called like a function. To run it on the platform, write "
                f"{self.function.__name__}.run(...); to run it as plain Python in this process, "
                f"{self.function.__name__}.local(...). "
                "Inside another workflow function a call makes it a node."
            )
        return cast("R", self._record(args, kwargs))

    def map(self, /, *args: Any, **kwargs: Any) -> list[R]:
        """Inside another workflow function: one child execution for each item; the rules are those of
        `NodeFunction.map`.
        """
        return cast("list[R]", self._record(args, kwargs, mapped=True))

    def again(self, *, depth: int) -> Callable[P, R]:
        """Inside its own workflow function: call itself, by name, as a child execution.

        Args:
            depth: how often it may stand inside itself, 1 to 100; one more fails.
        """
        if not is_whole(depth, 1, 100):
            raise DefinitionError("recursion_depth", f"{self.name}.again: depth must be 1 to 100, got {depth!r}.")
        return lambda *args, **kwargs: cast("R", self._record(args, kwargs, depth=depth))

    def options(
        self,
        *,
        name: str | None = None,
        after: Any = (),
        retry: Retry | None = None,
        on_failure: OnFailure | str | None = None,
        on_skip: OnSkip | str | None = None,
        priority: int | None = None,
        timeout_s: float | None = None,
        tags: tuple[str, ...] = (),
        undo: Callable[..., Any] | None = None,
        idempotency_key: str | None = None,
        refresh: bool | str | tuple[str, ...] = False,
    ) -> Workflow[P, R]:
        """The same workflow with options for the next call or run:
        `flights.options(priority=5).run(year=2013)`.

        Args:
            name: what it is called as a node of another workflow.
            after: an output or a list of outputs of nodes that must have ended well before it starts.
            retry: as a node: whether another child execution is started when one fails.
            on_failure: as a node, like `on_skip`: see `node`.
            priority: larger runs earlier.
            timeout_s: seconds the execution may have work on the cluster.
            tags: added to those of the workflow.
            idempotency_key: for `run`: a second run with the same key answers with the execution of the first.
            undo: as a node, see `node`: takes back what a child execution did that completed.
            refresh: for `run`: True computes all nodes anew, whatever is kept of earlier executions, and keeps the new
                results in its place; names of nodes: these.
        """
        said = NodeOptions(
            name=name, retry=retry, on_failure=on_failure, on_skip=on_skip, priority=priority,
            timeout_s=timeout_s, undo=undo, tags=tags or None,
        )  # fmt: skip
        other: Workflow[P, R] = Workflow.__new__(Workflow)
        other.__dict__.update(self.__dict__)
        other._node_options = said.over(self._node_options)
        other._after = (*self._after, *(after if isinstance(after, (list, tuple)) else (after,)))
        other._run_options = self._run_options.over(
            priority=priority, timeout_s=timeout_s, tags=tags, idempotency_key=idempotency_key, refresh=refresh
        )
        return other

    # -- inner workings

    @property
    def _drawn(self) -> Drawing:
        if self._drawing is None or not self._drawing.holds():
            self._drawing = Drawing(self)
        return self._drawing

    def _record(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        mapped: bool = False,
        depth: int | None = None,
    ) -> Any:
        trace = active_trace(f"{self.name}.{'map' if mapped else 'again'}(...)")
        assert trace is not None
        return record_child(
            trace,
            self,
            self._by_name(args, kwargs),
            options=self._node_options,
            after=self._after,
            mapped=mapped,
            depth=depth,
        )

    def _by_name(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return arguments_by_name(self.slots, self.name, args, kwargs)

    def __repr__(self) -> str:
        return f"<workflow {self.name}{inspect.signature(self.function)}>"
