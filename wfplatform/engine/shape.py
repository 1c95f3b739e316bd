"""How many elements mapped nodes have, read off what is committed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from wfplatform.core.execution import AT_ODDS, WHOLE, Element, NodeState, Run
from wfplatform.core.graph import Binding, Graph, OutputRef, references, size_key, size_within
from wfplatform.core.ports import StoredRun

__all__ = ["agree", "outputs_of_runs", "recorded_sizes", "shape_sources", "sizes_of_runs"]

type Runs = Mapping[str, Mapping[Element, Run]]


def recorded_sizes(graph: Graph, name: str, runs: Runs) -> dict[Element, int]:
    """Prefix -> number of elements below it, from recorded lengths, directly or by way of a node this one is aligned with."""
    found: dict[Element, int] = {}
    node = graph.by_id[name]
    for port, levels in node.over.items():
        binding = node.inputs[port]
        if not isinstance(binding, OutputRef):
            continue
        source = graph.by_id[binding.node]
        if levels > source.rank:
            key = size_key(binding)
            for element, run in runs.get(source.id, {}).items():
                if len(element) == source.rank and run.state is NodeState.COMPLETED:
                    _within(found, run.sizes or {}, key, element, (), levels - source.rank)
        if source.rank:
            for prefix, size in recorded_sizes(graph, source.id, runs).items():
                if len(prefix) < levels:
                    agree(found, prefix, size)
    return found


def agree(found: dict[Element, int], prefix: Element, size: int) -> None:
    """Note a number of elements; one that is not the same as before puts them at odds."""
    found[prefix] = size if found.get(prefix, size) == size else AT_ODDS


def _within(
    found: dict[Element, int], sizes: Mapping[str, int], key: str, element: Element, indices: Element, levels: int
) -> None:
    size = sizes.get(size_within(key, indices))
    if size is None:
        return
    agree(found, (*element, *indices), size)
    if levels > 1:
        for index in range(size):
            _within(found, sizes, key, element, (*indices, index), levels - 1)


def shape_sources(graph: Graph, binding: Binding) -> list[str]:
    """The nodes a binding refers to, and those whose recorded lengths say how many elements these have."""
    found: dict[str, None] = {}
    todo = [ref.node for ref in references(binding)]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found[name] = None
        node = graph.by_id[name]
        todo += [b.node for port in node.over if isinstance(b := node.inputs[port], OutputRef)]
    return list(found)


def outputs_of_runs(graph: Graph, stored: Iterable[StoredRun]) -> dict[tuple[str, Element], Mapping[str, Any] | None]:
    """(Node, element) -> what it left. Branches that ended as a whole stand for their elements."""
    return {(one.node, one.element): one.outputs for one in _standing(graph, stored)}


def _standing(graph: Graph, stored: Iterable[StoredRun]) -> list[StoredRun]:
    """All but branches that had ended as a whole until a retry opened them again: by now they have elements of their own."""
    return [one for one in stored if len(one.element) >= graph.by_id[one.node].rank or one.run.state.final]


def sizes_of_runs(graph: Graph, stored: Iterable[StoredRun]) -> dict[str, dict[Element, int]]:
    """Node -> prefix -> number of elements, for every mapped node, from the runs of nodes and of their shape's sources.

    What no recorded length tells (a node mapped over the definition's own values) is read off the elements themselves.
    """
    listed = _standing(graph, stored)
    runs: dict[str, dict[Element, Run]] = {}
    for one in listed:
        runs.setdefault(one.node, {})[one.element] = one.run
    sizes: dict[str, dict[Element, int]] = {}
    for node in graph.nodes:
        if not node.rank:
            continue
        known = runs.get(node.id, {})
        found = sizes[node.id] = recorded_sizes(graph, node.id, runs)
        for port, levels in node.over.items():
            binding = node.inputs[port]
            along = sizes.get(binding.node, {}) if isinstance(binding, OutputRef) else {}
            for prefix, size in along.items():
                if len(prefix) < levels:
                    found.setdefault(prefix, size)
        seen: dict[Element, int] = {}
        for element in (*known, *found):
            for length in range(min(len(element), node.rank)):
                seen[element[:length]] = max(seen.get(element[:length], 0), element[length] + 1)
        for prefix, size in seen.items():
            found.setdefault(prefix, size)
        if WHOLE not in known:  # else it was skipped or failed as a whole
            found.setdefault(WHOLE, 0)
    return sizes
