"""PostgreSQL refuses what one execution came to: that one fails with a sentence, and the others of the same commit go on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from tests.unit.engine.rig import Cluster, Ids, Time
from wfplatform import Cache, Workflow, node, workflow
from wfplatform.compiler.payload import Delivery, Part, pack_delivery
from wfplatform.core.event import Recorded
from wfplatform.core.execution import NodeState, Outcome, OutcomeKind, Run
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.core.ports import Commit, NodeRecord, Publication
from wfplatform.core.start import NewExecution
from wfplatform.engine.cluster import OutcomesArrived
from wfplatform.engine.costs import Costs
from wfplatform.engine.options import EngineOptions
from wfplatform.engine.orchestrator import Orchestrator
from wfplatform.errors import UnstorableError
from wfplatform.store.catalog import Catalog
from wfplatform.store.database import Database
from wfplatform.store.engine_store import COPY_FROM_ROWS, PostgresEngineStore
from wfplatform.store.late_store import PostgresLateStore
from wfplatform.store.reader import Reader
from wfplatform.store.sharing import PostgresSharing

MANY = COPY_FROM_ROWS + 10
FINE = {"result": {"codec": "json", "size": 1, "digest": "d", "value": 1}}
TOO_LONG = "".join(map(chr, range(300, 9000)))
"""Longer than an index holds, and nothing in it comes twice."""


@node
def same(x: Any) -> Any:
    return x


@node(cache=Cache(expires_s=1e30))
def kept(x: Any) -> Any:
    return x


@workflow
def wide(xs: list[int]) -> Any:
    """Elements for which nothing waits."""
    return same.map(xs)


@workflow
def keeps(x: int) -> Any:
    """Its result is kept for ever and a day."""
    return kept(x)


class House:
    """An engine on a database, without threads and without workers."""

    def __init__(self, store: PostgresEngineStore, database: Database) -> None:
        self.store, self.reader, self.catalog = store, Reader(database), Catalog(database)
        self.time, self.cluster, self.ids = Time(), Cluster(), Ids()
        self.numbers = iter(range(1, 1000))
        self.engine = Orchestrator(
            engine_id=self.ids.new(),
            store=store,
            late=PostgresLateStore(store),
            versions=store,
            cache=store,
            sharing=PostgresSharing(store),
            publish=lambda digest, body: None,
            costs=Costs(store),
            executor=self.cluster,
            clock=self.time,
            ids=self.ids,
            notifier=self,
            options=EngineOptions(),
        )
        store.register(self.engine.engine_id, lease_s=600, facts={})

    def notify(self, channel: str, payloads: Iterable[str]) -> None:
        """Nobody listens."""

    def start(self, flow: Workflow[..., Any], count: int, **parameters: Any) -> list[UUID]:
        found = self.catalog.publish(
            DEFAULT_TENANT,
            Publication(
                name=flow.name,
                digest=flow.version,
                document=flow.definition,
                code=flow.code.to_bytes(),
                code_digest=flow.code.digest,
            ),
        )
        new = [
            NewExecution(id=self.ids.new(), version_id=found.id, workflow_name=flow.name, parameters=parameters)
            for _ in range(count)
        ]
        self.catalog.insert(DEFAULT_TENANT, new)
        self.engine.turn(look=True)
        return [one.id for one in new]

    def said(self, part: Part, digest: str | None = None, outputs: Any = None) -> OutcomesArrived:
        """A worker's message: all of a part has completed, the first element of it with what is given here."""
        elements = [(index, at, attempt) for index, span, attempt in part.members for at in span.elements()]
        outcomes: list[Any] = [
            [index, at, attempt, "c", 1.0, 2.0, 0.5, 1, None, FINE, None, None, None, [], None]
            for index, at, attempt in elements
        ]
        outcomes[0][8], outcomes[0][9] = digest, outputs or FINE
        delivery = Delivery(part.execution, part.epoch, part.segment, outcomes, True)
        return OutcomesArrived(pack_delivery("stream", next(self.numbers), "tcp://w", [delivery]))


@pytest.fixture
def house(store: PostgresEngineStore, database: Database) -> House:
    return House(store, database)


class Bad(NamedTuple):
    """Something PostgreSQL refuses, and its words about it."""

    said: dict[str, Any]
    words: str


