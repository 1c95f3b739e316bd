"""What becomes of leases and commits when engines stop, compete and lose their server."""

from __future__ import annotations

import random
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.integration.running import until
from wfplatform.core.event import Recorded
from wfplatform.core.execution import ExecutionState, NodeState, Outcome, OutcomeKind, Run
from wfplatform.core.identifier import DEFAULT_TENANT, TimeOrderedIds
from wfplatform.core.ports import Claim, Commit, ExecutionChange, NodeRecord, Publication
from wfplatform.core.start import NewExecution
from wfplatform.errors import ConflictError, UnreachableError
from wfplatform.store import migration, statement
from wfplatform.store.catalog import Catalog
from wfplatform.store.database import Database, Role, connect
from wfplatform.store.embedded import EmbeddedServer
from wfplatform.store.engine_store import PostgresEngineStore
from wfplatform.store.partition import DAYS_AHEAD
from wfplatform.store.reader import Reader

IDS = TimeOrderedIds()


def ask(catalog: Catalog, count: int) -> list[UUID]:
    version = catalog.publish(DEFAULT_TENANT, Publication(name="delays", digest="d", document={}, code=b"c"))
    new = [
        NewExecution(id=IDS.new(), version_id=version.id, workflow_name="delays", parameters={}) for _ in range(count)
    ]
    catalog.insert(DEFAULT_TENANT, new)
    return [one.id for one in new]


def register(store: PostgresEngineStore, lease_s: float = 600.0) -> UUID:
    engine = IDS.new()
    store.register(engine, lease_s=lease_s, facts={})
    return engine


def done(claim: Claim, node: str, index: int = 0, *, fresh: bool = True, body: bytes | None = None) -> NodeRecord:
    outputs = {"result": {"codec": "raw", "size": 1, "digest": body.hex(), "body": body}} if body else None
    outcome = Outcome(node, (index,), 1, OutcomeKind.COMPLETED, "w", "s", 1.0, 2.0, outputs=outputs)
    return NodeRecord(claim.id, claim.epoch, Recorded(node, (index,), Run(NodeState.COMPLETED, 1), outcome, fresh))


def ended(claim: Claim) -> ExecutionChange:
    now = datetime.now(UTC)
    return ExecutionChange(
        id=claim.id, epoch=claim.epoch, state=ExecutionState.COMPLETED, started_at=now, finished_at=now,
        cancel_requested_at=None, paused_at=None, waiting_for="", error=None, worked_s=0, nodes_total=1, nodes_ended=1,
        nodes_failed=0,
    )  # fmt: skip


@pytest.fixture
def own_server() -> Iterator[EmbeddedServer]:
    folder = Path(tempfile.mkdtemp(prefix="wf-postgres-"))
    folder.chmod(0o755)
    server = EmbeddedServer(folder=folder / "server", fsync=False)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder)


def test_an_engine_stopped_in_the_middle_of_a_commit_is_taken_over(
    store: PostgresEngineStore, database: Database, dsn: str
) -> None:
    ids = ask(Catalog(database), 3)
    late, other = register(store, lease_s=0.0), register(store)
    store.look(late, claims=9)
    with connect(dsn, role=Role.ENGINE) as stopped:
        stopped.execute("select wf_fence(%s)", (late,))
        assert store.take_over(other) == 0, "whoever commits is not fenced off, and nobody waits for it"
        # The server ends a session that does nothing inside a transaction; an engine's own limit is seconds.
        stopped.execute("set idle_in_transaction_session_timeout = '50ms'")
        assert until(lambda: store.take_over(other)) == 3
        with pytest.raises(psycopg.Error):
            stopped.execute("select 1")
    assert {claim.id for claim in store.look(other, claims=9).claims} == set(ids)
    with store.database.driver() as connection:
        row = connection.execute("show idle_in_transaction_session_timeout").fetchone()
        assert row == ("8s",)


def test_a_lease_is_renewed_while_a_commit_is_under_way(
    store: PostgresEngineStore, database: Database, dsn: str
) -> None:
    ask(Catalog(database), 1)
    engine = register(store)
    with connect(dsn, role=Role.ENGINE) as connection:
        connection.execute("select wf_fence(%s)", (engine,))
        assert store.renew(engine, lease_s=600)


