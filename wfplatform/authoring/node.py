"""`@node`: a Python function as a node type of its own.

Called inside a workflow function it is recorded; called anywhere else it is the plain function it was.
Refuses classes, methods and generators, which have no lasting name or no result that could be handed on.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, Self, cast, overload

from wfplatform.authoring.key import is_importable
from wfplatform.authoring.mapping import map_arguments
from wfplatform.authoring.options import NodeOptions
from wfplatform.authoring.trace import Trace, active_trace, refuse_references
from wfplatform.authoring.unwinding import lay_out
from wfplatform.authoring.value import bind_value
from wfplatform.core.graph import NodeKind
from wfplatform.core.policy import Breaker, Cache, Limit, OnFailure, OnSkip, Retry
from wfplatform.core.unwinds import UnwindOccasion
from wfplatform.errors import DefinitionError

__all__ = ["NodeDecorator", "NodeFunction", "argument_ports", "as_node", "node"]


class NodeFunction[**P, R]:
    """A function that is a node when called inside a workflow function. Made by `@node`.

    Args:
        function: the plain function.
        options: what the decorator said.
        after: outputs of nodes that must have ended well before this one.
    """

    __name__: str
    __qualname__: str

    def __init__(self, function: Callable[P, R], options: NodeOptions | None = None, after: Sequence[Any] = ()) -> None:
        self.declared = options or NodeOptions()
        _refuse_strange(function, self.declared.name)
        functools.update_wrapper(self, function)
        self.function = function
        self.name: str = self.declared.name or function.__name__.strip("<>")
        self.is_async = inspect.iscoroutinefunction(function)
        self._after = tuple(after)
        if self.is_async:
            inspect.markcoroutinefunction(self)

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function; inside a workflow function, record a node and return its `Output`."""
        trace = active_trace()
        if trace is None:
            refuse_references(f"`{self.name}`", [*args, *kwargs.values()])
            return self.function(*args, **kwargs)
        id = trace.free_id(self.name)
        ports = argument_ports(self.signature, self.name, args, kwargs)
        inputs = {port: bind_value(trace, value, f"node `{id}`, input `{port}`") for port, value in ports.items()}
        return cast("R", self._record(trace, id, inputs=inputs))

    def map(self, /, *args: Any, **kwargs: Any) -> list[R]:
        """Record one element of the node for each item of the lists and outputs given, item by item, like
        zip.

        Lists, tuples, ranges, sets, iterators, outputs and list parameters are mapped over; everything
        else, and what is marked `unmapped(...)`, goes whole to every element. An output that is mapped
        itself is followed element by element; `each(out)` goes one level deeper. A mapped output handed to
        a plain call is the list of all results.

        Returns:
            The `Output` of the mapped node.

        Raises:
            DefinitionError: nothing is mapped over, or lists differ in length.

        Example:
            >>> from wfplatform import node, workflow
            >>> @node
            ... def scale(x: int, by: int) -> int:
            ...     return x * by
            >>> @workflow
            ... def scaled():
            ...     return scale.map([1, 2, 3], by=10)
            >>> scaled.local()
            [10, 20, 30]
        """
        trace = active_trace(f"{self.name}.map(...)")
        assert trace is not None
        self._refuse_variadic()
        id = trace.free_id(self.name)
        ports = argument_ports(self.signature, self.name, args, kwargs)
        mapped = map_arguments(trace, id, ports)
        return cast("list[R]", self._record(trace, id, inputs=mapped.inputs, over=mapped.over, count=mapped.count))

    def options(
        self,
        *,
        after: Any = (),
        name: str | None = None,
        outputs: tuple[str, ...] | None = None,
        retry: Retry | None = None,
        timeout_s: float | None = None,
        cache: bool | Cache | None = None,
        io: bool | None = None,
        resources: Mapping[str, float] | None = None,
        priority: int | None = None,
        limit: Limit | tuple[str, int] | None = None,
        breaker: Breaker | str | None = None,
        on_failure: OnFailure | str | None = None,
        on_skip: OnSkip | str | None = None,
        effect: bool | str | None = None,
        undo: Callable[..., Any] | None = None,
        cleanup: Callable[..., Any] | None = None,
        tags: tuple[str, ...] | None = None,
    ) -> NodeFunction[P, R]:
        """The same node with other options: `load.options(name="load_2013", after=[cleared])(path)`.

        Args:
            after: an output, or a list of outputs, of nodes that must have ended well before this one
                starts.
            name: as in `node`, like all that follow; what is not given stays as the decorator said.
        """
        said = NodeOptions(
            name=name, outputs=outputs, retry=retry, timeout_s=timeout_s, cache=cache, io=io,
            resources=resources,
            priority=priority, limit=limit, breaker=breaker, on_failure=on_failure, on_skip=on_skip, effect=effect,
            undo=undo, cleanup=cleanup, tags=tags,
        )  # fmt: skip
        waits_for = tuple(after) if isinstance(after, (list, tuple)) else (after,)
        return NodeFunction(self.function, said.over(self.declared), (*self._after, *waits_for))

    @functools.cached_property
    def signature(self) -> inspect.Signature:
        """The signature of the function."""
        return inspect.signature(self.function)

    def record_as(self, trace: Trace, **record: Any) -> Any:
        """Record a node of another type with this function's options; for `loop`."""
        defaults = trace.defaults
        label = self.declared.name or ""
        policy = self.declared.policy(defaults, is_async=self.is_async)
        id = trace.free_id(self.name)
        found = trace.add(id, policy=policy, after=self._after, label=label, **record)
        self._lay_out(trace, id)
        return found

    def _record(self, trace: Trace, id: str, **record: Any) -> Any:
        label = self.declared.name if self.declared.name not in (None, id) else ""
        found = trace.add(
            id,
            type=NodeKind.PYTHON,
            outputs=self.declared.ports,
            config={"function": trace.function(self.function)},
            policy=self.declared.policy(trace.defaults, is_async=self.is_async),
            after=self._after,
            label=label or "",
            **record,
        )
        self._lay_out(trace, id)
        return found

    def _lay_out(self, trace: Trace, id: str) -> None:
        """Record what undoes the node, and what cleans up after it."""
        for occasion, by in (
            (UnwindOccasion.UNDO, self.declared.undo),
            (UnwindOccasion.CLEANUP, self.declared.cleanup),
        ):
            if by is not None:
                lay_out(trace, id, occasion, as_node(by), self.signature)

    def _refuse_variadic(self) -> None:
        for parameter in self.signature.parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise DefinitionError(
                    "map_variadic",
                    f"{self.name}.map(...): the function takes `{parameter}`, whose parts have no names to map over.",
                    "Write the parameters out, or let the function take a list.",
                    node=self.name,
                )

    def __get__(self, instance: object, owner: type | None = None) -> Self:
        if instance is not None:
            raise DefinitionError(
                "node_method",
                f"`{self.name}` is a method of {type(instance).__name__}; a node cannot be a method, "
                "because its object would "
                "have to travel with every call.",
                "Write it as a function and hand over what it needs of the object.",
            )
        return self

    def __reduce__(self) -> str | tuple[Any, ...]:
        # By name only where the name leads here on the other side too, to this object.
        path = self.function.__qualname__
        found: Any = sys.modules.get(self.function.__module__)
        for part in path.split("."):
            found = getattr(found, part, None)
        if found is self and is_importable(self.function):
            return path
        return NodeFunction, (self.function, self.declared)

    def __repr__(self) -> str:
        return f"<node {self.name}{self.signature}>"


