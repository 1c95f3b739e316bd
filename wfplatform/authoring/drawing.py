"""What a workflow function comes to when it is called with stand-ins for its parameters.

Made for notebooks too, where functions are replaced: a drawing knows whether what it saw still holds.
Refuses to change: a workflow that was written anew is drawn anew.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Set
from dataclasses import replace
from types import FunctionType
from typing import TYPE_CHECKING, Any, cast

from wfplatform.authoring.circle import refuse_circle
from wfplatform.authoring.environment import declared_environment
from wfplatform.authoring.names import names_read
from wfplatform.authoring.output import ParameterInput
from wfplatform.authoring.trace import Trace, Traced, active_trace, tracing
from wfplatform.authoring.value import bind_value
from wfplatform.core.graph import Binding, DictOf, Graph, ListOf, NodeKind, OutputRef, ParameterRef
from wfplatform.core.hook import Hook
from wfplatform.core.policy import Policy

if TYPE_CHECKING:
    from wfplatform.authoring.code import Code
    from wfplatform.authoring.workflow import Workflow

__all__ = ["Drawing"]


class Drawing:
    """A workflow as drawn once; its code and version are made when first asked for.

    Args:
        workflow: what is drawn, here and now.
    """

    def __init__(self, workflow: Workflow[..., Any]) -> None:
        self._workflow = workflow
        self._seen = self._look()
        self.traced = self._draw()
        self._caches = [node.policy.cache for node in self.traced.graph.nodes if node.policy.cache is not None]
        self._environment = declared_environment(self._caches)

    def holds(self) -> bool:
        """Whether all functions it reaches by name are still the same."""
        now = self._look()
        if len(now) != len(self._seen) or any(map(operator.is_not, now, self._seen)):
            return False
        return self._environment == declared_environment(self._caches)

    @functools.cached_property
    def graph(self) -> Graph:
        """The graph, with the version of each workflow that it calls."""
        graph, children = self.traced.graph, self.traced.children
        nodes = tuple(
            replace(node, config={**node.config, "version": children[name].version})
            if node.type == NodeKind.WORKFLOW and (name := str(node.config["workflow"])) in children
            else node
            for node in graph.nodes
        )
        return replace(graph, nodes=nodes) if children else graph

    @functools.cached_property
    def hooks(self) -> tuple[Hook, ...]:
        """What is run to tell of its executions, each with its version."""
        refuse_circle(self._workflow)
        return tuple(
            Hook(on=one.on, workflow=one.workflow.name, version=one.workflow.version) for one in self._workflow.hooks
        )

    @functools.cached_property
    def code(self) -> Code:
        """What a worker needs."""
        from wfplatform.authoring.travel import pack  # noqa: PLC0415  # only who publishes pays for it

        slots = self._workflow.slots.values()
        types = {slot.name: slot.annotation for slot in slots if slot.annotation is not inspect.Parameter.empty}
        nodes = (node for node in self.traced.graph.every if node.type == NodeKind.PYTHON)
        names = {str(node.config["function"]): node.label or node.id for node in nodes}
        return pack(self.traced.functions, self.traced.constants, types, names, self._environment)

    @functools.cached_property
    def not_reused(self) -> dict[str, str]:
        """Nodes with a cache whose results cannot be reused -> why."""
        functions = self.code.functions
        found: dict[str, str] = {}
        for node in self.traced.graph.nodes:
            if node.policy.cache is None:
                continue
            if node.type != NodeKind.PYTHON:
                found[node.id] = f"it is a {node.type}, and only results of single functions are reused"
            elif (entry := functions[str(node.config["function"])]).digest is None:
                found[node.id] = f"its code cannot be compared: {entry.reason}"
        return found

    @functools.cached_property
    def version(self) -> str:
        """The digest."""
        from wfplatform.authoring.document import definition_digest  # noqa: PLC0415

        return definition_digest(self._workflow.as_definition(), self.code.digest)

    def _look(self) -> tuple[object, ...]:
        kind = type(self._workflow)
        found: list[object] = []
        functions = [cast("FunctionType", self._workflow.function), *_told_by(self._workflow)]
        seen: set[int] = set()
        for function in functions:  # grows while it is walked through: hooks of what is named, and what those name
            if id(function) not in seen:
                seen.add(id(function))
                for value in names_read(function, kind):
                    found.append(value)
                    functions += _told_by(value) if isinstance(value, kind) else ()
        return tuple(found)

    def _draw(self) -> Traced:
        workflow = self._workflow
        trace = Trace(workflow=workflow.name, defaults=workflow.defaults, outer=active_trace())
        inputs = {
            name: ParameterInput(trace, ParameterRef(name), slot.is_collection) for name, slot in workflow.slots.items()
        }
        bound = inspect.BoundArguments(inspect.signature(workflow.function), cast("Any", inputs))
        with tracing(trace):
            returned = workflow.function(*bound.args, **bound.kwargs)
        result = bind_value(trace, returned, f"workflow `{workflow.name}`, result")
        typed = {name for name, slot in workflow.slots.items() if not slot.is_plain}
        return trace.finish(_opened(trace, result, typed, {}), workflow.parameters.declared)


def _told_by(workflow: Workflow[..., Any]) -> list[FunctionType]:
    """The functions behind the hooks of a workflow."""
    return [cast("FunctionType", one.workflow.function) for one in workflow.hooks]


def _opened(trace: Trace, result: Binding, typed: Set[str], known: dict[Binding, OutputRef]) -> Binding:
    """A result in which parameters that are more than JSON come from a node, which makes them on a worker.

    Who waits for the result has the parameters as they were given, and not the types.
    """
    match result:
        case ParameterRef(name=name) if name in typed:
            if result not in known:
                id = trace.free_id(name)
                trace.add(id, type=NodeKind.MERGE, inputs={"0": result}, policy=Policy())
                known[result] = OutputRef(id)
            return known[result]
        case ListOf(items=items):
            return replace(result, items=tuple(_opened(trace, item, typed, known) for item in items))
        case DictOf(items=pairs):
            return replace(result, items=tuple((key, _opened(trace, item, typed, known)) for key, item in pairs))
        case _:
            return result
