"""Whatever a node says is recorded: no text and no value makes a commit fail."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from wfplatform.core.event import Recorded
from wfplatform.core.execution import ExecutionState, NodeState, Outcome, OutcomeKind, Run
from wfplatform.core.identifier import DEFAULT_TENANT, TimeOrderedIds
from wfplatform.core.ports import Claim, Commit, ExecutionChange, NodeRecord, Publication
from wfplatform.core.start import NewExecution
from wfplatform.store.catalog import Catalog
from wfplatform.store.database import Database
from wfplatform.store.engine_store import COPY_FROM_ROWS, PostgresEngineStore
from wfplatform.store.reader import Reader
from wfplatform.store.text import MESSAGE_LIMIT_BYTES

IDS = TimeOrderedIds()
NASTY = "a\0b\ud800c\udfff\tt\\N\nn\r\"'{}$1%s\x01\x7f\u2028é😀"
SHOWN = NASTY.replace("\0", "\ufffd").replace("\ud800", "\ufffd").replace("\udfff", "\ufffd")
FEW_AND_MANY = pytest.mark.parametrize("count", [1, COPY_FROM_ROWS + 10])


class House(NamedTuple):
    """A database and an execution that is under way."""

    store: PostgresEngineStore
    reader: Reader
    catalog: Catalog
    engine: UUID
    claim: Claim

    def commit(self, records: list[Recorded], **more: Any) -> None:
        nodes = [NodeRecord(self.claim.id, self.claim.epoch, recorded) for recorded in records]
        self.store.commit(Commit(engine_id=self.engine, nodes=nodes, **more))


@pytest.fixture
def house(dsn: str) -> Iterator[House]:
    store, database, engine = PostgresEngineStore(dsn), Database(dsn), IDS.new()
    catalog = Catalog(database)
    store.register(engine, lease_s=600, facts={})
    version = catalog.publish(DEFAULT_TENANT, Publication(name="delays", digest="d", document={}, code=b"c"))
    parameters: Any = {"text": NASTY, NASTY: [1e16, -0.0, 10**40, True, None]}
    new = NewExecution(
        id=IDS.new(),
        version_id=version.id,
        workflow_name="delays",
        parameters=parameters,
        created_by=NASTY,
        tags=(NASTY,),
    )
    catalog.insert(DEFAULT_TENANT, [new])
    claim = store.look(engine, claims=1).claims[0]
    assert claim.parameters == parameters
    yield House(store, Reader(database), catalog, engine, claim)
    store.close()
    database.close()


def done(index: int, **more: Any) -> Recorded:
    outcome = Outcome("a", (index,), 1, OutcomeKind.COMPLETED, **more)
    return Recorded("a", (index,), Run(NodeState.COMPLETED, 1), outcome, fresh=True)


@FEW_AND_MANY
def test_text_that_cannot_be_stored_is_replaced(house: House, count: int) -> None:
    error = {"type": "E", "message": NASTY, NASTY: [NASTY, math.nan, math.inf, object, b"\0", 10**400]}
    run = Run(NodeState.FAILED, 1, tries=1, error=error, reason=NASTY)
    logs = ((1.0, 10**9, NASTY, NASTY),)

    def told(index: int) -> Outcome:
        return Outcome("a", (index,), 1, OutcomeKind.FAILED, worker=NASTY, segment=NASTY, error=error, logs=logs)

    retried = run.__class__(NodeState.WAITING, 1, tries=1, error=error, reason=NASTY)
    house.commit([Recorded("a", (index,), run, told(index), True) for index in range(count)])
    house.commit([Recorded("b", (0,), retried, told(0)._replace(node="b"), True)])
    changed = ExecutionChange(
        id=house.claim.id, epoch=house.claim.epoch, state=ExecutionState.WAITING, started_at=None, finished_at=None,
        cancel_requested_at=None, paused_at=None, waiting_for=NASTY, error=error, worked_s=0, nodes_total=None,
        nodes_ended=0, nodes_failed=0,
    )  # fmt: skip
    house.commit([], executions=[changed])
    execution = house.reader.execution(DEFAULT_TENANT, house.claim.id)
    nodes = house.reader.nodes(DEFAULT_TENANT, house.claim.id).items
    assert len(nodes) == count + 1
    for node in nodes:
        assert node.error is not None
        assert (node.worker, node.segment, node.reason, node.error["message"]) == (SHOWN, SHOWN, SHOWN, SHOWN)
        assert node.error[SHOWN][:3] == [SHOWN, "nan", "inf"]
    assert (execution.waiting_for, execution.created_by, execution.tags) == (SHOWN, SHOWN, (SHOWN,))
    attempt = house.reader.attempts(DEFAULT_TENANT, house.claim.id).items[0]
    assert attempt.error == nodes[0].error == execution.error
    assert {(line.logger, line.message) for line in house.reader.logs(DEFAULT_TENANT, house.claim.id).items} == {
        (SHOWN, SHOWN)
    }


@FEW_AND_MANY
@pytest.mark.parametrize(
    "value",
    [
        NASTY, {NASTY: NASTY}, {"b": 1, "a": [1.0, 1e16, -0.0, 1e-320, 10**40]}, None, False, 0, "", [], {}, {"": {"": []}},
        "\\", "\\N", "\\.", [[[[["deep"]]]]], "x" * 65_000,
    ],
)  # fmt: skip
def test_a_value_comes_back_as_it_was(house: House, count: int, value: Any) -> None:
    outputs = {"result": {"codec": "json", "size": 9, "digest": "d", "value": value}}
    house.commit([done(index, outputs=outputs) for index in range(count)])
    found = house.store.outputs({house.claim.id: [("a", (count - 1,))]})[house.claim.id][0].outputs
    assert found == outputs
    assert found is not None
    assert repr(found["result"]["value"]) == repr(value), "also 1.0 and 1, 0.0 and -0.0, and the order of keys"


@FEW_AND_MANY
def test_a_number_that_json_cannot_say_is_kept_as_bytes(house: House, count: int) -> None:
    value = [math.nan, math.inf, -math.inf, 1.5]
    outputs = {
        "result": {"codec": "json", "size": 9, "digest": "d", "value": value},
        "plain": {"codec": "json", "size": 1, "digest": "e", "value": 1},
    }
    house.commit([done(index, outputs=outputs) for index in range(count)])
    found = house.store.outputs({house.claim.id: [("a", (0,))]})[house.claim.id][0].outputs
    assert found is not None
    assert found["plain"] == outputs["plain"]
    assert repr(json.loads(found["result"]["body"])) == repr(value)
    assert "value" not in found["result"]


@FEW_AND_MANY
def test_a_long_line_is_cut(house: House, count: int) -> None:
    messages = ["x" * MESSAGE_LIMIT_BYTES, "x" * (MESSAGE_LIMIT_BYTES + 1), "😀" * MESSAGE_LIMIT_BYTES, "\0" * 50_000]
    logs = tuple((float(number), 20, "l", message) for number, message in enumerate(messages))
    house.commit([done(index, logs=logs) for index in range(count)])
    found = [line.message for line in house.reader.logs(DEFAULT_TENANT, house.claim.id, limit=10_000).items]
    assert len(found) == count * len(messages)
    assert found[0] == messages[0]
    assert {len(message.encode()) <= MESSAGE_LIMIT_BYTES * 3 for message in found} == {True}
    assert {message.endswith("(cut)") for message in found[count:]} == {True}
    assert found[2 * count].startswith("😀" * 4000)


def test_instants_keep_their_microseconds(house: House) -> None:
    instants = [0.0, 0.000001, 1767323045.678901, 1767323045.9999996, 4102444800.0]
    house.commit([done(index, started_at=at, finished_at=at) for index, at in enumerate(instants)])
    many = [done(index + 100, started_at=at, finished_at=at) for index, at in enumerate(instants * 20)]
    house.commit(many)
    nodes = house.reader.nodes(DEFAULT_TENANT, house.claim.id).items
    found = [node.started_at.timestamp() for node in nodes if node.started_at]
    assert found == pytest.approx(instants + instants * 20, abs=1e-6)
    assert found[:5] == found[5:10], "both ways of writing round alike"