def test_engines_that_lose_their_leases_finish_each_execution_once(
    store: PostgresEngineStore, database: Database
) -> None:
    """Four engines with leases far too short for their pauses, which take each other's executions all the time."""
    ids = set(ask(Catalog(database), 60))
    finished: list[tuple[UUID, int]] = []
    wrong: list[BaseException] = []
    fenced = threading.Semaphore(0)

    def life(seed: int) -> None:
        chance = random.Random(seed)
        engine = register(store, lease_s=0.02)
        while len({one for one, _ in finished}) < len(ids):
            try:
                store.take_over(engine)
                for claim in store.look(engine, claims=4).claims:
                    store.commit(Commit(engine_id=engine, nodes=[done(claim, f"epoch-{claim.epoch}")]))
                    if chance.random() < 0.3:
                        until(lambda: chance.random() < 0.4)  # a pause, longer than the lease now and then
                    store.commit(Commit(engine_id=engine, nodes=[done(claim, "last")], executions=[ended(claim)]))
                    finished.append((claim.id, claim.epoch))
                store.renew(engine, lease_s=0.02)
            except ConflictError as error:
                if error.code != "fenced":
                    raise
                fenced.release()
                engine = register(store, lease_s=0.02)

    def guarded(seed: int) -> None:
        try:
            life(seed)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=guarded, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert wrong == []
    assert not any(thread.is_alive() for thread in threads)
    assert fenced.acquire(blocking=False), "nobody was ever fenced off: the test tests nothing"
    assert sorted(one for one, _ in finished) == sorted(ids), "finished twice or never"
    reader = Reader(database)
    for execution, epoch in finished:
        row = reader.execution(DEFAULT_TENANT, execution)
        assert (row.state, row.epoch, row.engine_id) == (ExecutionState.COMPLETED, epoch, None)
        nodes = {node.node: node.epoch for node in reader.nodes(DEFAULT_TENANT, execution).items}
        assert nodes.pop("last") == epoch
        assert all(name == f"epoch-{at}" and at <= epoch for name, at in nodes.items())


def test_a_deadlock_is_tried_again(store: PostgresEngineStore, database: Database, dsn: str) -> None:
    ask(Catalog(database), 1)
    engine = register(store)
    claim = store.look(engine, claims=1).claims[0]
    store.commit(Commit(engine_id=engine, nodes=[done(claim, "a"), done(claim, "b")]))
    with psycopg.connect(dsn) as rival:
        rival.execute("set deadlock_timeout = '1h'")  # so that the commit is the one that gives way
        touch = "update node_execution set reason = 'rival' where execution_id = %s and node_id = %s"
        rival.execute(touch, (claim.id, "b"))
        again = [done(claim, "a", fresh=False), done(claim, "b", fresh=False)]
        thread = threading.Thread(target=store.commit, args=(Commit(engine_id=engine, nodes=again),))
        thread.start()
        until(lambda: waiting(dsn))
        rival.execute(touch, (claim.id, "a"))
        rival.commit()
        thread.join(30)
    reasons = [node.reason for node in Reader(database).nodes(DEFAULT_TENANT, claim.id).items]
    assert reasons == ["", ""], "the commit came last"


def waiting(dsn: str) -> bool:
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(
            "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database())"
        ).fetchone()
        return bool(row and row[0])


def test_executions_of_one_commit_may_store_the_same_artifact(store: PostgresEngineStore, database: Database) -> None:
    ask(Catalog(database), 3)
    engine = register(store)
    nodes = [done(claim, "n", 0, body=b"same") for claim in store.look(engine, claims=3).claims]
    for _ in range(2):
        store.commit(Commit(engine_id=engine, nodes=nodes))
    with store.database.driver() as connection:
        assert connection.execute("select body from artifact").fetchall() == [(b"same",)]


def test_commits_with_the_same_artifacts_do_not_meet_in_a_deadlock(
    store: PostgresEngineStore, database: Database
) -> None:
    ask(Catalog(database), 4)
    engine = register(store)
    claims = store.look(engine, claims=4).claims
    bodies = [number.to_bytes(2) for number in range(1, 200)]
    wrong: list[BaseException] = []

    def work(number: int, claim: Claim) -> None:
        chance = random.Random(number)
        try:
            for turn in range(5):
                nodes = [done(claim, f"n{turn}", index, body=body) for index, body in enumerate(bodies)]
                store.commit(Commit(engine_id=engine, nodes=chance.sample(nodes, len(nodes))))
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=item) for item in enumerate(claims)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    with store.database.driver() as connection:
        row = connection.execute("select count(*) from artifact").fetchone()
        assert row == (len(bodies),)
        found = connection.execute(
            "select deadlocks from pg_stat_database where datname = current_database()"
        ).fetchone()
        assert found == (0,)


