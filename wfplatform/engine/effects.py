"""Segments of effects: handed out only when it is committed that they run.

Until they fly they are kept with their execution, so that nothing that fails in between loses them.
"""

from __future__ import annotations

from collections.abc import Callable

from wfplatform.compiler.segment import Planned, Segment
from wfplatform.core.event import Event, Intended
from wfplatform.core.execution import NodeState
from wfplatform.engine.live import Live

__all__ = ["flown", "with_effects"]


def with_effects(live: Live, planned: Planned, apply: Callable[[Live, Event], None]) -> Planned:
    """A plan with the effects that were noted as running before the last commit, and without those noted now."""
    if not live.version.acts:
        return planned
    fresh = [one for one in planned.segments if live.graph.by_id[one.members[0].span.node].policy.effect]
    ready = [segment for segment in live.intended if _still_runs(live, segment)]
    live.intended = [*ready, *fresh]
    if fresh:
        items = ((member.span, member.attempt) for segment in fresh for member in segment.members)
        apply(
            live, Intended(tuple((span.node, place, attempt) for span, attempt in items for place in span.elements()))
        )
    kept = {segment.id for segment in planned.segments} - {segment.id for segment in fresh}
    rest = (segment for segment in planned.segments if segment.id in kept)
    return Planned(segments=(*ready, *rest), actions=planned.actions)


def flown(live: Live) -> None:
    """What was handed out is kept no longer."""
    if live.intended:
        live.intended = [segment for segment in live.intended if segment.id not in live.flights]


def _still_runs(live: Live, segment: Segment) -> bool:
    runs = live.execution.nodes
    return all(
        (run := runs[member.span.node].run(element)) is not None
        and run.state is NodeState.RUNNING
        and run.attempt == member.attempt
        for member in segment.members
        for element in member.span.elements()
    )
