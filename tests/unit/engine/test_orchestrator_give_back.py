"""What a segment gives back because it takes long is shared out anew, by what is known by then."""

from __future__ import annotations

from typing import Any

from tests.unit.engine.rig import Rig
from wfplatform import node, workflow
from wfplatform.compiler.payload import unpack_order
from wfplatform.core.execution import Span

ELEMENTS = 25
RAN = 4


@node
def slow(x: Any) -> Any:
    return x


@node
def after(x: Any) -> Any:
    return x


@workflow
def chain(xs: list[int]) -> Any:
    """Two nodes, element by element."""
    return after.map(slow.map(xs))


def test_elements_that_turn_out_long_are_handed_out_one_by_one() -> None:
    rig = Rig()
    execution = rig.start(rig.publish(chain), xs=list(range(ELEMENTS)))
    rig.turn()
    at_first = rig.cluster.parts
    assert sum(len(span) for part in at_first for _, span, _ in part.members) == 2 * ELEMENTS
    orders = [unpack_order(task.order) for task in rig.cluster.tasks]
    several = [order for order in orders if sum(len(span) for part in order.parts for _, span, _ in part.members) > 1]
    assert several
    assert {order.budget_s for order in several} == {1.0}
    known = len(at_first)
    # Each segment ran some elements of its first node, which took a second each, and gave back the rest.
    ran = 0
    for part in at_first:
        index, span, attempt = part.members[0]
        kept = part._replace(
            members=[(index, Span("", span.prefix, span.start, min(span.start + RAN, span.stop)), attempt)]
        )
        ran += len(kept.members[0][1])
        rig.turn(rig.done(kept), look=False)
    later = rig.cluster.parts[known:]
    by_node = {0: 0, 1: 0}
    for part in later:
        for index, span, _ in part.members:
            by_node[index] += len(span)
        assert sum(len(span) for index, span, _ in part.members if index == 0) <= 1
    assert by_node == {0: ELEMENTS - ran, 1: ELEMENTS}
    rig.turn(*map(rig.done, later), look=False)
    assert rig.record(execution).state == "completed"
