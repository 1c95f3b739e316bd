"""Steps that contract tests of a store take: publish, ask, claim, record."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from wfplatform.core.event import Recorded
from wfplatform.core.execution import Element, ExecutionState, NodeState, Outcome, OutcomeKind, Run
from wfplatform.core.identifier import DEFAULT_TENANT, TimeOrderedIds
from wfplatform.core.ports import Claim, Commit, ExecutionChange, NodeRecord, Publication, StoredVersion
from wfplatform.core.start import NewExecution

__all__ = [
    "AT",
    "IDS",
    "LONG_S",
    "OVER_S",
    "T0",
    "VALUE",
    "asked",
    "change",
    "claimed",
    "commit",
    "completed",
    "engine",
    "failed",
    "nodes",
    "published",
    "standing",
    "started",
    "tries",
]

IDS = TimeOrderedIds()
T0 = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
AT = T0.timestamp()
LONG_S = 60.0
OVER_S = -1.0
"""A lease that ended a second ago."""
VALUE = {"result": {"codec": "json", "size": 1, "digest": "d" * 64, "value": {"b": 1, "a": [1e16, -0.0, "é"]}}}


def published(subject: Any, name: str = "delays", digest: str = "v1") -> StoredVersion:
    found: StoredVersion = subject.catalog.publish(
        DEFAULT_TENANT,
        Publication(name=name, digest=digest, document={"nodes": [], "a": 1e16}, code=b"code of " + digest.encode()),
    )
    return found


def asked(subject: Any, count: int = 1, **more: Any) -> list[NewExecution]:
    version = published(subject)
    new = [
        NewExecution(id=IDS.new(), version_id=version.id, workflow_name="delays", parameters={"year": 2013}, **more)
        for _ in range(count)
    ]
    subject.catalog.insert(DEFAULT_TENANT, new)
    return new


def engine(subject: Any, lease_s: float = LONG_S, **facts: Any) -> UUID:
    engine_id = IDS.new()
    subject.store.register(engine_id, lease_s=lease_s, facts={"host": "here", "version": "1", **facts})
    return engine_id


def claimed(subject: Any, engine_id: UUID, **more: Any) -> Claim:
    new = asked(subject, **more)[0]
    claims = subject.store.look(engine_id, claims=10).claims
    assert [claim.id for claim in claims] == [new.id]
    found: Claim = claims[0]
    return found


def completed(node: str, element: Element = (), attempt: int = 1, **more: Any) -> Recorded:
    outcome = Outcome(
        node, element, attempt, OutcomeKind.COMPLETED, "w1", "s1", AT, AT + 0.25, 0.125, 4096, "i" * 64, VALUE, **more
    )
    return Recorded(node, element, Run(NodeState.COMPLETED, attempt), outcome, fresh=True)


def started(node: str, element: Element = (), attempt: int = 1) -> Recorded:
    outcome = Outcome(node, element, attempt, OutcomeKind.STARTED, "w1", "s1", AT)
    return Recorded(node, element, Run(NodeState.RUNNING, attempt), outcome, fresh=True)


def standing(node: str, run: Run, element: Element = (), *, fresh: bool = False) -> Recorded:
    return Recorded(node, element, run, None, fresh)


def failed(node: str, run: Run, error: dict[str, Any], element: Element = (), *, fresh: bool = True) -> Recorded:
    outcome = Outcome(node, element, run.attempt, OutcomeKind.FAILED, "w1", "s1", AT, AT + 1, error=error)
    return Recorded(node, element, run, outcome, fresh)


def commit(subject: Any, engine_id: UUID, claim: Claim, *records: Recorded, **more: Any) -> None:
    nodes = [NodeRecord(claim.id, claim.epoch, recorded) for recorded in records]
    subject.store.commit(Commit(engine_id=engine_id, nodes=nodes, **more))


def change(claim: Claim, state: ExecutionState = ExecutionState.RUNNING, **more: Any) -> ExecutionChange:
    values: dict[str, Any] = {
        "started_at": T0, "finished_at": None, "cancel_requested_at": None, "paused_at": None, "waiting_for": "",
        "error": None, "worked_s": 1.5, "nodes_total": 3, "nodes_ended": 2, "nodes_failed": 1,
    }  # fmt: skip
    return ExecutionChange(id=claim.id, epoch=claim.epoch, state=state, **{**values, **more})


def nodes(subject: Any, claim: Claim) -> dict[tuple[str, Element], Any]:
    return {(row.node, row.element): row for row in subject.reader.nodes(DEFAULT_TENANT, claim.id).items}


def tries(subject: Any, claim: Claim) -> list[tuple[str, Element, int, str]]:
    rows = subject.reader.attempts(DEFAULT_TENANT, claim.id).items
    return [(row.node, row.element, row.attempt, row.state) for row in rows]
