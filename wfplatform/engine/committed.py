"""What is committed of the elements that something reads, fetched for many executions in one round trip."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from wfplatform.core.execution import Element, Execution, NodeState
from wfplatform.core.graph import Graph, references
from wfplatform.core.ports import EngineStore
from wfplatform.engine.live import Live
from wfplatform.engine.values import EngineInputs

__all__ = ["Outputs", "committed_outputs", "inputs_of", "sources", "sources_in"]

type Outputs = Mapping[tuple[str, Element], Mapping[str, Any] | None]
"""Node and element -> what it left; None if it did not complete."""


def sources(live: Live, node: str, element: Element, *, without: str = "") -> list[tuple[str, Element]]:
    """What an element reads, that which only one port reads left out if told."""
    return sources_in(live.graph, live.execution, node, element, without=without)


def sources_in(
    graph: Graph, execution: Execution, node: str, element: Element, *, without: str = ""
) -> list[tuple[str, Element]]:
    """The same, of an execution that need not be in an engine's hands."""
    ports = graph.by_id[node].inputs
    needed = {ref.node for port, given in ports.items() if port != without for ref in references(given)}
    return [
        (link.source, source)
        for link in graph.links[node]
        if link.port and link.source in needed
        for source in execution.nodes[link.source].elements(element[: link.shared])
    ]


def committed_outputs(
    store: EngineStore, wanted: Mapping[UUID, Iterable[tuple[str, Element]]]
) -> dict[UUID, dict[tuple[str, Element], Mapping[str, Any] | None]]:
    """What these elements of executions left, as far as anything is committed of them.

    Raises:
        PlatformError: the database does not answer.
    """
    asked = {execution: places for execution, places in ((id, list(places)) for id, places in wanted.items()) if places}
    if not asked:
        return {}
    return {
        execution: {
            (one.node, one.element): one.outputs if one.run.state is NodeState.COMPLETED else None for one in stored
        }
        for execution, stored in store.outputs(asked).items()
    }


def inputs_of(live: Live, outputs: Outputs) -> EngineInputs:
    """What the nodes of an execution read, of which these outputs can be opened."""
    nodes = live.execution.nodes
    sizes = {name: runs.sizes for name, runs in nodes.items()}

    def edited(node: str, element: Element) -> Mapping[str, Any]:
        run = nodes[node].runs.get(element)
        return run.edited if run is not None else {}

    return EngineInputs(live.graph, live.claim.parameters, outputs, sizes, edited)
