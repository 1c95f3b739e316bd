"""The only place where a state changes: `advance(execution, event, ...) -> Step`.

Pure: no clock, no randomness, no I/O. Refuses what is stale (another attempt, an element that has ended) silently, because
messages are delivered at least once and in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, assert_never
from uuid import UUID

from wfplatform.core.event import (
    Began,
    CancelRequested,
    CancelSegments,
    ChildEnded,
    Claimed,
    DeadlinePassed,
    Effect,
    Event,
    Finish,
    Outcomes,
    PauseRequested,
    Plan,
    Recorded,
    Refused,
    Reused,
    ResumeRequested,
    Retried,
    SegmentClosed,
    SegmentLost,
    SetTimer,
    TimerDue,
)
from wfplatform.core.execution import (
    WHOLE,
    Element,
    Execution,
    ExecutionState,
    NodeRuns,
    NodeState,
    Outcome,
    OutcomeKind,
    Run,
    Span,
)
from wfplatform.core.graph import Graph, Node, NodeKind, OutputRef, size_key
from wfplatform.core.policy import OnFailure, OnSkip

__all__ = ["MAX_LOST", "Step", "advance", "new_execution"]

MAX_LOST: Final = 2
"""A node that lost this many workers by its own fault is given up."""

_FIRST_COMPLETED: Final = Run(NodeState.COMPLETED, attempt=1)
"""Shared by all elements that completed at the first attempt: 100,000 of them cost one object."""


@dataclass(frozen=True, slots=True)
class Step:
    """The result of one `advance`: the new execution, what to commit, and what to do after the commit."""

    execution: Execution
    recorded: tuple[Recorded, ...] = ()
    effects: tuple[Effect, ...] = ()


def new_execution(id: UUID, graph: Graph, epoch: int = 0) -> Execution:
    """A pending execution of which nothing has run."""
    return Execution(
        id=id,
        epoch=epoch,
        state=ExecutionState.PENDING,
        nodes={node.id: NodeRuns(node.rank) for node in graph.nodes},
        open_nodes=len(graph.nodes),
    )


def advance(execution: Execution, graph: Graph, event: Event, now: datetime, chance: float = 0.5) -> Step:
    """What an event makes of an execution.

    Args:
        execution: as it stands.
        graph: its definition.
        event: what happened.
        now: the present instant.
        chance: a number in [0, 1) that decides retry jitter.

    Returns:
        The execution after the event, the changes to commit and the effects to carry out after the commit.
    """
    if execution.state.final and not isinstance(event, Retried):
        return Step(execution)
    draft = _Draft(execution, graph, now, chance)
    match event:
        case Outcomes(items):
            for outcome in items:
                draft.outcome(outcome)
        case Claimed(sizes):
            draft.claim(sizes)
        case SegmentClosed(_, spans):
            draft.reopen(spans)
        case SegmentLost():
            draft.lose(event)
        case Began():
            draft.begin(event)
        case Reused():
            draft.reuse(event)
        case Refused(node, element, error):
            draft.failed(Outcome(node, element, 1, OutcomeKind.FAILED, error=error), None)
        case TimerDue():
            draft.wake(event)
        case ChildEnded():
            draft.child(event)
        case CancelRequested():
            draft.cancel()
        case DeadlinePassed(timeout_s):
            draft.expire(timeout_s)
        case PauseRequested():
            draft.changes["paused_at"] = now
        case ResumeRequested():
            draft.changes["paused_at"] = None
            draft.needs_plan = True
        case Retried():
            draft.retry()
        case _:
            assert_never(event)
    return draft.step()


class _Draft:
    """An execution being changed. Copies the runs of a node once, when they are first touched."""

    def __init__(self, execution: Execution, graph: Graph, now: datetime, chance: float) -> None:
        self.base = execution
        self.graph = graph
        self.now = now
        self.chance = chance
        self.changes: dict[str, Any] = {}
        self.needs_plan = False
        self.recorded: list[Recorded] = []
        self.effects: list[Effect] = []
        self._runs: dict[str, dict[Element, Run]] = {}
        self._sizes: dict[str, dict[Element, int]] = {}
        self._ended: dict[str, int] = {}

    # -- reading and writing runs

    def runs(self, node: str) -> dict[Element, Run]:
        found = self._runs.get(node)
        if found is None:
            before = self.base.nodes[node]
            found = self._runs[node] = dict(before.runs)
            self._ended[node] = before.ended
        return found

    def sizes(self, node: str) -> dict[Element, int]:
        found = self._sizes.get(node)
        if found is None:
            self.runs(node)
            found = self._sizes[node] = dict(self.base.nodes[node].sizes)
        return found

    def view(self, node: str) -> NodeRuns:
        """The node as it stands in this draft (shares the draft's dicts)."""
        if node not in self._runs:
            return self.base.nodes[node]
        before = self.base.nodes[node]
        return NodeRuns(before.rank, self._sizes.get(node, before.sizes), self._runs[node], self._ended[node])

    def put(self, node: str, element: Element, run: Run, outcome: Outcome | None = None) -> None:
        runs = self.runs(node)
        before = runs.get(element)
        if run.state.final and not (before and before.state.final):
            self._ended[node] += 1
        elif before and before.state.final and not run.state.final:
            self._ended[node] -= 1
        runs[element] = run
        self.recorded.append(Recorded(node, element, run, outcome, before is None))

    # -- events

    def claim(self, sizes: Mapping[str, int]) -> None:
        self.changes |= {"state": ExecutionState.RUNNING, "started_at": self.base.started_at or self.now}
        for node, size in sizes.items():
            self.expand(node, WHOLE, size)
        # What was under way with the engine before is not under way with this one.
        for name, before in self.base.nodes.items():
            for element, run in before.runs.items():
                if run.state is NodeState.RUNNING:
                    self.put(name, element, replace(run, state=NodeState.PENDING))
                elif run.state is NodeState.WAITING and run.due_at is not None:
                    self.effects.append(SetTimer(name, element, run.due_at))
        self.needs_plan = True

    def outcome(self, outcome: Outcome) -> None:
        name, element, kind = outcome.node, outcome.element, outcome.kind
        if kind is OutcomeKind.ITERATED:
            self.iterated(outcome)
            return
        known = self.view(name).run(element)
        if kind is OutcomeKind.UNREADABLE:
            if known is not None and known.state is NodeState.COMPLETED and element in self.view(name).runs:
                self.put(name, element, Run(NodeState.PENDING, known.attempt))
                self.needs_plan = True
            return
        if known is not None and (known.state.final or outcome.attempt < known.attempt):
            return
        match kind:
            case OutcomeKind.STARTED:
                before = known or Run(NodeState.PENDING)
                run = replace(before, state=NodeState.RUNNING, attempt=outcome.attempt)
                self.put(name, element, run, outcome)
            case OutcomeKind.COMPLETED:
                if outcome.attempt == 1 and outcome.sizes is None and outcome.verdict is None:
                    run = _FIRST_COMPLETED
                else:
                    run = Run(
                        NodeState.COMPLETED, outcome.attempt, sizes=outcome.sizes, verdict=outcome.verdict
                    )
                self.put(name, element, run, outcome)
                self.completed(name, element, run)
            case OutcomeKind.FAILED:
                self.failed(outcome, known)
            case _:
                assert_never(kind)

    def iterated(self, outcome: Outcome) -> None:
        name, element, turn = outcome.node, outcome.element[:-1], outcome.element[-1]
        known = self.view(name).run(element)
        done = (known.sizes or {}).get("turns", 0) if known else 0
        if (known is not None and known.state.final) or turn < done:
            return
        run = Run(NodeState.RUNNING, outcome.attempt, sizes={"turns": turn + 1})
        self.runs(name)[element] = run
        turned = Run(NodeState.COMPLETED, outcome.attempt)
        self.recorded.append(Recorded(name, outcome.element, turned, outcome, fresh=True))

    def completed(self, name: str, element: Element, run: Run) -> None:
        if name in self.graph.barriers:
            self.needs_plan = True
        if run.sizes:
            self.expand_from(name, element, run.sizes)
        if run.verdict is not None:
            for link in self.graph.dependants[name]:
                guard = self.graph.by_id[link.target].guard
                if guard and guard.node == name and guard.verdict is not run.verdict:
                    reason = f"the branch was not taken: {name} was {'true' if run.verdict else 'false'}"
                    self.end_below(link.target, element[: link.shared], NodeState.SKIPPED, reason)

    def failed(self, outcome: Outcome, known: Run | None) -> None:
        name, element = outcome.node, outcome.element
        policy = self.graph.by_id[name].policy
        error = dict(outcome.error or {})
        retry = policy.retry
        tries = (known.tries if known else 0) + 1
        again = retry is not None and tries < retry.attempts and retry.covers(tuple(error.get("kinds", ())))
        if retry is None or not again or not error.get("retryable", True):
            run = Run(NodeState.FAILED, outcome.attempt, tries=tries, error=error)
            self.put(name, element, run, outcome)
            self.fail_execution(name, element, error)
            self.spread(name, element, NodeState.FAILED)
            return
        delay_s = retry.delay_before_s(tries + 1, self.chance)
        due_at = self.now + timedelta(seconds=delay_s)
        run = Run(
            NodeState.WAITING,
            outcome.attempt,
            tries=tries,
            due_at=due_at,
            error=error,
            reason=f"try {tries + 1} of {retry.attempts} at {due_at:%H:%M:%S} UTC, after {error.get('type', 'an error')}",
        )
        self.put(name, element, run, outcome)
        self.effects.append(SetTimer(name, element, due_at))

    def reuse(self, event: Reused) -> None:
        known = self.view(event.node).run(event.element)
        if known is not None and known.state.final:
            return
        attempt = known.attempt if known else 0
        run = Run(NodeState.COMPLETED, attempt, sizes=event.sizes, reused_from=event.execution_id)
        outcome = Outcome(event.node, event.element, attempt, OutcomeKind.COMPLETED, outputs=event.outputs)
        self.put(event.node, event.element, run, outcome)
        self.completed(event.node, event.element, run)
        self.needs_plan = True

    def begin(self, event: Began) -> None:
        known = self.view(event.node).run(event.element)
        if known is not None and known.state is not NodeState.PENDING:
            return
        attempt = (known.attempt if known else 0) + 1
        run = Run(NodeState.WAITING, attempt, due_at=event.due_at, reason=event.reason)
        self.put(event.node, event.element, run)
        if event.due_at is not None:
            self.effects.append(SetTimer(event.node, event.element, event.due_at))

    def wake(self, event: TimerDue) -> None:
        name, element = event.node, event.element
        run = self.view(name).run(element)
        if run is None or run.state is not NodeState.WAITING or run.due_at is None or run.due_at > self.now:
            return
        if self.graph.by_id[name].type == NodeKind.DELAY:
            run = Run(NodeState.COMPLETED, attempt=run.attempt, sizes=event.sizes)
            outcome = Outcome(name, element, run.attempt, OutcomeKind.COMPLETED, outputs=event.outputs)
            self.put(name, element, run, outcome)
            self.completed(name, element, run)
        else:
            self.put(name, element, replace(run, state=NodeState.PENDING, due_at=None, reason=""))
        self.needs_plan = True

    def reopen(self, spans: Iterable[Span]) -> None:
        for span in spans:
            runs = self.base.nodes[span.node].runs
            for element in span.elements():
                run = runs.get(element)
                if run is not None and run.state is NodeState.RUNNING:
                    self.runs(span.node)[element] = replace(run, state=NodeState.PENDING)
        self.needs_plan = True

    def lose(self, event: SegmentLost) -> None:
        single = sum(map(len, event.spans)) == 1
        for span in event.spans:
            for element in span.elements():
                run = self.view(span.node).run(element)
                if run is not None and (run.state.final or run.state is NodeState.WAITING):
                    continue
                before = run or Run(NodeState.PENDING)
                blamed = single and event.started and not event.blameless
                lost = before.lost + (1 if blamed else 0)
                attempt = before.attempt + (1 if before.state is NodeState.RUNNING or blamed else 0)
                if lost >= MAX_LOST:
                    error = {
                        "type": "WorkerLost",
                        "code": "worker_lost",
                        "message": f"Given up after it was lost {lost} times. {event.reason}",
                        "retryable": False,
                    }
                    run = Run(NodeState.FAILED, max(attempt, 1), lost=lost, tries=before.tries, error=error)
                    self.put(span.node, element, run)
                    self.fail_execution(span.node, element, error)
                    self.spread(span.node, element, NodeState.FAILED)
                else:
                    run = replace(
                        before,
                        state=NodeState.PENDING,
                        attempt=attempt if before.state is not NodeState.RUNNING else before.attempt,
                        lost=lost,
                        alone=before.alone or not event.blameless,
                    )
                    if before.state is NodeState.RUNNING or blamed:
                        self.put(span.node, element, run)
                    else:
                        self.runs(span.node)[element] = run
        self.needs_plan = True

    def child(self, event: ChildEnded) -> None:
        run = self.view(event.node).run(event.element)
        if run is None or run.state.final:
            return
        if event.state is ExecutionState.COMPLETED:
            outcome = Outcome(
                event.node, event.element, max(run.attempt, 1), OutcomeKind.COMPLETED, outputs=event.outputs
            )
            ended = Run(NodeState.COMPLETED, max(run.attempt, 1), sizes=event.sizes)
            self.put(event.node, event.element, ended, outcome)
            self.completed(event.node, event.element, ended)
        else:
            error = dict(event.error or {"type": "ChildEnded", "message": f"The child execution was {event.state}."})
            outcome = Outcome(event.node, event.element, max(run.attempt, 1), OutcomeKind.FAILED, error=error)
            self.failed(outcome, run)
        self.needs_plan = True

    def cancel(self) -> None:
        self.changes["cancel_requested_at"] = self.base.cancel_requested_at or self.now
        self.stop_all(NodeState.CANCELLED, "the execution was cancelled")
        self.finish(ExecutionState.CANCELLED)

    def expire(self, timeout_s: float) -> None:
        error = {
            "type": "ExecutionTimeout",
            "code": "execution_timeout",
            "message": f"The execution had work on the cluster for more than its timeout of {timeout_s:g} s.",
        }
        self.changes["error"] = self.base.error or error
        self.stop_all(NodeState.CANCELLED, "the execution's timeout was over")
        self.finish(ExecutionState.FAILED)

    def stop_all(self, state: NodeState, reason: str) -> None:
        for name, before in self.base.nodes.items():
            for element, run in list(before.runs.items()):
                if not run.state.final:
                    self.put(name, element, replace(run, state=state, reason=reason, due_at=None))
        self.effects.append(CancelSegments())

    def retry(self) -> None:
        """Failed and cancelled elements are pending again, and so is all that was skipped because of them."""
        for name, before in self.base.nodes.items():
            for element, run in list(before.runs.items()):
                branch_not_taken = run.state is NodeState.SKIPPED and not run.upstream
                if run.state is NodeState.COMPLETED or branch_not_taken or not run.state.final:
                    continue
                runs = self.runs(name)
                self._ended[name] -= 1
                if len(element) < before.rank and run.state is not NodeState.FAILED:
                    del runs[element]
                else:
                    runs[element] = Run(NodeState.PENDING, run.attempt)
                self.recorded.append(Recorded(name, element, Run(NodeState.PENDING, run.attempt), None, fresh=False))
        self.changes |= {
            "state": ExecutionState.RUNNING,
            "error": None,
            "finished_at": None,
            "cancel_requested_at": None,
        }
        self.needs_plan = True

    # -- expansion

    def expand(self, name: str, prefix: Element, size: int) -> None:
        """The number of elements of a mapped node below a prefix became known."""
        view = self.view(name)
        if view.run(prefix) is not None and len(prefix) < view.rank and prefix in view.runs:
            return
        known = view.sizes.get(prefix)
        if known is not None:
            if known != size:
                self.refuse_sizes(name, prefix, known, size)
            return
        self.sizes(name)[prefix] = size
        self.needs_plan = True
        for link in self.graph.dependants[name]:
            if link.shared > len(prefix) and link.port:
                self.expand(link.target, prefix, size)

    def expand_from(self, name: str, element: Element, sizes: Mapping[str, int]) -> None:
        for link in self.graph.dependants[name]:
            if not link.expands:
                continue
            target = self.graph.by_id[link.target]
            for port, binding in target.inputs.items():
                if not isinstance(binding, OutputRef) or binding.node != name or not target.over.get(port):
                    continue
                size = sizes.get(size_key(binding))
                if size is not None and target.over[port] > len(element):
                    self.expand(link.target, element, size)

    def refuse_sizes(self, name: str, prefix: Element, known: int, other: int) -> None:
        error = {
            "type": "MapSizes",
            "code": "map_sizes",
            "message": f"{name} is mapped over collections of different lengths: {known} and {other}.",
            "retryable": False,
        }
        self.put(name, prefix, Run(NodeState.FAILED, 1, error=error))
        self.fail_execution(name, prefix, error)
        self.spread(name, prefix, NodeState.FAILED)

    # -- what failure and skipping do to others

    def spread(self, name: str, element: Element, state: NodeState) -> None:
        """End what depends on an element that failed or was skipped."""
        for link in self.graph.dependants[name]:
            target = self.graph.by_id[link.target]
            verdict = self.verdict_for(target, name, state, ordering=not link.port and not _guards(target, name))
            if verdict is not None:
                word = {NodeState.FAILED: "failed", NodeState.CANCELLED: "was cancelled"}.get(state, "was skipped")
                self.end_below(link.target, element[: link.shared], verdict, f"{name} {word}", upstream=True)

    def verdict_for(self, target: Node, source: str, state: NodeState, *, ordering: bool) -> NodeState | None:
        if state is NodeState.SKIPPED:
            return None if ordering or target.policy.on_skip is OnSkip.NONE else NodeState.SKIPPED
        return NodeState.FAILED if target.policy.on_failure is OnFailure.FAIL else NodeState.SKIPPED

    def end_below(self, name: str, prefix: Element, state: NodeState, reason: str, *, upstream: bool = False) -> None:
        view = self.view(name)
        standing = view.run(prefix)
        if standing is not None and standing.state.final:
            return
        runs = self.runs(name)
        for element in [e for e in runs if len(e) > len(prefix) and e[: len(prefix)] == prefix]:
            if runs.pop(element).state.final:
                self._ended[name] -= 1
        error = {"type": "UpstreamFailed", "code": "upstream_failed", "message": f"Not run: {reason}."}
        attempt = standing.attempt if standing else 0
        run = Run(
            state, attempt, reason=reason, upstream=upstream, error=error if state is NodeState.FAILED else None
        )
        self.put(name, prefix, run)
        self.spread(name, prefix, state)

    def fail_execution(self, name: str, element: Element, error: Mapping[str, Any]) -> None:
        if self.base.error is None and "error" not in self.changes:
            self.changes["error"] = {**error, "node": name, "element": list(element)}

    # -- the end

    def finish(self, state: ExecutionState) -> None:
        self.changes |= {"state": state, "finished_at": self.now}
        self.effects.append(Finish(state))

    def step(self) -> Step:
        nodes: Mapping[str, NodeRuns] = self.base.nodes
        open_nodes = self.base.open_nodes
        if self._runs:
            changed = dict(nodes)
            for name, runs in self._runs.items():
                before = nodes[name]
                sizes = self._sizes.get(name)
                after = NodeRuns(
                    before.rank,
                    before.sizes if sizes is None else MappingProxyType(sizes),
                    MappingProxyType(runs),
                    self._ended[name],
                )
                changed[name] = after
                open_nodes += int(before.complete) - int(after.complete)
            nodes = changed
        if open_nodes == 0 and "finished_at" not in self.changes:
            failed = "error" in self.changes or self.base.error is not None
            self.finish(ExecutionState.FAILED if failed else ExecutionState.COMPLETED)
        elif self.needs_plan and not self.changes.get("finished_at"):
            self.effects.insert(0, Plan())
        execution = replace(self.base, nodes=nodes, open_nodes=open_nodes, **self.changes)
        return Step(execution, tuple(self.recorded), tuple(self.effects))


def _guards(target: Node, name: str) -> bool:
    return target.guard is not None and target.guard.node == name
