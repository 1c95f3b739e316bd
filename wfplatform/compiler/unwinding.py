"""What of an execution that unwinds can be handed out now: each element on its own, because it acts on the world outside.

The state machine has said which may begin. All that they read is committed. Refuses to order anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from wfplatform.compiler.segment import Flights, Limits, Member, Planned, Segment
from wfplatform.core.execution import Execution, NodeState, Span
from wfplatform.core.graph import Graph

__all__ = ["plan_unwinding"]


def plan_unwinding(
    graph: Graph,
    execution: Execution,
    flights: Flights,
    costs: Mapping[str, float],
    limits: Limits,
    new_segment_id: Callable[[], str],
) -> Planned:
    """What takes back something and is pending, without what flies already.

    Args:
        graph: the definition.
        execution: what is committed of it.
        flights: what the cluster computes at this moment.
        costs: node id -> expected seconds of one element; absent = unknown.
        limits: what a node is taken to cost before one was seen.
        new_segment_id: gives a name never used before.
    """
    segments: list[Segment] = []
    for node in graph.unwinding:
        policy = node.policy
        links = [link for link in graph.links[node.id] if link.port]
        for element, run in execution.nodes[node.id].runs.items():
            if run.state is not NodeState.PENDING or flights.has(node.id, element):
                continue
            segments.append(
                Segment(
                    id=new_segment_id(),
                    members=(Member(Span.of(node.id, element), run.attempt + 1),),
                    known=tuple(dict.fromkeys((link.source, element[: link.shared]) for link in links)),
                    lane=policy.lane,
                    resources=policy.resources,
                    priority=policy.priority,
                    expected_s=costs.get(node.id, limits.unknown_s),
                    solo=True,
                    announce=run.alone,
                )
            )
    return Planned(segments=tuple(segments), actions=())