class NodeDecorator(Protocol):
    """What `@node(...)` with options returns."""

    def __call__[**P, R](self, function: Callable[P, R], /) -> NodeFunction[P, R]:
        """Make a node of a function."""
        ...


@overload
def node[**P, R](
    function: Callable[P, R],
    /,
    *,
    name: str | None = None,
    outputs: tuple[str, ...] | None = None,
    retry: Retry | None = None,
    timeout_s: float | None = None,
    cache: bool | Cache | None = None,
    io: bool | None = None,
    resources: Mapping[str, float] | None = None,
    priority: int | None = None,
    limit: Limit | tuple[str, int] | None = None,
    breaker: Breaker | str | None = None,
    on_failure: OnFailure | str | None = None,
    on_skip: OnSkip | str | None = None,
    effect: bool | str | None = None,
    undo: Callable[..., Any] | None = None,
    cleanup: Callable[..., Any] | None = None,
    tags: tuple[str, ...] | None = None,
) -> NodeFunction[P, R]: ...
@overload
def node(
    *,
    name: str | None = None,
    outputs: tuple[str, ...] | None = None,
    retry: Retry | None = None,
    timeout_s: float | None = None,
    cache: bool | Cache | None = None,
    io: bool | None = None,
    resources: Mapping[str, float] | None = None,
    priority: int | None = None,
    limit: Limit | tuple[str, int] | None = None,
    breaker: Breaker | str | None = None,
    on_failure: OnFailure | str | None = None,
    on_skip: OnSkip | str | None = None,
    effect: bool | str | None = None,
    undo: Callable[..., Any] | None = None,
    cleanup: Callable[..., Any] | None = None,
    tags: tuple[str, ...] | None = None,
) -> NodeDecorator: ...
def node(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    outputs: tuple[str, ...] | None = None,
    retry: Retry | None = None,
    timeout_s: float | None = None,
    cache: bool | Cache | None = None,
    io: bool | None = None,
    resources: Mapping[str, float] | None = None,
    priority: int | None = None,
    limit: Limit | tuple[str, int] | None = None,
    breaker: Breaker | str | None = None,
    on_failure: OnFailure | str | None = None,
    on_skip: OnSkip | str | None = None,
    effect: bool | str | None = None,
    undo: Callable[..., Any] | None = None,
    cleanup: Callable[..., Any] | None = None,
    tags: tuple[str, ...] | None = None,
) -> NodeFunction[..., Any] | NodeDecorator:
    """Make a function a node: plain when called by itself, recorded when called inside a `@workflow`
    function.

    Args:
        name: what it is called in the workflow; default: the name of the function.
        outputs: names of several outputs; the function then returns a tuple of as many, or a dict with
            these keys.
        retry: when and how often to try again after an error.
        timeout_s: seconds one try may take, at most 86,400.
        cache: True, or a `Cache`, to reuse results of earlier executions for the same code and inputs.
        io: it mostly waits, so many may share a worker. Default: True for `async def`, else False.
        resources: Dask resources a worker must have, as in {"GPU": 1}.
        priority: larger runs earlier.
        limit: a `Limit`, or its name and how many elements may run at once in one execution, as in ("db", 4).
        breaker: a `Breaker`, or its name: while what it uses fails again and again, it is left in peace.
        on_failure: "skip" (default) or "fail": what becomes of this node when one before it failed.
        on_skip: "skip" (default), or "none": run it with None in place of what was skipped.
        effect: it changes the world outside: it runs on its own, once it is committed that it does, and what needs it begins once
            its outcome is committed. Lost while it ran, it runs again with the same `idempotency_key`; with "ask" a person
            decides.
        undo: a function that takes back what the node did, when its execution fails or is cancelled; run for each element that
            completed, after what came after it was undone. Its parameters are matched by name: `result`, and the node's inputs.
            Give it a policy of its own by making it a node function.
        cleanup: a function that tidies up after an element that began and did not complete; gets the node's inputs by name. A
            node with either is an effect unless it says `effect=False`.
        tags: free words to find it by.

    Returns:
        A `NodeFunction`.

    Raises:
        DefinitionError: it is not a plain function, or an option does not fit.

    Example:
        >>> from wfplatform import Retry, node
        >>> @node(retry=Retry(attempts=3, delay_s=1), timeout_s=60)
        ... def add(x: int, y: int = 1) -> int:
        ...     return x + y
        >>> add(1)
        2
    """
    options = NodeOptions(
        name=name, outputs=outputs, retry=retry, timeout_s=timeout_s, cache=cache, io=io, resources=resources,
        priority=priority, limit=limit, breaker=breaker, on_failure=on_failure, on_skip=on_skip, effect=effect,
        undo=undo, cleanup=cleanup, tags=tags,
    )  # fmt: skip
    if function is not None:
        return NodeFunction(function, options)

    def decorate(function: Callable[..., Any], /) -> NodeFunction[..., Any]:
        return NodeFunction(function, options)

    return cast("NodeDecorator", decorate)


