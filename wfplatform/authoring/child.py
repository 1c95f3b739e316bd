"""A workflow as a node of another workflow: which of its parameters come from where.

Refuses a workflow that calls itself without a bound: drawing it would never end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from wfplatform.authoring.mapping import is_listing, listed, map_arguments
from wfplatform.authoring.node import as_node
from wfplatform.authoring.options import NodeDefaults, NodeOptions
from wfplatform.authoring.output import Each, Outputs, Reference, Unmapped
from wfplatform.authoring.trace import Trace
from wfplatform.authoring.unwinding import lay_out
from wfplatform.authoring.value import bind_value, holds_references, is_plain_json
from wfplatform.core.graph import Binding, Constant, DictOf, Json, ListOf, Literal, NodeKind
from wfplatform.core.unwinds import UnwindOccasion
from wfplatform.errors import DefinitionError, ParameterError

if TYPE_CHECKING:
    from wfplatform.authoring.workflow import Workflow

__all__ = ["record_child"]


def record_child(
    trace: Trace,
    child: Workflow[..., Any],
    arguments: Mapping[str, Any],
    *,
    options: NodeOptions,
    after: Sequence[Any],
    mapped: bool,
    depth: int | None,
) -> Any:
    """Record a call of a workflow inside the workflow function of another.

    Args:
        arguments: parameter -> value or output.
        mapped: whether it was called by `.map`.
        depth: for a call of itself by name: how often it may stand inside itself.

    Returns:
        The `Output`.

    Raises:
        DefinitionError: it calls itself without a bound, or the map does not fit.
        ParameterError: a parameter is unknown, missing, or a plain value does not fit.
    """
    line = _line(trace)
    if depth is None and child.name in line:
        way = " -> ".join([*reversed(line[: line.index(child.name) + 1]), child.name])
        raise DefinitionError(
            "recursion",
            f"Workflow `{child.name}` calls itself ({way}), so drawing it would never end.",
            f"Call it by name with a bound, inside an if_: {child.name}.again(depth=10)(...).",
            workflow=child.name,
        )
    if depth is not None and child.name not in line:
        raise DefinitionError(
            "recursion",
            f"{child.name}.again(...) is for calling a workflow inside itself; here workflow "
            f"`{trace.workflow}` is drawn.",
            f"Call it directly: {child.name}(...).",
            workflow=child.name,
        )
    id = trace.free_id(options.name or child.name)
    _check_names(child, arguments, id)
    arguments = {name: _checked(child, name, value, mapped=mapped) for name, value in arguments.items()}
    inputs: Mapping[str, Binding]
    over: Mapping[str, int] = {}
    count = None
    if mapped:
        along = map_arguments(trace, id, arguments)
        inputs, over, count = along.inputs, along.over, along.count
    else:
        inputs = {name: _bound(trace, value, f"node `{id}`, parameter `{name}`") for name, value in arguments.items()}
    for name, binding in inputs.items():
        _refuse_constants(binding, f"node `{id}`, parameter `{name}`")
    config: dict[str, Json] = {"workflow": child.name}
    if depth is None:
        _keep(trace, child)
    else:
        config["depth"] = depth
    label = options.name or child.name
    found = trace.add(
        id,
        type=NodeKind.WORKFLOW,
        inputs=inputs,
        over=over,
        config=config,
        # Defaults are for nodes that run code; a child execution follows the policy of its own workflow.
        policy=replace(options, effect=False).policy(NodeDefaults(), is_async=False),
        after=after,
        label="" if label == id else label,
        count=count,
    )
    if options.undo is not None:
        lay_out(trace, id, UnwindOccasion.UNDO, as_node(options.undo))
    return found


def _line(trace: Trace) -> list[str]:
    """The workflows that are being drawn, innermost first."""
    found: list[str] = []
    current: Trace | None = trace
    while current is not None:
        found.append(current.workflow)
        current = current.outer
    return found


def _keep(trace: Trace, child: Workflow[..., Any]) -> None:
    known = trace.children.get(child.name)
    if known is not None and known.function is not child.function:
        raise DefinitionError(
            "children_of_one_name",
            f"Workflow `{trace.workflow}` calls two different workflows that are both called `{child.name}`.",
            'Give one of them another name: @workflow(name="...").',
            workflow=trace.workflow,
        )
    if known is None:
        child.traced  # noqa: B018  # drawn now, so that its errors and its recursion are told here
        trace.children[child.name] = child


def _check_names(child: Workflow[..., Any], arguments: Mapping[str, Any], id: str) -> None:
    problems = child.parameters.missing_or_unknown(arguments)
    if problems:
        lines = "".join(f"\n  {problem}" for problem in problems)
        raise ParameterError(
            "parameters",
            f"node `{id}`: the parameters of workflow `{child.name}` do not fit.{lines}",
            workflow=child.name,
            problems=[problem.as_fact() for problem in problems],
        )


def _checked(child: Workflow[..., Any], name: str, value: Any, *, mapped: bool) -> Any:
    """A plain value, checked and as JSON: the platform starts children without opening pickles."""
    if isinstance(value, (Reference, Outputs, Each)):
        return value
    if isinstance(value, Unmapped):
        inner = _checked(child, name, value.value, mapped=False)
        return Unmapped(inner)
    if holds_references(value):
        return value
    if mapped and is_listing(value):
        return [child.parameters.value_to_json(name, item) for item in listed(child.name, name, value)]
    return child.parameters.value_to_json(name, value)


def _bound(trace: Trace, value: Any, place: str) -> Binding:
    # However large: a constant could not be opened where children are started.
    return Literal(value) if is_plain_json(value) else bind_value(trace, value, place)


def _refuse_constants(binding: Binding, place: str) -> None:
    match binding:
        case Constant(preview=preview):
            raise DefinitionError(
                "child_constant",
                f"{place}: {preview} cannot be written as JSON that is the same everywhere, and child "
                "executions are started "
                "without opening pickled values.",
                "Hand it over as text or as plain numbers, or make it in a node.",
            )
        case ListOf(items=items):
            for item in items:
                _refuse_constants(item, place)
        case DictOf(items=pairs):
            for _, item in pairs:
                _refuse_constants(item, place)
        case _:
            return
