"""Every reason for which an execution or a node of it does not go on, in the sentence that people read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from wfplatform import Breaker, Limit, approval, delay, node, wait_for_event, workflow
from wfplatform.core.breaker import BreakerRecord, BreakerState, Calls
from wfplatform.core.execution import Element, ExecutionState, NodeState
from wfplatform.core.graph import Graph
from wfplatform.core.record import ExecutionRecord, NodeExecutionRecord, NodeSummary
from wfplatform.core.slot import SlotRecord
from wfplatform.core.why import Cause, EngineRecord, Facts, Reason, reasons

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
LOST = "It was lost while it ran, and nobody knows whether it happened"
ME, OTHER, ENGINE = UUID(int=1), UUID(int=2), UUID(int=3)


@node
def first(x: int) -> int:
    return x


@node
def second(x: int) -> int:
    return x


@workflow
def chain(x: int) -> Any:
    return second(first(x))


@workflow
def mapped(xs: list[int]) -> Any:
    return second.map(first.map(xs))


def flow_of(**options: Any) -> Graph:
    @workflow
    def one(x: int) -> Any:
        return first.options(**options)(x)

    return one.graph


def record(state: ExecutionState = ExecutionState.RUNNING, **more: Any) -> ExecutionRecord:
    given: dict[str, Any] = {
        "id": ME,
        "tenant_id": UUID(int=0),
        "version_id": UUID(int=9),
        "workflow_name": "one",
        "state": state,
        "priority": 0,
        "parameters": {},
        "tags": (),
        "created_at": NOW,
        "created_by": "ann",
        "started_at": NOW,
        "finished_at": None,
        "updated_at": NOW,
        "engine_id": ENGINE,
        "epoch": 1,
        "cancel_requested_at": None,
        "cancel_requested_by": None,
        "paused_at": None,
        "paused_by": None,
        "waiting_for": "",
        "error": None,
        "timeout_s": 60.0,
        "worked_s": 0.0,
        "nodes_total": None,
        "nodes_ended": 0,
        "nodes_failed": 0,
        "parent": None,
        "depth": 0,
    }
    return ExecutionRecord(**{**given, **more})


def at(name: str, state: NodeState, element: Element = (), **more: Any) -> NodeExecutionRecord:
    given: dict[str, Any] = dict.fromkeys(
        (
            "started_at", "finished_at", "cpu_s", "peak_memory_bytes", "input_digest", "outputs", "error", "sizes", "verdict",
            "due_at", "progress", "reused_from",
        )
    )  # fmt: skip
    given |= {"attempt": 1, "tries": 0, "lost": 0, "epoch": 1, "worker": "", "segment": "", "reason": ""}
    given |= {"progress_message": "", "execution_id": ME, "node": name, "element": element, "state": state}
    return NodeExecutionRecord(**{**given, **more})


def counted(name: str, **counts: int) -> dict[str, NodeSummary]:
    return {name: NodeSummary(node=name, counts={NodeState(state): count for state, count in counts.items()})}


def engine(**more: Any) -> EngineRecord:
    given: dict[str, Any] = {"id": ENGINE, "host": "here", "pid": 1, "workers": 2, "resources": (), "executions": 1}
    return EngineRecord(**{**given, **more})


def facts(graph: Graph, *nodes: NodeExecutionRecord, **more: Any) -> Facts:
    summary: Mapping[str, NodeSummary] = more.pop("summary", {})
    states = {one.node: NodeSummary(node=one.node, counts={one.state: 1}) for one in nodes}
    given: dict[str, Any] = {"execution": record(), "engines": (engine(),)}
    return Facts(graph=graph, now=NOW, nodes=nodes, summary={**states, **summary}, **{**given, **more})


def one_of(found: list[Reason], cause: Cause) -> Reason:
    (reason,) = [reason for reason in found if reason.cause is cause]
    return reason


def slot(gate: str, called: str, execution: UUID = ME, name: str = "first", **more: Any) -> SlotRecord:
    given: dict[str, Any] = {"most": 2, "workflow_name": "one", "element": (), "priority": 0, "asked_at": NOW}
    granted_at = NOW if execution == OTHER else None
    return SlotRecord(
        gate=gate, called=called, execution_id=execution, node=name, granted_at=granted_at, **{**given, **more}
    )


def test_one_that_has_ended() -> None:
    (reason,) = reasons(facts(chain.graph, execution=record(ExecutionState.FAILED)))
    assert (reason.cause, reason.sentence) == (Cause.ENDED, "It has ended: failed.")


def test_no_engine_runs() -> None:
    (reason,) = reasons(facts(chain.graph, execution=record(ExecutionState.PENDING), engines=()))
    assert (reason.cause, reason.sentence) == (
        Cause.NO_ENGINE,
        "No engine runs, so nothing goes on. `wfp up` starts one.",
    )


def test_engines_have_enough_to_do() -> None:
    (reason,) = reasons(
        facts(chain.graph, execution=record(ExecutionState.PENDING), engines=(engine(executions=1000),))
    )
    assert reason.cause is Cause.ENGINE_BUSY
    assert reason.sentence == "It waits to be taken up: 1 engine with 1000 executions in hand."


def test_paused_by_whom() -> None:
    paused = record(paused_at=NOW, paused_by="bob")
    found = reasons(facts(chain.graph, execution=paused))
    whole = found[0]
    assert (whole.cause, whole.node) == (Cause.PAUSED, None)
    assert whole.sentence.startswith("It was paused by bob at 2026-01-02 03:04:05 UTC")
    assert [(one.node, one.cause) for one in found[1:]] == [("first", Cause.PAUSED), ("second", Cause.UPSTREAM)]


def test_it_was_asked_to_stop() -> None:
    stopping = record(cancel_requested_at=NOW, cancel_requested_by="bob")
    found = reasons(facts(chain.graph, at("first", NodeState.RUNNING), execution=stopping))
    assert one_of(found, Cause.STOPPING).sentence.startswith("It was asked to stop by bob")


def test_the_cluster_has_no_worker_or_does_not_answer() -> None:
    found = reasons(facts(chain.graph, engines=(engine(workers=0),)))
    assert one_of(found, Cause.NO_WORKER).sentence == "The cluster has no worker, so nothing can run."
    found = reasons(facts(chain.graph, engines=(engine(away=True),)))
    assert "scheduler does not answer" in one_of(found, Cause.CLUSTER_AWAY).sentence
    assert all(one.cause is not Cause.NO_WORKER for one in reasons(facts(chain.graph, engines=(engine(workers=None),))))


def test_as_many_executions_of_its_workflow_run_as_may() -> None:
    waits, held = (
        slot("executions:one", "executions of one", name="", most=1),
        slot("executions:one", "x", OTHER, "", most=1),
    )
    (reason,) = reasons(facts(chain.graph, slots=(waits, held)))
    assert reason.cause is Cause.MAX_EXECUTIONS
    assert reason.sentence == (
        f"1 execution of one may run at once: held by execution {OTHER} since 2026-01-02 03:04:05 UTC."
    )


def test_a_node_waits_for_what_it_needs() -> None:
    found = reasons(facts(chain.graph, at("first", NodeState.RUNNING, worker="tcp://w", started_at=NOW)))
    assert [(one.node, one.cause, one.sentence) for one in found] == [
        ("first", Cause.RUNNING, "It runs since 2026-01-02 03:04:05 UTC on tcp://w."),
        ("second", Cause.UPSTREAM, "It waits for first (running)."),
    ]


def test_elements_of_a_mapped_node_are_told_together() -> None:
    running = [at("first", NodeState.RUNNING, (index,), started_at=NOW) for index in range(2)]
    summary = {**counted("first", running=2, completed=3, failed=1), **counted("second", completed=3)}
    found = reasons(facts(mapped.graph, *running, summary=summary))
    assert [(one.node, one.cause, one.elements) for one in found] == [
        ("first", Cause.RUNNING, 2),
        ("second", Cause.UPSTREAM, 0),
    ]
    assert found[1].sentence == "It waits for first (3 completed, 1 failed, 2 running)."


def test_what_may_run_waits_for_its_turn() -> None:
    (reason,) = reasons(facts(flow_of()))
    assert (reason.cause, reason.sentence) == (Cause.QUEUED, "It may run, and waits for its turn on 2 workers.")


def test_no_worker_has_what_it_wants() -> None:
    graph = flow_of(resources={"GPU": 1})
    (reason,) = reasons(facts(graph, engines=(engine(resources=({"MEM": 4.0},)),)))
    assert (reason.cause, reason.sentence) == (Cause.RESOURCE, "No worker has GPU 1; what workers have: MEM 4.")
    (reason,) = reasons(facts(graph, engines=(engine(resources=({"GPU": 1.0},)),)))
    assert reason.cause is Cause.QUEUED


def test_a_slot_is_held_by_whom_since_when() -> None:
    graph = flow_of(limit=Limit("db", 2, across="all"))  # type: ignore[arg-type]
    slots = (slot("limit:db", "db"), slot("limit:db", "db", OTHER, element=(4,)))
    (reason,) = reasons(facts(graph, slots=slots))
    assert reason.cause is Cause.SLOT
    assert reason.sentence == f"2 slots of db: held by first[4] of execution {OTHER} since 2026-01-02 03:04:05 UTC."


def test_a_limit_of_the_execution_itself() -> None:
    (reason,) = reasons(facts(flow_of(limit=("db", 2))))
    assert reason.cause is Cause.SLOT
    assert reason.sentence == "2 elements with the limit db may run at once in this execution."


def test_a_circuit_breaker_is_open() -> None:
    state = BreakerState(opened_at=NOW, until_at=LATER, window=(Calls(0.0, 1, 9),))
    breakers = {"api": BreakerRecord(name="api", state=state, updated_at=NOW)}
    (reason,) = reasons(facts(flow_of(breaker="api"), breakers=breakers))
    assert reason.cause is Cause.BREAKER
    assert reason.sentence == (
        "The circuit breaker api is open until 2026-01-02 03:09:05 UTC, because 9 of 10 calls failed; then one tries."
    )
    half = {"api": replace(breakers["api"], state=replace(state, until_at=NOW))}
    slots = (slot("breaker:api", "the circuit breaker api", most=1), slot("breaker:api", "x", OTHER, most=1))
    (reason,) = reasons(facts(flow_of(breaker=Breaker("api")), breakers=half, slots=slots))
    assert reason.sentence.startswith(
        "Of the circuit breaker api one call tries whether it can be closed: held by first of"
    )


def test_another_execution_computes_the_same() -> None:
    slots = (slot("cache:k", "the result of first", most=1), slot("cache:k", "the result of first", OTHER, most=1))
    (reason,) = reasons(facts(flow_of(cache=True), slots=slots))
    assert reason.cause is Cause.SHARED_RESULT
    assert f"first of execution {OTHER} since" in reason.sentence


def test_what_is_tried_again_and_when() -> None:
    waits = at("first", NodeState.WAITING, due_at=LATER, error={"type": "OSError"})
    reason = reasons(facts(chain.graph, waits))[0]
    assert (reason.cause, reason.sentence) == (
        Cause.RETRY,
        "It failed with OSError and is tried again at 2026-01-02 03:09:05 UTC.",
    )


@workflow
def waits_for_all(x: int) -> Any:
    return delay(seconds=x), wait_for_event("paid"), approval("Pay?", assignees=["ann", "bob"])


@pytest.mark.parametrize(
    ("name", "awaits", "due_at", "cause", "sentence"),
    [
        ("delay", None, LATER, Cause.DELAY, "It is a delay, due at 2026-01-02 03:09:05 UTC."),
        ("paid", {"kind": "event", "name": "paid"}, None, Cause.EVENT, "It waits for the event paid."),
        (
            "approval",
            {"kind": "approval", "title": "Pay?", "assignees": ["ann", "bob"]},
            LATER,
            Cause.APPROVAL,
            "It waits for ann or bob to decide: Pay?, until 2026-01-02 03:09:05 UTC.",
        ),
        (
            "approval",
            {"kind": "approval", "title": "x", "unknown": True},
            None,
            Cause.UNKNOWN_EFFECT,
            f"{LOST}: `wfp approvals approve {ME} approval` runs it again.",
        ),
    ],
)
def test_what_waits_for_an_instant_an_event_or_a_person(
    name: str, awaits: dict[str, Any] | None, due_at: datetime | None, cause: Cause, sentence: str
) -> None:
    assert name in {one.id for one in waits_for_all.graph.nodes}
    found = reasons(facts(waits_for_all.graph, at(name, NodeState.WAITING, awaits=awaits, due_at=due_at)))
    assert one_of([one for one in found if one.node == name], cause).sentence == sentence


def test_a_child_execution() -> None:
    @workflow
    def parent(x: int) -> Any:
        return chain(x)

    name = parent.graph.nodes[0].id
    waits = at(name, NodeState.WAITING, reason=f"waits for the child execution {OTHER} of chain")
    (reason,) = reasons(facts(parent.graph, waits))
    assert (reason.cause, reason.sentence) == (Cause.CHILD, f"It waits for the child execution {OTHER} of chain.")
