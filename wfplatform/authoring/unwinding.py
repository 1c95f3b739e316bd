"""What undoes a node and what cleans up after it, laid out as nodes of their own when the workflow function is drawn.

A function's parameters are matched by name: `result`, and the node's own inputs. Refuses functions that ask for anything else.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from wfplatform.authoring.trace import Trace
from wfplatform.authoring.value import bind_value
from wfplatform.core.graph import Binding, Node, NodeKind, OutputRef
from wfplatform.core.policy import OnSkip
from wfplatform.core.unwinds import UnwindOccasion, Unwinds
from wfplatform.errors import DefinitionError

if TYPE_CHECKING:
    from wfplatform.authoring.node import NodeFunction

__all__ = ["RESULT", "lay_out"]

RESULT: Final = "result"
"""The parameter that gets what the node returned."""


def lay_out(
    trace: Trace, id: str, occasion: UnwindOccasion, by: NodeFunction[..., Any], work: inspect.Signature | None = None
) -> None:
    """Record what takes back the work of a node.

    Args:
        trace: where the node is recorded already.
        id: the node.
        occasion: for which of its elements it runs.
        by: the function, with its own policy.
        work: the signature of the node's own function, for the values it has for what is not given.

    Raises:
        DefinitionError: the function or its options do not fit.
    """
    node = trace.nodes[id]
    _check_options(by, occasion, id)
    inputs: dict[str, Binding] = {}
    over: dict[str, int] = {}
    known = _known(trace, node, occasion, work)
    for name, parameter in by.signature.parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise _misfit(id, occasion, by, f"takes `{parameter}`, whose parts have no names", known)
        if name in known:
            inputs[name], levels = known[name]
            if levels:
                over[name] = levels
        elif parameter.default is parameter.empty:
            raise _misfit(id, occasion, by, f"wants `{name}`", known)
    if max(over.values(), default=0) != node.rank:
        raise _misfit(id, occasion, by, "takes nothing by which the elements of the map can be told apart", known)
    name = trace.free_id(f"{id}-{occasion}")
    policy = by.declared.policy(trace.defaults, is_async=by.is_async)
    trace.unwinding[name] = Node(
        id=name,
        type=NodeKind.PYTHON,
        label=by.name,
        inputs=inputs,
        over=over,
        config={"function": trace.function(by.function)},
        # Where nobody knows what an effect came to, or where the node itself was given None.
        policy=replace(policy, on_skip=OnSkip.NONE),
        unwinds=Unwinds(id, occasion),
    )


def _known(
    trace: Trace, node: Node, occasion: UnwindOccasion, work: inspect.Signature | None
) -> Mapping[str, tuple[Binding, int]]:
    """What the function may ask for: name -> binding, and over how many levels it is mapped."""
    found: dict[str, tuple[Binding, int]] = {}
    for name, parameter in (work.parameters if work is not None else {}).items():
        if parameter.default is not parameter.empty:
            found[name] = bind_value(trace, parameter.default, f"node `{node.id}`, default of `{name}`"), 0
    found |= {port: (binding, node.over.get(port, 0)) for port, binding in node.inputs.items()}
    if occasion is UnwindOccasion.UNDO:
        names = {RESULT: node.outputs[0]} if len(node.outputs) == 1 else {port: port for port in node.outputs}
        found |= {name: (OutputRef(node.id, port), node.rank) for name, port in names.items()}
    return found


def _check_options(by: NodeFunction[..., Any], occasion: UnwindOccasion, id: str) -> None:
    said = by.declared
    without_meaning: Mapping[str, Callable[[], object]] = {
        "cache": lambda: said.cache,
        "limit": lambda: said.limit,
        "breaker": lambda: said.breaker,
        "outputs": lambda: said.outputs,
        "undo": lambda: said.undo,
        "cleanup": lambda: said.cleanup,
        "on_failure": lambda: said.on_failure,
        "on_skip": lambda: said.on_skip,
    }
    for option, value in without_meaning.items():
        if value():
            raise DefinitionError(
                "unwind_option",
                f"node `{id}`: {occasion}={by.name} has the option `{option}`, which has no meaning there.",
                "Give it retry, timeout_s, effect, io, resources or priority, or nothing.",
                node=id,
            )


def _misfit(
    id: str, occasion: UnwindOccasion, by: NodeFunction[..., Any], what: str, known: Mapping[str, object]
) -> DefinitionError:
    return DefinitionError(
        "unwind_arguments",
        f"node `{id}`: {occasion}={by.name}{by.signature} {what}; it can have {', '.join(known) or 'nothing'}.",
        "Its parameters are matched by name: the inputs of the node"
        + (", and `result` (or the names of its outputs)." if occasion is UnwindOccasion.UNDO else "."),
        node=id,
    )
