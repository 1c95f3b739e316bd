"""Wherever an engine stops, the next one finds the execution as it stood."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.reach import NOW, Reached, failed, finish, graphs, n, ok
from wfplatform.core.event import CancelRequested, Claimed, Event, PauseRequested, Retried, SegmentClosed
from wfplatform.core.execution import AT_ODDS, Element, Execution, NodeState, Outcome, OutcomeKind, Run, Span
from wfplatform.core.graph import Node
from wfplatform.core.lifecycle import advance
from wfplatform.core.policy import Retry
from wfplatform.core.ports import Claim, StoredRun
from wfplatform.engine.restore import restore


class Kept(Reached):
    """An execution whose every change is written down, as a store does it."""

    def __init__(self, *nodes: Node, **sizes: Any) -> None:
        self.rows: dict[tuple[str, Element], Run] = {}
        super().__init__(*nodes, **sizes)

    def see(self, *events: Event | Outcome) -> Kept:
        for event in events:
            super().see(event)
            self.rows |= {(one.node, one.element): one.run for one in self.recorded}
        return self

    def restored(self) -> Execution:
        now = self.execution
        claim = Claim(
            id=now.id,
            tenant_id=UUID(int=2),
            epoch=2,
            state=now.state,
            version_id=UUID(int=3),
            workflow_name="w",
            parameters={},
            priority=0,
            timeout_s=60.0,
            worked_s=0.0,
            created_at=NOW,
            started_at=now.started_at,
            cancel_requested_at=now.cancel_requested_at,
            paused_at=now.paused_at,
            parent=None,
            depth=0,
            error=now.error,
            runs=[StoredRun(node, element, run, None) for (node, element), run in self.rows.items()],
        )
        return restore(claim, self.graph, self.sizes)


def picture(execution: Execution) -> Any:
    """What of an execution matters: what is simply pending looks the same whether it was ever touched or not."""
    nodes = {}
    for name, runs in execution.nodes.items():
        touched = {
            element: replace(run, reason="", alone=False)
            for element, run in runs.runs.items()
            if replace(run, reason="", alone=False) != Run(NodeState.PENDING)
        }
        open_sizes = {} if runs.complete else dict(runs.sizes)
        nodes[name] = (touched, runs.ended, open_sizes)
    return nodes, execution.open_nodes, execution.state, execution.error, execution.paused_at


def check(kept: Kept) -> None:
    claimed = Claimed(kept.sizes)
    here = advance(kept.execution, kept.graph, claimed, kept.now).execution
    there = advance(kept.restored(), kept.graph, claimed, kept.now).execution
    if not any(AT_ODDS in runs.sizes.values() for runs in here.nodes.values()):
        # How long those mapped along are taken to be depends on what was known first; they end with the node that is at odds.
        assert picture(there) == picture(here)
    assert there.state == here.state


@given(graphs(), st.integers(0, 2**32))
def test_restored_it_stands_where_it_stood(drawn: tuple[tuple[Node, ...], dict[str, int]], seed: int) -> None:
    nodes, sizes = drawn
    random = Random(seed)
    kept = Kept(*nodes, **sizes)
    check(kept)
    for _ in range(60):
        pending = [
            (node, element)
            for node in nodes
            for element in kept.execution.nodes[node.id].elements()
            if not kept.execution.nodes[node.id].state(element).final and _is_ready(kept, node, element)
        ]
        if kept.execution.state.final:
            if random.random() < 0.5:
                break
            kept.see(Retried())
        elif not pending:
            break
        elif random.random() < 0.1:
            kept.see(PauseRequested() if random.random() < 0.5 else CancelRequested())
        else:
            node, element = random.choice(pending)
            finish(kept, node, element, random)
        check(kept)


def _is_ready(kept: Kept, node: Node, element: Element) -> bool:
    for link in kept.graph.links[node.id]:
        runs = kept.execution.nodes[link.source]
        if not all(runs.state(one).final for one in runs.elements(element[: link.shared])):
            return False
    return True


def test_a_wait_and_a_loop_go_on_where_they_were() -> None:
    kept = Kept(n("a", retry=Retry(attempts=2)), n("l", type="loop"))
    kept.see(failed("a"), Outcome("l", (0,), 1, OutcomeKind.ITERATED), Outcome("l", (1,), 1, OutcomeKind.ITERATED))
    restored = kept.restored()
    assert restored.nodes["a"].runs[()].state is NodeState.WAITING
    assert restored.nodes["l"].runs[()].sizes == {"turns": 2}
    kept.see(failed("l"))
    assert kept.restored().nodes["l"].runs[()].sizes == {"turns": 2}


def test_elements_of_a_branch_that_ended_as_a_whole_are_not_counted_twice() -> None:
    kept = Kept(n("a"), n("m", "a", over={"a": 1}), n("z"), n("p", "m", "z", over={"m": 1}))
    kept.see(ok("a", sizes={"result": 2}), failed("m", 0), failed("z"), ok("m", 1))
    assert kept.state == "failed"
    assert kept.restored().nodes["p"].complete
    kept.see(Retried())
    assert kept.restored().nodes["p"].ended == 0
    check(kept)


def test_what_a_segment_gave_back_is_pending_for_the_next_engine_too() -> None:
    kept = Kept(n("a")).see(Outcome("a", (), 1, OutcomeKind.STARTED), SegmentClosed("s", (Span.whole("a"),)))
    check(kept)