def test_a_server_that_restarts_is_found_again(own_server: EmbeddedServer) -> None:
    dsn = own_server.address.dsn
    migration.upgrade(dsn)
    store, database = PostgresEngineStore(dsn), Database(dsn)
    catalog, reader = Catalog(database), Reader(database)
    ask(catalog, 2)
    engine = register(store)
    first, second = store.look(engine, claims=2).claims
    own_server.stop()
    for attempt in (
        lambda: store.look(engine, claims=1).claims,
        lambda: store.renew(engine, lease_s=1),
        lambda: store.commit(Commit(engine_id=engine, nodes=[done(first, "a")])),
        lambda: reader.executions(DEFAULT_TENANT),
        lambda: ask(catalog, 1),
        lambda: migration.status(dsn),
    ):
        with pytest.raises(UnreachableError):
            attempt()
    own_server.start()
    assert store.renew(engine, lease_s=600)
    store.commit(Commit(engine_id=engine, nodes=[done(first, "a")]))
    assert len(reader.nodes(DEFAULT_TENANT, first.id).items) == 1
    # Connections that were idle while the server restarted are dead without having said so.
    own_server.stop()
    own_server.start()
    assert [row.id for row in reader.executions(DEFAULT_TENANT).items] == [second.id, first.id]
    twice = Commit(engine_id=engine, nodes=[done(second, "a", index) for index in range(200)])
    until(lambda: tried(lambda: store.commit(twice) or True))
    assert len(reader.nodes(DEFAULT_TENANT, second.id).items) == 200
    store.close()
    database.close()


def tried(work: Callable[[], Any]) -> Any:
    """What an engine does: the same again when the answer was lost."""
    try:
        return work()
    except UnreachableError:
        return None


def test_what_a_claim_took_whose_answer_was_lost_is_not_lost(
    store: PostgresEngineStore, database: Database, dsn: str
) -> None:
    ids = ask(Catalog(database), 3)
    engine = register(store)
    known = store.look(engine, claims=1).claims[0]
    with connect(dsn, role=Role.ENGINE) as connection:
        # What the server has after a claim whose answer never came.
        connection.execute(statement.CLAIM, {"engine": engine, "limit": 1, "ahead_s": 0.0})
    cut(dsn)
    found = store.look(engine, claims=9).claims
    assert [(claim.id, claim.epoch) for claim in found] == [(ids[1], 2), (ids[2], 1)]
    store.commit(Commit(engine_id=engine, nodes=[done(known, "a")], executions=[ended(known)]))
    assert Reader(database).execution(DEFAULT_TENANT, known.id).state is ExecutionState.COMPLETED
    cut(dsn)
    assert store.look(engine, claims=9).claims == [], "what it owns and knows it keeps"


def cut(dsn: str) -> None:
    """Ends the sessions of engines, as a restart of the server does."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid, 10000) from pg_stat_activity"
            " where application_name = 'wfplatform-engine' and datname = current_database()"
        )


def test_partitions_are_looked_after(store: PostgresEngineStore, dsn: str) -> None:
    store.look_after()
    query = "select count(*) from pg_inherits where inhparent = 'node_log'::regclass"
    with psycopg.connect(dsn, autocommit=True) as connection:
        before = connection.execute(query).fetchone()
        assert before is not None
        assert before[0] == DAYS_AHEAD + 1
        oids = connection.execute("select array_agg(oid order by oid) from pg_class").fetchone()
        store.look_after()
        assert connection.execute("select array_agg(oid order by oid) from pg_class").fetchone() == oids


def test_without_a_superuser_everything_works_too(own_server: EmbeddedServer) -> None:
    """An account that may create roles but not give away BYPASSRLS, as hosted servers have it."""
    admin = own_server.address.dsn
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("create role hosted login createrole createdb")
        connection.execute("create database hosted owner hosted")
    dsn = make_conninfo(**{**conninfo_to_dict(admin), "user": "hosted", "dbname": "hosted"})
    migration.upgrade(dsn)
    store, database = PostgresEngineStore(dsn), Database(dsn)
    ask(Catalog(database), 1)
    engine = register(store)
    claim = store.look(engine, claims=1).claims[0]
    store.commit(
        Commit(engine_id=engine, nodes=[done(claim, "a", index) for index in range(300)], executions=[ended(claim)])
    )
    assert len(Reader(database).nodes(DEFAULT_TENANT, claim.id).items) == 300
    with store.database.driver() as connection:
        row = connection.execute(
            "select rolsuper or rolbypassrls from pg_roles where rolname = current_user"
        ).fetchone()
        assert row == (False,)
    store.close()
    database.close()
