"""Requests of many megabytes: the connection's buffers are far smaller, and each side may wait for the other."""

from __future__ import annotations

import pytest

from wfplatform.core.event import Recorded
from wfplatform.core.execution import NodeState, Outcome, OutcomeKind, Run
from wfplatform.core.identifier import DEFAULT_TENANT, TimeOrderedIds
from wfplatform.core.ports import Commit, NodeRecord, Publication
from wfplatform.core.start import NewExecution
from wfplatform.store.catalog import Catalog
from wfplatform.store.database import Database
from wfplatform.store.engine_store import COPY_FROM_ROWS, PostgresEngineStore

IDS = TimeOrderedIds()
TEXT = "x" * 100_000


@pytest.mark.timeout(120)
def test_large_parameters_and_results_go_in_and_come_out(store: PostgresEngineStore, database: Database) -> None:
    catalog = Catalog(database)
    version = catalog.publish(DEFAULT_TENANT, Publication(name="large", digest="d", document={}, code=b"c"))
    new = [
        NewExecution(id=IDS.new(), version_id=version.id, workflow_name="large", parameters={"text": TEXT, "n": n})
        for n in range(100)
    ]
    catalog.insert(DEFAULT_TENANT, new)
    engine = IDS.new()
    store.register(engine, lease_s=600, facts={})
    claims = store.look(engine, claims=100).claims
    assert {claim.id: claim.parameters["n"] for claim in claims} == {one.id: one.parameters["n"] for one in new}
    assert all(claim.parameters["text"] == TEXT for claim in claims)
    few = claims[: COPY_FROM_ROWS - 1]
    # As one statement each: nodes with their values, and the bodies of artifacts.
    nodes = [
        NodeRecord(
            claim.id,
            claim.epoch,
            Recorded(
                "a",
                (),
                Run(NodeState.COMPLETED, 1),
                Outcome(
                    "a",
                    (),
                    1,
                    OutcomeKind.COMPLETED,
                    outputs={
                        "plain": {"codec": "json", "size": 100_002, "digest": "1" * 64, "value": TEXT},
                        "packed": {"codec": "bytes", "size": 100_000, "digest": f"{n:064d}", "body": TEXT.encode()},
                    },
                ),
                fresh=True,
            ),
        )
        for n, claim in enumerate(few)
    ]
    store.commit(Commit(engine_id=engine, nodes=nodes))
    for claim in (few[0], few[-1]):
        (stored,) = store.outputs({claim.id: [("a", ())]})[claim.id]
        assert stored.outputs is not None
        assert stored.outputs["plain"]["value"] == TEXT
        assert stored.outputs["packed"]["body"] == TEXT.encode()
