"""What an element was given, as far as it can be shown: plain data opened, everything else described.

Refuses to open what may hold a user's code; those values are opened on workers and by results only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from wfplatform.authoring.call import follow, items_of
from wfplatform.core.dead_letter import InputView
from wfplatform.core.execution import Element
from wfplatform.core.graph import Binding, Constant, Graph, Json, Literal, OutputRef, ParameterRef, PathStep, references
from wfplatform.core.ports import StoredRun
from wfplatform.engine.shape import outputs_of_runs, sizes_of_runs
from wfplatform.engine.values import EngineInputs, UnreadableError
from wfplatform.errors import NodeError, StorageError

__all__ = ["input_views", "sources_of"]

_OPENED_BYTES: Final = 1024 * 1024
"""A larger value is described only; of a larger collection, the one item may be shown."""
_SEARCHED_BYTES: Final = 64 * 1024 * 1024


def sources_of(graph: Graph, node: str, element: Element) -> list[tuple[str, Element | None]]:
    """What is to be read for `input_views`: nodes, each with an element or with None for all its elements."""
    found: dict[tuple[str, Element | None], None] = {}
    for link in graph.links[node]:
        if link.port:
            rank = graph.by_id[link.source].rank
            found[link.source, element[:rank] if link.shared == rank else None] = None
            if link.shared < rank:
                # Their number is told by what they are mapped over.
                found |= {(one, None): None for one in _along(graph, link.source)}
    return list(found)


def input_views(
    graph: Graph,
    parameters: Mapping[str, Json],
    place: tuple[str, Element],
    edited: Mapping[str, Json],
    stored: Sequence[StoredRun],
    open_value: Callable[[Mapping[str, Any]], Any],
) -> list[InputView]:
    """The inputs of an element, port by port.

    Args:
        graph: the definition.
        parameters: of the execution.
        place: node and element.
        edited: what somebody replaced.
        stored: what `sources_of` names.
        open_value: opens a recorded output.
    """
    outputs = outputs_of_runs(graph, stored)
    inputs = EngineInputs(graph, parameters, outputs, sizes_of_runs(graph, stored))
    views: list[InputView] = []
    for port, binding in graph.by_id[place[0]].inputs.items():
        source = _named(binding)
        if port in edited:
            views.append(InputView(port=port, source=source, is_shown=True, value=edited[port], is_edited=True))
        else:
            views.append(_view(inputs, graph, place, port, outputs, open_value))
    return views


def _view(
    inputs: EngineInputs,
    graph: Graph,
    place: tuple[str, Element],
    port: str,
    outputs: Mapping[tuple[str, Element], Mapping[str, Any] | None],
    open_value: Callable[[Mapping[str, Any]], Any],
) -> InputView:
    node, element = place
    binding = graph.by_id[node].inputs[port]
    source = _named(binding)
    levels = graph.by_id[node].over.get(port, 0)
    rank = graph.by_id[binding.node].rank if isinstance(binding, OutputRef) else 0
    if isinstance(binding, OutputRef) and rank < levels:
        left = outputs.get((binding.node, element[:rank]))
        if not left:
            return InputView(port=port, source=source, is_shown=False, preview="nothing was left there")
        return _item_view(port, source, left[binding.port], binding.path, element[rank:levels], open_value)
    try:
        return _output_view(port, source, inputs.output(node, port, element), open_value)
    except UnreadableError as error:
        return InputView(port=port, source=source, is_shown=False, preview=error.message)
    except (NodeError, LookupError, TypeError) as error:
        return InputView(port=port, source=source, is_shown=False, preview=f"cannot be prepared: {error}")


def _item_view(
    port: str,
    source: str,
    output: Mapping[str, Any],
    path: Sequence[PathStep],
    indices: Element,
    open_value: Callable[[Mapping[str, Any]], Any],
) -> InputView:
    """One item of a collection."""
    told = f"item {', '.join(map(str, indices))} of {_described(output)}"
    if not _is_plain(output) or output["size"] > _SEARCHED_BYTES:
        return InputView(
            port=port, source=source, is_shown=False, preview=told, codec=output["codec"], size_bytes=output["size"]
        )
    try:
        value = follow(open_value(output), path, source)
        for index in indices:
            value = items_of(value, source)[index]
    except (StorageError, NodeError, LookupError, TypeError) as error:
        return InputView(port=port, source=source, is_shown=False, preview=f"{told}; {error}", codec=output["codec"])
    return InputView(port=port, source=source, is_shown=True, value=value, codec=output["codec"])


def _output_view(
    port: str, source: str, output: Mapping[str, Any], open_value: Callable[[Mapping[str, Any]], Any]
) -> InputView:
    codec, size_bytes, told = output["codec"], output["size"], _described(output)
    if not _is_plain(output) or size_bytes > _OPENED_BYTES:
        return InputView(port=port, source=source, is_shown=False, preview=told, codec=codec, size_bytes=size_bytes)
    try:
        value = open_value(output)
    except StorageError as error:
        told = f"{told}; {error.message}"
        return InputView(port=port, source=source, is_shown=False, preview=told, codec=codec, size_bytes=size_bytes)
    return InputView(port=port, source=source, is_shown=True, value=value, codec=codec, size_bytes=size_bytes)


def _is_plain(output: Mapping[str, Any]) -> bool:
    if output["codec"] == "tree":
        return all(map(_is_plain, output["items"]))
    return bool(output["codec"] == "json")


def _described(output: Mapping[str, Any]) -> str:
    kind = str(output.get("kind") or output["codec"])
    length = f" of {output['length']}" if "length" in output else ""
    return f"{kind}{length}, {output['size']} bytes"


def _named(binding: Binding) -> str:
    """Where an input comes from, in words."""
    match binding:
        case OutputRef(node, port, path):
            part = "".join(f".{step.key}" if step.attribute else f"[{step.key!r}]" for step in path)
            return f"output {port} of {node}{part}"
        case ParameterRef(name):
            return f"parameter {name}"
        case Literal():
            return "the definition"
        case Constant(preview=preview):
            return f"a constant of the definition: {preview}"
        case _:
            nodes = dict.fromkeys(ref.node for ref in references(binding))
            return f"outputs of {', '.join(nodes)}" if nodes else "the definition"


def _along(graph: Graph, node: str) -> list[str]:
    bindings = (graph.by_id[node].inputs[port] for port in graph.by_id[node].over)
    return [binding.node for binding in bindings if isinstance(binding, OutputRef)]
