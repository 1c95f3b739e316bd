"""The recorder of a workflow function while it is drawn: each call of a node becomes a `Node` here.

One trace belongs to one call of one workflow function. Refuses values of other traces and calls when
nothing is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from wfplatform.authoring.key import are_the_same, function_key
from wfplatform.authoring.options import NodeDefaults, node_id
from wfplatform.authoring.output import Output, Outputs, Reference, describe
from wfplatform.core.graph import Binding, Graph, Guard, Json, Node, OutputRef, Parameter
from wfplatform.core.policy import Policy
from wfplatform.errors import DefinitionError

if TYPE_CHECKING:
    from wfplatform.authoring.workflow import Workflow

__all__ = ["Trace", "Traced", "active_trace", "refuse_references", "tracing"]

_active: ContextVar[Trace | None] = ContextVar("wfplatform_trace", default=None)


@dataclass(frozen=True, kw_only=True)
class Traced:
    """What a workflow function came to.

    Args:
        functions: function key -> plain function, for every function that a node names.
        constants: digest -> pickled value, for every `Constant` of the graph.
        children: workflow name -> workflow, for every workflow that a node names, this one itself apart.
    """

    graph: Graph
    functions: Mapping[str, Callable[..., Any]]
    constants: Mapping[str, bytes]
    children: Mapping[str, Workflow[..., Any]]


@dataclass(slots=True)
class _Block:
    """The body of the workflow function or of one `with if_(...)` or `with else_()` in it."""

    guard: Guard | None = None
    open_choice: str | None = None
    """The choice whose `with if_` block has just ended, so that `else_` may follow."""


@dataclass(slots=True, kw_only=True)
class Trace:
    """What has been recorded so far.

    Args:
        workflow: its name, for messages.
        defaults: what the workflow says for all its nodes.
        outer: the trace in whose workflow function this workflow is called, if any.
    """

    workflow: str
    defaults: NodeDefaults = field(default_factory=NodeDefaults)
    outer: Trace | None = None
    nodes: dict[str, Node] = field(default_factory=dict)
    unwinding: dict[str, Node] = field(default_factory=dict)
    functions: dict[str, Callable[..., Any]] = field(default_factory=dict)
    constants: dict[str, bytes] = field(default_factory=dict)
    children: dict[str, Workflow[..., Any]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    """Mapped node -> number of its elements in the first dimension, where that is known already."""
    blocks: list[_Block] = field(default_factory=lambda: [_Block()])

    def rank(self, node: str) -> int:
        """Rank of a recorded node."""
        return self.nodes[node].rank

    def free_id(self, name: str) -> str:
        """The id the next node of this name gets: `load`, then `load-2`, `load-3`."""
        first = node_id(name)
        found, number = first, 1
        while found in self.nodes or found in self.unwinding:
            number += 1
            found = f"{first}-{number}"
        return found

    def function(self, function: Callable[..., Any]) -> str:
        """Keep a function for the workers; returns its key."""
        key = found = function_key(function)
        number = 1
        # A key is a digest of what can be told of a function; what cannot be told may still differ.
        while found in self.functions and not are_the_same(self.functions[found], function):
            number += 1
            found = f"{key}-{number}"
        self.functions[found] = function
        return found

    def add(
        self,
        id: str,
        *,
        type: str,
        inputs: Mapping[str, Binding],
        over: Mapping[str, int] | None = None,
        outputs: tuple[str, ...] = ("result",),
        config: Mapping[str, Json] | None = None,
        policy: Policy | None = None,
        after: Sequence[Output | Outputs] = (),
        label: str = "",
        count: int | None = None,
    ) -> Any:
        """Record a node in the present block.

        Args:
            count: number of elements in the first dimension of a mapped node, if known.

        Returns:
            Its `Output`, or `Outputs` if it has several.
        """
        block = self.blocks[-1]
        block.open_choice = None
        self.nodes[id] = Node(
            id=id,
            type=type,
            label=label,
            inputs=inputs,
            over={port: levels for port, levels in (over or {}).items() if levels},
            outputs=outputs,
            after=tuple(dict.fromkeys(self.node_of(one) for one in after)),
            guard=block.guard,
            config=config or {},
            policy=policy or Policy(),
        )
        if count is not None:
            self.counts[id] = count
        parts = {port: Output(self, OutputRef(id, port)) for port in outputs}
        return Outputs(parts) if len(parts) > 1 else parts[outputs[0]]

    def node_of(self, output: object) -> str:
        """The node whose output this is."""
        if isinstance(output, Outputs):
            output = output[0]
        if not isinstance(output, Output):
            raise DefinitionError(
                "after",
                f"Workflow `{self.workflow}`: `after` expects what calls of nodes returned, got {output!r} "
                f"({type(output).__name__}).",
                "Write a = f() and then g.options(after=[a])().",
            )
        self.own(output)
        return output._wf_ref.node

    def own(self, reference: Reference) -> None:
        """Refuse a value of another workflow, or of an earlier drawing of this one."""
        if reference._wf_trace is not self:
            raise DefinitionError(
                "foreign_output",
                f"{describe(reference)} belongs to workflow `{reference._wf_trace.workflow}` and is used in "
                f"`{self.workflow}`, where it has no value.",
                "Hand it over as a parameter, and use outputs only in the workflow function in which they were made.",
            )

    @contextmanager
    def branch(self, choice: str, verdict: bool) -> Iterator[None]:
        """Record what follows as a branch of a choice."""
        self.blocks.append(_Block(Guard(choice, verdict)))
        try:
            yield
        finally:
            self.blocks.pop()
            self.blocks[-1].open_choice = choice if verdict else None

    def finish(self, result: Binding, parameters: tuple[Parameter, ...]) -> Traced:
        """What was recorded, unchangeable."""
        return Traced(
            graph=Graph(
                nodes=tuple(self.nodes.values()),
                result=result,
                parameters=parameters,
                unwinding=tuple(self.unwinding.values()),
            ),
            functions=self.functions,
            constants=self.constants,
            children=self.children,
        )


def active_trace(wanted_by: str = "") -> Trace | None:
    """The trace of the workflow function that is being drawn here and now.

    Args:
        wanted_by: what cannot do without one, for the message; empty = may be None.

    Raises:
        DefinitionError: something cannot do without one, and there is none.
    """
    found = _active.get()
    if found is None and wanted_by:
        raise DefinitionError(
            "not_in_workflow",
            f"{wanted_by} can be used only inside a function decorated with @workflow, while it is drawn.",
            "Put the call into a workflow function, and start that with .run() or .local().",
        )
    return found


def refuse_references(called: str, values: Sequence[object]) -> None:
    """Refuse outputs as arguments of a plain call, outside any workflow function."""
    for value in values:
        if isinstance(value, (Reference, Outputs)):
            what = describe(value) if isinstance(value, Reference) else repr(value)
            raise DefinitionError(
                "output_outside",
                f"{called} was called with {what} outside the workflow function in which that was made; it "
                "has no value here.",
                "Return it from the workflow function: .run(...).result() and .local(...) give its value.",
            )


@contextmanager
def tracing(trace: Trace) -> Iterator[Trace]:
    """Record the nodes called inside a `with` block."""
    token = _active.set(trace)
    try:
        yield trace
    finally:
        _active.reset(token)