def as_node(function: Callable[..., Any]) -> NodeFunction[..., Any]:
    """A node function as it is, a plain function as a node without options."""
    return function if isinstance(function, NodeFunction) else NodeFunction(function)


def argument_ports(
    signature: inspect.Signature, name: str, args: Sequence[object], kwargs: Mapping[str, object]
) -> dict[str, object]:
    """The arguments of a call by the names of the parameters; those left out stay left out, for the
    function's own defaults.

    Raises:
        DefinitionError: they do not fit the signature.
    """
    try:
        return dict(signature.bind(*args, **kwargs).arguments)
    except TypeError as error:
        raise DefinitionError(
            "node_arguments",
            f"The call of `{name}` does not fit: {error}; expected {name}{signature}.",
            "Give each parameter that has no default once, by place or by name.",
            node=name,
        ) from None


def _refuse_strange(function: object, given: str | None) -> None:
    what, hint = "", "Decorate a plain function: `@node` above `def`."
    if isinstance(function, NodeFunction):
        what, hint = "is a node already", "Use f.options(...) to change its options."
    elif isinstance(function, (staticmethod, classmethod)):
        what = f"is a {type(function).__name__}"
    elif isinstance(function, type):
        what, hint = "is a class", "Write a function that makes the object and returns it."
    elif not inspect.isroutine(function):
        what, hint = (
            f"is a {type(function).__name__}, not a function",
            "Wrap it: `@node` above a `def` that calls it.",
        )
    elif inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        what, hint = "yields, and a generator cannot be handed from node to node", "Return a list instead."
    if what:
        name = given or getattr(function, "__name__", None) or repr(function)
        raise DefinitionError("node_function", f"`{name}` cannot be a node: it {what}.", hint, node=str(name))