BAD = {
    "by the server": Bad({"digest": "a\0"}, "0x00|cannot be converted"),
    "by the driver": Bad({"outputs": {"result": {"codec": "npy", "size": 1, "digest": "d", "location": "a\0"}}}, "NUL"),
    "on the way": Bad(
        {"outputs": {"result": {"codec": "npy", "size": 1, "digest": "d", "location": "a\ud800"}}}, "surrogates"
    ),
}


@pytest.mark.parametrize("count", [3, MANY])
@pytest.mark.parametrize("what", BAD)
def test_of_two_executions_in_one_commit_the_sound_one_completes_and_the_other_fails(
    house: House, what: str, count: int
) -> None:
    good, bad = house.start(wide, 2, xs=list(range(count)))
    reports = [house.said(part, **(BAD[what].said if part.execution == bad else {})) for part in house.cluster.parts]
    house.engine.turn(reports)
    assert house.reader.execution(DEFAULT_TENANT, good).state == "completed"
    ended = house.reader.execution(DEFAULT_TENANT, bad)
    assert (ended.state, ended.engine_id, ended.nodes_total) == ("failed", None, count)
    assert ended.error is not None
    assert (ended.error["code"], ended.error["node"]) == ("commit_refused", "same")
    assert ended.error["message"].startswith("The database refuses to record what came of same[0]")
    assert any(word in ended.error["message"] for word in BAD[what].words.split("|")), ended.error["message"]
    states = [one.state for one in house.reader.nodes(DEFAULT_TENANT, bad, limit=1000).items]
    firsts = sum(part.execution == bad for part in house.cluster.parts)  # one of each message was wrong
    assert (states.count(NodeState.FAILED), states.count(NodeState.COMPLETED)) == (firsts, count - firsts)
    assert house.engine.live == {}
    assert house.cluster.acknowledged == len(reports)
    # Who mends what was wrong has only that to compute again.
    house.catalog.command(DEFAULT_TENANT, bad, "retry")
    done = len(house.cluster.parts)
    house.engine.turn(look=True)
    again = house.cluster.parts[done:]
    assert sum(len(span) for part in again for _, span, _ in part.members) == firsts
    house.engine.turn([house.said(part) for part in again])
    assert house.reader.execution(DEFAULT_TENANT, bad).state == "completed"


def test_a_key_that_no_index_holds_is_not_taken_for_a_server_that_is_away(house: House) -> None:
    (execution,) = house.start(wide, 1, xs=[1])
    outcome = Outcome(TOO_LONG, (), 1, OutcomeKind.COMPLETED)
    for records in (1, MANY):
        nodes = [
            NodeRecord(execution, 1, Recorded(TOO_LONG, (number,), Run(NodeState.COMPLETED, 1), outcome, True))
            for number in range(records)
        ]
        with pytest.raises(UnstorableError, match="index row requires") as caught:
            house.store.commit(Commit(engine_id=house.engine.engine_id, nodes=nodes))
        assert caught.value.code == "commit_refused"


def test_a_result_that_is_to_be_kept_longer_than_there_are_dates_is_kept(house: House) -> None:
    first, second = house.start(keeps, 2, x=1)
    house.engine.turn([house.said(part) for part in house.cluster.parts])
    for execution in (first, second):
        assert house.reader.execution(DEFAULT_TENANT, execution).state == "completed"
    before = len(house.cluster.parts)
    house.start(keeps, 1, x=1)
    for _ in range(3):
        house.engine.turn(look=True)
    assert len(house.cluster.parts) == before, "its result is known"


@pytest.mark.parametrize("count", [1, MANY])
@pytest.mark.parametrize("level", [-(10**9), 10**9, 10.5])
def test_a_line_of_a_level_that_nobody_has_heard_of_is_kept(house: House, count: int, level: Any) -> None:
    (execution,) = house.start(wide, 1, xs=[1])
    logs = ((1.0, level, "l", "m"),)
    nodes = [
        NodeRecord(
            execution,
            1,
            Recorded(
                "same",
                (number,),
                Run(NodeState.COMPLETED, 1),
                Outcome("same", (number,), 1, OutcomeKind.COMPLETED, logs=logs),
                True,
            ),
        )
        for number in range(count)
    ]
    house.store.commit(Commit(engine_id=house.engine.engine_id, nodes=nodes))
    lines = house.reader.logs(DEFAULT_TENANT, execution, limit=1000).items
    assert {line.level for line in lines} == {max(-32_768, min(int(level), 32_767))}
    assert len(lines) == count
