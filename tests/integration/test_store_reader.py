"""What is read of executions: pages by key, prefixes, filters, and plans that use the indexes made for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
import pytest

from wfplatform.core.event import Recorded
from wfplatform.core.execution import ExecutionState, NodeState, Outcome, OutcomeKind, Run
from wfplatform.core.identifier import DEFAULT_TENANT, TimeOrderedIds
from wfplatform.core.ports import Commit, NodeRecord, Publication, StoredVersion
from wfplatform.core.record import Page
from wfplatform.core.start import NewExecution
from wfplatform.errors import NotFoundError, UserError
from wfplatform.store.catalog import Catalog
from wfplatform.store.database import Database
from wfplatform.store.engine_store import PostgresEngineStore
from wfplatform.store.reader import Reader
from wfplatform.store.record_row import SUMMARY

IDS = TimeOrderedIds()


class House(NamedTuple):
    """A database with its faces."""

    dsn: str
    store: PostgresEngineStore
    catalog: Catalog
    reader: Reader
    version: StoredVersion
    engine: UUID


@pytest.fixture
def house(dsn: str) -> Iterator[House]:
    store, database, engine = PostgresEngineStore(dsn), Database(dsn), IDS.new()
    store.register(engine, lease_s=600, facts={})
    catalog = Catalog(database)
    version = catalog.publish(DEFAULT_TENANT, Publication(name="delays", digest="d", document={}, code=b"c"))
    yield House(dsn, store, catalog, Reader(database), version, engine)
    store.close()
    database.close()


def ask(house: House, count: int, name: str = "delays", **more: Any) -> list[UUID]:
    new = [
        NewExecution(id=IDS.new(), version_id=house.version.id, workflow_name=name, parameters={}, **more)
        for _ in range(count)
    ]
    house.catalog.insert(DEFAULT_TENANT, new)
    return [one.id for one in new]


def all_pages(read: Callable[[str | None], Page[Any]]) -> tuple[list[Any], int]:
    found: list[Any] = []
    pages, after = 0, None
    while True:
        page = read(after)
        found += page.items
        pages, after = pages + 1, page.next
        if after is None:
            return found, pages


def test_executions_come_newest_first_page_by_page(house: House) -> None:
    ids = ask(house, 25)
    found, pages = all_pages(lambda after: house.reader.executions(DEFAULT_TENANT, limit=10, after=after))
    assert [row.id for row in found] == ids[::-1]
    assert pages == 3
    first = house.reader.executions(DEFAULT_TENANT, limit=25, total=True)
    assert (len(first.items), first.next, first.total) == (25, None, 25)
    assert house.reader.executions(DEFAULT_TENANT).total is None
    third = house.reader.executions(DEFAULT_TENANT, limit=10, offset=20)
    assert [row.id for row in third.items] == ids[4::-1]


def test_a_page_does_not_move_when_executions_are_added(house: House) -> None:
    ids = ask(house, 4)
    first = house.reader.executions(DEFAULT_TENANT, limit=2)
    ask(house, 3)
    second = house.reader.executions(DEFAULT_TENANT, limit=2, after=first.next)
    assert [row.id for row in (*first.items, *second.items)] == ids[::-1]


def test_executions_are_told_apart(house: House) -> None:
    parent = ask(house, 1)[0]
    tagged = ask(house, 2, name="other", tags=("night", "x"))
    child = ask(house, 1, parent=(parent, "sub", ()))[0]
    running = house.store.look(house.engine, claims=1).claims
    assert [claim.id for claim in running] == [parent]

    def ids(**more: Any) -> list[UUID]:
        return [row.id for row in house.reader.executions(DEFAULT_TENANT, **more).items]

    assert ids(workflow_name="other") == tagged[::-1]
    assert ids(tag="night") == tagged[::-1]
    assert ids(tag="day") == []
    assert ids(parent_id=parent) == [child]
    assert ids(states=[ExecutionState.RUNNING]) == [parent]
    assert len(ids(states=[ExecutionState.PENDING, ExecutionState.FAILED])) == 3
    now = datetime.now(UTC)
    counts = house.reader.counts(DEFAULT_TENANT, since_at=now - timedelta(minutes=5))
    assert counts == {ExecutionState.PENDING: 3, ExecutionState.RUNNING: 1}
    assert house.reader.counts(DEFAULT_TENANT, since_at=now + timedelta(minutes=5)) == {}
    assert house.reader.states(DEFAULT_TENANT, [parent, IDS.new()]) == {parent: ExecutionState.RUNNING}


def test_an_execution_is_found_by_the_beginning_of_its_id(house: House) -> None:
    one, two = ask(house, 2)
    assert house.reader.find(DEFAULT_TENANT, str(one)).id == one
    assert house.reader.find(DEFAULT_TENANT, one.hex).id == one
    shared = next(index for index in range(32) if one.hex[index] != two.hex[index])
    assert house.reader.find(DEFAULT_TENANT, f" {one.hex[: shared + 1].upper()} ").id == one
    with pytest.raises(UserError, match="more digits") as caught:
        house.reader.find(DEFAULT_TENANT, one.hex[:shared])
    assert {str(one), str(two)} == set(caught.value.facts["ids"])
    for wrong in ("", "xyz", "f" * 32, "0" * 33, "%"):
        with pytest.raises(NotFoundError):
            house.reader.find(DEFAULT_TENANT, wrong)


def record(house: House, count: int, lines: int = 0) -> UUID:
    ask(house, 1)
    claim = house.store.look(house.engine, claims=1).claims[0]
    records = []
    for node in ("b", "a"):
        for index in range(count):
            logs = tuple((1000.0 + n % 3, 10 + n % 30, "wf", f"{node} {index} {n}") for n in range(lines))
            state = NodeState.COMPLETED if index % 2 else NodeState.FAILED
            kind = OutcomeKind.COMPLETED if index % 2 else OutcomeKind.FAILED
            outcome = Outcome(node, (index,), 1, kind, started_at=1000.0 + index, finished_at=2000.0 + index, logs=logs)
            records.append(NodeRecord(claim.id, claim.epoch, Recorded(node, (index,), Run(state, 1), outcome, True)))
    house.store.commit(Commit(engine_id=house.engine, nodes=records))
    return claim.id


def test_nodes_come_in_order_page_by_page(house: House) -> None:
    execution = record(house, 12)

    def read(after: str | None, **more: Any) -> Page[Any]:
        return house.reader.nodes(DEFAULT_TENANT, execution, limit=5, after=after, **more)

    found, pages = all_pages(read)
    assert [(row.node, row.element) for row in found] == [(n, (i,)) for n in "ab" for i in range(12)]
    assert pages == 5
    failed, _ = all_pages(lambda after: read(after, states=[NodeState.FAILED], node="b"))
    assert [row.element for row in failed] == [(i,) for i in range(0, 12, 2)]
    summary = house.reader.summary(DEFAULT_TENANT, execution)
    assert [(line.node, line.counts) for line in summary] == [
        (node, {NodeState.COMPLETED: 6, NodeState.FAILED: 6}) for node in "ab"
    ]
    assert summary[0].started_at == datetime.fromtimestamp(1000, UTC)
    assert summary[0].finished_at == datetime.fromtimestamp(2011, UTC)


def test_earlier_tries_come_in_order_page_by_page(house: House) -> None:
    execution, other = ask(house, 2)
    with psycopg.connect(house.dsn) as connection:
        for one in (execution, other):
            connection.execute(
                "insert into attempt (execution_id, node_id, element, attempt, tenant_id, state)"
                " select %s, node, array[i], number, %s, 'failed'"
                " from unnest(array['b', 'a']) node, generate_series(0, 6) i, generate_series(1, 2) number",
                (one, DEFAULT_TENANT),
            )

    def read(after: str | None, **more: Any) -> Page[Any]:
        return house.reader.attempts(DEFAULT_TENANT, execution, limit=5, after=after, **more)

    found, pages = all_pages(read)
    assert [(row.node, row.element, row.attempt) for row in found] == [
        (node, (index,), number) for node in "ab" for index in range(7) for number in (1, 2)
    ]
    assert pages == 6
    some, _ = all_pages(lambda after: read(after, node="b", between=((2,), (4,))))
    assert [(row.element, row.attempt) for row in some] == [
        ((index,), number) for index in (2, 3, 4) for number in (1, 2)
    ]


def test_a_summary_of_many_elements_reads_them_by_an_index_and_sorts_few(house: House) -> None:
    elements, workers = 20_000, 8
    execution, other = ask(house, 2)
    with psycopg.connect(house.dsn) as connection:
        for one in (execution, other):
            connection.execute(
                "insert into node_execution"
                " (execution_id, node_id, element, tenant_id, state, attempt, worker, started_at, cpu_s)"
                " select %s, 'part', array[i], %s, case i %% 2 when 0 then 'completed' else 'failed' end, 1,"
                " 'tcp://' || i %% %s, now() + i * interval '1 ms', 0.5 from generate_series(1, %s) as i",
                (one, DEFAULT_TENANT, workers, elements),
            )
        connection.execute("set local enable_seqscan = off")
        explain = f"explain (analyze, format json) {SUMMARY}".encode()
        row = connection.execute(explain, (execution,)).fetchone()
    assert row is not None
    steps = list(plan_steps(row[0][0]["Plan"]))
    assert [step for step in steps if "execution_id =" in step.get("Index Cond", "")]
    assert max(step["Actual Rows"] for step in steps if "Sort" in step["Node Type"]) <= workers * 2
    (part,) = house.reader.summary(DEFAULT_TENANT, execution)
    assert part.counts == {NodeState.COMPLETED: elements // 2, NodeState.FAILED: elements // 2}
    assert (part.cpu_s, part.cpu_mean_s, part.workers) == (elements / 2, 0.5, workers)


def plan_steps(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from plan_steps(below)


def test_logs_are_followed_from_where_one_was(house: House) -> None:
    execution = record(house, 2, lines=7)
    whole = house.reader.logs(DEFAULT_TENANT, execution)
    assert len(whole.items) == 28
    assert [line[:5] for line in whole.items] == sorted(line[:5] for line in whole.items)
    read: list[Any] = []
    after = None
    while page := house.reader.logs(DEFAULT_TENANT, execution, limit=5, after=after).items:
        read += page
        after = house.reader.logs(DEFAULT_TENANT, execution, limit=5, after=after).next
    assert read == list(whole.items)
    assert house.reader.logs(DEFAULT_TENANT, execution, after=after).next == after, "nothing new: ask here again"
    loud = house.reader.logs(DEFAULT_TENANT, execution, least_level=14, node="a").items
    assert {line.level for line in loud} == {14, 15, 16}
    assert {line.node for line in loud} == {"a"}


def test_workflows_and_versions_are_listed(house: House) -> None:
    for name in ("b", "a"):
        for digest in ("1", "2"):
            house.catalog.publish(
                DEFAULT_TENANT, Publication(name=name, digest=digest, document={}, code=b"c", description="what")
            )
    found, pages = all_pages(lambda after: house.reader.workflows(DEFAULT_TENANT, limit=2, after=after))
    assert [(row.name, row.number) for row in found] == [("a", 2), ("b", 2), ("delays", 1)]
    assert pages == 2
    assert house.reader.workflows(DEFAULT_TENANT, total=True).total == 3
    assert [version.number for version in house.reader.versions(DEFAULT_TENANT, "a")] == [2, 1]
    assert house.reader.version(DEFAULT_TENANT, house.version.id) == house.version
    assert house.reader.workflow(DEFAULT_TENANT, "a").description == "what"
    with pytest.raises(NotFoundError, match="'nobody'"):
        house.reader.workflow(DEFAULT_TENANT, "nobody")


def test_what_is_no_page_is_refused(house: House) -> None:
    execution = record(house, 1)
    for limit in (0, -1, 10_001):
        with pytest.raises(UserError, match="limit"):
            house.reader.executions(DEFAULT_TENANT, limit=limit)
    for cursor in ("", "x", "[1]", '["a", 5]', '["a", "b"]', '[["a"], [1]]', "null", "{}"):
        for read in (house.reader.nodes, house.reader.logs):
            with pytest.raises(UserError, match="next"):
                read(DEFAULT_TENANT, execution, after=cursor)
    with pytest.raises(UserError, match="next"):
        house.reader.executions(DEFAULT_TENANT, after="x")


def test_lists_and_claims_use_their_indexes(house: House) -> None:
    """Plans over few rows say little, so scans of whole tables are forbidden and what is left must be the index meant."""
    queries = {
        "execution_newest_idx": "select * from execution where tenant_id = %(t)s order by id desc limit 50",
        "execution_newest_of_workflow_idx": "select * from execution where tenant_id = %(t)s and workflow_name = 'delays'"
        " order by id desc limit 50",
        "execution_unclaimed_idx": "select id from execution where engine_id is null and not is_asleep and state in"
        " ('pending', 'running', 'waiting') order by priority desc, id limit 100",
        "execution_wake_idx": "select min(wake_at) from execution where engine_id is null and is_asleep and state in"
        " ('pending', 'running', 'waiting')",
        "tenant_id_execution_id_idx": "select node_id from node_execution where tenant_id = %(t)s and awaits is not null",
        "execution_engine_idx": "select id from execution where engine_id = %(t)s",
        "execution_parent_idx": "select id from execution where parent_id = %(t)s",
        "command_open_idx": "select id from command where execution_id = %(t)s and done_at is null order by id",
    }
    with psycopg.connect(house.dsn) as connection:
        connection.execute("set local enable_seqscan = off")
        connection.execute("set local enable_sort = off")
        for index, query in queries.items():
            lines = connection.execute(f"explain {query}", {"t": DEFAULT_TENANT}).fetchall()
            assert any(index in line for (line,) in lines), lines
