"""Why an execution does not go on: one sentence for each node that waits, found in what is recorded.

Pure. Refuses to guess: what is not recorded is not said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from wfplatform.core.breaker import BreakerRecord, Position, position
from wfplatform.core.execution import Element, ExecutionState, NodeState
from wfplatform.core.graph import Graph, Node, NodeKind
from wfplatform.core.policy import OnOpen
from wfplatform.core.record import ExecutionRecord, NodeExecutionRecord, NodeSummary
from wfplatform.core.slot import SlotRecord

__all__ = ["Cause", "EngineRecord", "Facts", "Reason", "reasons"]

_NAMED = 3


class Cause(StrEnum):
    """Kinds of reasons."""

    ENDED = "ended"
    NO_ENGINE = "no_engine"
    ENGINE_BUSY = "engine_busy"
    PAUSED = "paused"
    STOPPING = "stopping"
    NO_WORKER = "no_worker"
    CLUSTER_AWAY = "cluster_away"
    MAX_EXECUTIONS = "max_executions"
    UPSTREAM = "upstream"
    DELAY = "delay"
    RETRY = "retry"
    EVENT = "event"
    APPROVAL = "approval"
    UNKNOWN_EFFECT = "unknown_effect"
    CHILD = "child"
    SLOT = "slot"
    BREAKER = "breaker"
    SHARED_RESULT = "shared_result"
    RESOURCE = "resource"
    RUNNING = "running"
    QUEUED = "queued"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a node, or some elements of it, or the execution as a whole, is not further than it is.

    Args:
        cause: of which kind.
        sentence: for people.
        node: None = the execution as a whole.
        elements: how many elements it concerns; 0 = that is not known yet.
        element: the one that it concerns, if it is one of a mapped node.
    """

    cause: Cause
    sentence: str
    node: str | None = None
    elements: int = 1
    element: Element | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRecord:
    """An engine that holds a lease.

    Args:
        workers: how many it sees; None = it has not said.
        resources: of each kind of worker it sees.
        executions: how many are in its hands.
        away: the scheduler of its cluster does not answer.
    """

    id: UUID
    host: str
    pid: int | None
    workers: int | None
    resources: Sequence[Mapping[str, float]]
    executions: int
    away: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is recorded that may tell why.

    Args:
        nodes: those elements that run or wait.
        slots: held and waited for by the execution, and held by others of what it waits for.
        breakers: those of its nodes, by name.
        engines: those that hold a lease.
    """

    execution: ExecutionRecord
    graph: Graph
    now: datetime
    summary: Mapping[str, NodeSummary] = field(default_factory=dict)
    nodes: Sequence[NodeExecutionRecord] = ()
    slots: Sequence[SlotRecord] = ()
    breakers: Mapping[str, BreakerRecord] = field(default_factory=dict)
    engines: Sequence[EngineRecord] = ()


def reasons(facts: Facts) -> list[Reason]:
    """Why the execution and its nodes are not further; of one that has ended, that alone."""
    execution = facts.execution
    if execution.state.final:
        return [Reason(cause=Cause.ENDED, sentence=f"It has ended: {execution.state}.")]
    whole = list(_of_execution(facts))
    if execution.state is ExecutionState.PENDING or any(one.cause is Cause.MAX_EXECUTIONS for one in whole):
        return whole
    return [*whole, *(reason for node in facts.graph.nodes for reason in _of_node(facts, node))]


def _of_execution(facts: Facts) -> Iterator[Reason]:
    execution = facts.execution
    if not facts.engines:
        yield Reason(cause=Cause.NO_ENGINE, sentence="No engine runs, so nothing goes on. `wfp up` starts one.")
    elif execution.state is ExecutionState.PENDING:
        held = sum(engine.executions for engine in facts.engines)
        sentence = (
            f"It waits to be taken up: {_count(len(facts.engines), 'engine')} with {_count(held, 'execution')} in hand."
        )
        yield Reason(cause=Cause.ENGINE_BUSY, sentence=sentence)
    if execution.cancel_requested_at is not None:
        by = f" by {execution.cancel_requested_by}" if execution.cancel_requested_by else ""
        sentence = (
            f"It was asked to stop{by} at {_at(execution.cancel_requested_at)}, and ends when what runs has ended."
        )
        yield Reason(cause=Cause.STOPPING, sentence=sentence)
    if execution.paused_at is not None:
        by = f" by {execution.paused_by}" if execution.paused_by else ""
        sentence = (
            f"It was paused{by} at {_at(execution.paused_at)}; `wfp executions resume {execution.id}` lets it go on."
        )
        yield Reason(cause=Cause.PAUSED, sentence=sentence)
    if facts.engines and all(engine.away for engine in facts.engines):
        yield Reason(
            cause=Cause.CLUSTER_AWAY, sentence="The Dask scheduler does not answer; engines wait for it to come back."
        )
    told = [engine for engine in facts.engines if engine.workers is not None]
    if told and not any(engine.workers for engine in told):
        yield Reason(cause=Cause.NO_WORKER, sentence="The cluster has no worker, so nothing can run.")
    for slot in _waiting(facts, "", ()):
        sentence = (
            f"{_count(slot.most, 'execution')} of {execution.workflow_name} may run at once: {_holders(facts, slot)}."
        )
        yield Reason(cause=Cause.MAX_EXECUTIONS, sentence=sentence)


def _of_node(facts: Facts, node: Node) -> Iterator[Reason]:
    summary = facts.summary.get(node.id)
    counts: Mapping[NodeState, int] = summary.counts if summary is not None else {}
    ended = sum(count for state, count in counts.items() if state.final)
    live = [one for one in facts.nodes if one.node == node.id]
    total = _elements(facts, node)
    if total is not None and ended >= total:
        return
    shown: dict[tuple[Cause, str], list[NodeExecutionRecord]] = {}
    for one in live:
        if one.state is not NodeState.PENDING:
            shown.setdefault(_of_record(facts, node, one), []).append(one)
    for (cause, sentence), several in shown.items():
        single = several[0].element if len(several) == 1 and node.rank else None
        yield Reason(cause=cause, sentence=sentence, node=node.id, elements=len(several), element=single)
    begun = sum(len(several) for several in shown.values())
    left = None if total is None else total - ended - begun
    if left is None or left > 0:
        cause, sentence = _of_pending(facts, node, left)
        yield Reason(cause=cause, sentence=sentence, node=node.id, elements=left or 0)


def _of_record(facts: Facts, node: Node, one: NodeExecutionRecord) -> tuple[Cause, str]:
    awaits: Mapping[str, Any] = one.awaits or {}
    until = f", until {_at(one.due_at)}" if one.due_at is not None else ""
    if one.state is NodeState.RUNNING:
        since = f" since {_at(one.started_at)}" if one.started_at else ""
        return Cause.RUNNING, f"It runs{since}" + (f" on {one.worker}." if one.worker else ".")
    if awaits.get("unknown"):
        return Cause.UNKNOWN_EFFECT, (
            "It was lost while it ran, and nobody knows whether it happened: "
            f"`wfp approvals approve {one.execution_id} {node.id}` runs it again."
        )
    if awaits.get("kind") == "approval":
        who = " or ".join(awaits.get("assignees") or ()) or "anybody"
        return Cause.APPROVAL, f"It waits for {who} to decide: {awaits.get('title', node.id)}{until}."
    if awaits.get("kind") == "event":
        return Cause.EVENT, f"It waits for the event {awaits.get('name', '')}{until}."
    if one.due_at is not None and one.error is not None:
        error = one.error.get("type", "an error")
        return Cause.RETRY, f"It failed with {error} and is tried again at {_at(one.due_at)}."
    if one.due_at is not None:
        return Cause.DELAY, f"It is a delay, due at {_at(one.due_at)}."
    if node.type == NodeKind.WORKFLOW:
        return Cause.CHILD, f"It {one.reason or 'waits for a child execution'}."
    return Cause.QUEUED, f"It {one.reason or 'waits'}."


def _of_pending(facts: Facts, node: Node, left: int | None) -> tuple[Cause, str]:
    open_sources = [link.source for link in facts.graph.links[node.id] if not _has_ended(facts, link.source)]
    waiting = _waiting(facts, node.id, None)
    breaker = node.policy.breaker
    record = facts.breakers.get(breaker.name) if breaker is not None else None
    if record is not None and position(record.state, facts.now) is Position.OPEN and not open_sources:
        failed, calls = record.state.counted
        then = "then one tries" if breaker is None or breaker.on_open is OnOpen.WAIT else "until then it fails at once"
        until = _at(record.state.until_at) if record.state.until_at is not None else ""
        told = f"{failed} of {calls} calls failed" if calls else "somebody opened it"
        return Cause.BREAKER, f"The circuit breaker {record.name} is open until {until}, because {told}; {then}."
    if waiting:
        slot = waiting[0]
        if slot.gate.startswith("cache:"):
            return (
                Cause.SHARED_RESULT,
                f"Another execution computes the same, and it takes that result: {_holders(facts, slot)}.",
            )
        if slot.gate.startswith("breaker:"):
            return Cause.BREAKER, f"Of {slot.called} one call tries whether it can be closed: {_holders(facts, slot)}."
        behind = f", {len(waiting)} of its elements wait" if node.rank and len(waiting) > 1 else ""
        return Cause.SLOT, f"{_count(slot.most, 'slot')} of {slot.called}: {_holders(facts, slot)}{behind}."
    if open_sources:
        names = [f"{name} ({_standing(facts, name)})" for name in dict.fromkeys(open_sources)]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return Cause.UPSTREAM, f"It waits for {', '.join(names[:_NAMED])}{more}."
    if facts.execution.paused_at is not None:
        return Cause.PAUSED, "The execution is paused."
    wanted = node.policy.resources
    seen = [kind for engine in facts.engines for kind in engine.resources]
    if wanted and facts.engines and not any(_has(kind, wanted) for kind in seen):
        have = "; ".join(sorted({_amounts(kind) for kind in seen if kind})) or "none"
        return Cause.RESOURCE, f"No worker has {_amounts(wanted)}; what workers have: {have}."
    limit = node.policy.limit
    running = sum(1 for one in facts.nodes if one.state is NodeState.RUNNING)
    if limit is not None and limit.is_own and left is not None:
        return (
            Cause.SLOT,
            f"{_count(limit.most, 'element')} with the limit {limit.name} may run at once in this execution.",
        )
    workers = sum(engine.workers or 0 for engine in facts.engines)
    beside = f"; {_count(running, 'element')} of this execution run" if running else ""
    return Cause.QUEUED, f"It may run, and waits for its turn on {_count(workers, 'worker')}{beside}."


# -- pieces


def _waiting(facts: Facts, node: str, element: Element | None) -> list[SlotRecord]:
    """Slots that it asked for and does not have."""
    return [
        slot
        for slot in facts.slots
        if slot.execution_id == facts.execution.id
        and slot.granted_at is None
        and slot.node == node
        and element in (None, slot.element)
    ]


def _holders(facts: Facts, slot: SlotRecord) -> str:
    held = [one for one in facts.slots if one.gate == slot.gate and one.granted_at is not None]
    if not held:
        ahead = sum(1 for one in facts.slots if one.gate == slot.gate and one.priority > slot.priority)
        return f"none is free for it now, {ahead} of higher priority are before it" if ahead else "none is free"
    named = [f"{_holder(one)} since {_at(one.granted_at)}" for one in held[:_NAMED] if one.granted_at is not None]
    more = f" and {len(held) - _NAMED} more" if len(held) > _NAMED else ""
    return f"held by {', '.join(named)}{more}"


def _holder(slot: SlotRecord) -> str:
    place = f"[{', '.join(map(str, slot.element))}]" if slot.element else ""
    return f"{slot.node}{place} of execution {slot.execution_id}" if slot.node else f"execution {slot.execution_id}"


def _elements(facts: Facts, node: Node) -> int | None:
    """How many elements a node has, as far as it is recorded; None = not known."""
    if not node.rank:
        return 1
    ended = facts.summary.get(node.id)
    sources = [link.source for link in facts.graph.links[node.id]]
    if ended is not None and all(_has_ended(facts, source) for source in sources):
        return max(sum(ended.counts.values()), _most_of(facts, node))
    return None


def _most_of(facts: Facts, node: Node) -> int:
    """Elements of the nodes along which it is mapped: it has as many."""
    along = [link.source for link in facts.graph.links[node.id] if link.shared == node.rank]
    return max((sum(facts.summary[one].counts.values()) for one in along if one in facts.summary), default=0)


def _has_ended(facts: Facts, name: str) -> bool:
    summary = facts.summary.get(name)
    node = facts.graph.by_id[name]
    if summary is None or any(not state.final for state in summary.counts):
        return False
    return not node.rank or all(_has_ended(facts, link.source) for link in facts.graph.links[name])


def _standing(facts: Facts, name: str) -> str:
    summary = facts.summary.get(name)
    if summary is None:
        return "pending"
    if len(summary.counts) == 1 and sum(summary.counts.values()) == 1:
        return str(next(iter(summary.counts)))
    return ", ".join(f"{count} {state}" for state, count in sorted(summary.counts.items()))


def _has(kind: Mapping[str, float], wanted: Mapping[str, float]) -> bool:
    return all(kind.get(name, 0.0) >= amount for name, amount in wanted.items())


def _amounts(resources: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {amount:g}" for name, amount in sorted(resources.items()))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _at(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
