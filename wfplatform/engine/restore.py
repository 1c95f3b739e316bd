"""From what is committed of an execution back to its state in memory."""

from __future__ import annotations

from dataclasses import replace

from wfplatform.core.execution import Element, Execution, NodeRuns, NodeState, Run
from wfplatform.core.graph import Graph, NodeKind
from wfplatform.core.lifecycle import new_execution
from wfplatform.core.ports import Claim
from wfplatform.engine.shape import recorded_sizes

__all__ = ["restore"]


def restore(claim: Claim, graph: Graph) -> Execution:
    """The execution as the last engine committed it.

    Sizes of nodes mapped over values of the definition are not committed; `Claimed` brings them. Those of nodes mapped over outputs follow from
    the lengths recorded with these outputs.
    """
    execution = new_execution(claim.id, graph, claim.epoch)
    execution = replace(
        execution,
        state=claim.state,
        started_at=claim.started_at,
        paused_at=claim.paused_at,
        error=claim.error,
    )
    if not claim.runs:
        return execution
    runs: dict[str, dict[Element, Run]] = {}
    turns: dict[tuple[str, Element], int] = {}
    for stored in claim.runs:
        node = graph.by_id[stored.node]
        if node.type == NodeKind.LOOP and len(stored.element) > node.rank:
            key = (stored.node, stored.element[:-1])
            turns[key] = max(turns.get(key, 0), stored.element[-1] + 1)
            continue
        runs.setdefault(stored.node, {})[stored.element] = stored.run
    for (name, element), count in turns.items():
        known = runs.setdefault(name, {})
        run = known.get(element, Run(NodeState.PENDING))
        if not run.state.final:
            known[element] = replace(run, sizes={"turns": count})
    nodes = dict(execution.nodes)
    for name, found in runs.items():
        ended = sum(1 for run in found.values() if run.state.final)
        nodes[name] = NodeRuns(nodes[name].rank, recorded_sizes(graph, name, runs), found, ended)
    for node in graph.nodes:
        if node.id not in runs and node.rank:
            nodes[node.id] = NodeRuns(node.rank, recorded_sizes(graph, node.id, runs))
    open_nodes = sum(1 for runs_ in nodes.values() if not runs_.complete)
    return replace(execution, nodes=nodes, open_nodes=open_nodes)
