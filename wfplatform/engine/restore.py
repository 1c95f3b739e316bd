"""From what is committed of an execution back to its state in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from wfplatform.core.execution import AT_ODDS, Element, Execution, NodeRuns, NodeState, Run, ended_among
from wfplatform.core.graph import Graph, OutputRef
from wfplatform.core.lifecycle import blank_nodes
from wfplatform.core.ports import Claim
from wfplatform.engine.shape import agree, recorded_sizes

__all__ = ["restore"]


def restore(claim: Claim, graph: Graph, given: Mapping[str, Sequence[tuple[Element, int]]] | None = None) -> Execution:
    """The execution as the last engine committed it.

    Args:
        claim: what is committed of it.
        graph: its definition.
        given: node -> (prefix, number of elements below it) each, for nodes mapped over values of the definition or of
            parameters: these are not committed. Those of nodes mapped over outputs follow from recorded lengths.
    """
    execution = Execution(
        id=claim.id,
        epoch=claim.epoch,
        state=claim.state,
        nodes=blank_nodes(graph),
        open_nodes=len(graph.nodes),
        started_at=claim.started_at,
        cancel_requested_at=claim.cancel_requested_at,
        paused_at=claim.paused_at,
        error=claim.error,
        mailbox=claim.mailbox,
    )
    if not claim.runs:
        return execution
    runs: dict[str, dict[Element, Run]] = {}
    turns: dict[tuple[str, Element], int] = {}
    attempts: dict[tuple[str, Element], int] = {}
    for stored in sorted(claim.runs, key=lambda one: one.element):
        node = graph.by_id[stored.node]
        if len(stored.element) > node.rank:
            key = (stored.node, stored.element[:-1])
            # A turn of an earlier attempt than the one before it is of a loop that began anew since then.
            is_next = stored.element[-1] == turns.get(key, 0) and stored.run.attempt >= attempts.get(key, 0)
            if is_next and stored.run.state is NodeState.COMPLETED:
                turns[key], attempts[key] = stored.element[-1] + 1, stored.run.attempt
        elif len(stored.element) == node.rank or stored.run.state.final:
            # A shorter one that is not final was a branch that had ended as a whole, until a retry opened it again.
            runs.setdefault(stored.node, {})[stored.element] = stored.run
    for (name, element), count in turns.items():
        known = runs.setdefault(name, {})
        run = known.get(element, Run(NodeState.PENDING))
        if run.state is not NodeState.COMPLETED:
            known[element] = replace(run, sizes={"turns": count})
    nodes: dict[str, NodeRuns] = {}
    for node in graph.nodes:
        found = runs.get(node.id, {})
        sizes = recorded_sizes(graph, node.id, runs) if node.rank else {}
        for prefix, size in (given or {}).get(node.id, ()):
            agree(sizes, prefix, size)
        for port, levels in node.over.items():
            binding = node.inputs[port]
            if isinstance(binding, OutputRef):
                for prefix, size in nodes[binding.node].sizes.items():
                    if len(prefix) < levels and size != AT_ODDS:
                        agree(sizes, prefix, size)
        nodes[node.id] = NodeRuns(node.rank, sizes, found, ended_among(found))
    open_nodes = sum(1 for runs_ in nodes.values() if not runs_.complete)
    unwinding = False
    for node in graph.unwinding if any(node.id in runs for node in graph.unwinding) else ():
        found = runs.get(node.id, {})
        nodes[node.id] = NodeRuns(node.rank, {}, found, sum(run.state.final for run in found.values()))
        # All that is recorded of one that went well, or is tried again, is that it had nothing to do.
        unwinding = unwinding or any(run.state is not NodeState.SKIPPED for run in found.values())
    return replace(execution, nodes=nodes, open_nodes=open_nodes, unwinding=unwinding)
