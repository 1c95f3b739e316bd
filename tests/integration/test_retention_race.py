"""Removing beside whoever writes: nobody is held up, and what is stored at that very moment keeps its bytes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
import pytest

from tests.integration.old import Old, counted
from tests.integration.running import until
from wfplatform.app.retention import Retention
from wfplatform.artifacts import Artifacts
from wfplatform.core.event import Recorded
from wfplatform.core.execution import ExecutionState, NodeState, Outcome, OutcomeKind, Run
from wfplatform.core.identifier import DEFAULT_TENANT, TimeOrderedIds
from wfplatform.core.ports import Claim, Commit, ExecutionChange, NodeRecord, Publication
from wfplatform.core.retention import Gone, RetentionRules
from wfplatform.core.start import NewExecution
from wfplatform.errors import ConflictError
from wfplatform.store.catalog import Catalog
from wfplatform.store.database import Database
from wfplatform.store.engine_store import PostgresEngineStore
from wfplatform.store.retention import PostgresRetention

RULES = RetentionRules()
LONG_AGO = datetime.now(UTC) - timedelta(days=200)
OLD_IDS = TimeOrderedIds(now_ms=lambda: int(LONG_AGO.timestamp() * 1000))
ROWS = 100_000
BATCH_ROWS = 1000
WRITERS = 4
PHASE = 20
"""Rounds in which all writers store the same value; it is stored again three phases later."""
ROUNDS = 9 * PHASE


class Engine(NamedTuple):
    """An engine that runs executions which were asked for long ago, one at a time."""

    store: PostgresEngineStore
    catalog: Catalog
    artifacts: Artifacts
    id: UUID

    def record(self, output: dict[str, Any]) -> Claim:
        """An execution with an output that is committed; it stays open."""
        publication = Publication(name="delays", digest="d", document={}, code=b"code")
        version = self.catalog.publish(DEFAULT_TENANT, publication)
        new = NewExecution(id=OLD_IDS.new(), version_id=version.id, workflow_name="delays", parameters={})
        self.catalog.insert(DEFAULT_TENANT, [new])
        (claim,) = until(lambda: self.store.look(self.id, claims=1).claims)
        outcome = Outcome("a", (), 1, OutcomeKind.COMPLETED, outputs={"r": output})
        done = Recorded("a", (), Run(NodeState.COMPLETED, 1), outcome, True)
        self.store.commit(Commit(engine_id=self.id, nodes=[NodeRecord(claim.id, claim.epoch, done)]))
        return claim

    def end(self, claim: Claim) -> None:
        """Let it have ended long ago."""
        change = ExecutionChange(
            id=claim.id, epoch=claim.epoch, state=ExecutionState.COMPLETED, started_at=LONG_AGO, finished_at=LONG_AGO,
            cancel_requested_at=None, paused_at=None, waiting_for="", error=None, worked_s=0, nodes_total=1, nodes_ended=1,
            nodes_failed=0,
        )  # fmt: skip
        self.store.commit(Commit(engine_id=self.id, executions=[change]))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


@pytest.fixture
def engines(dsn: str, place: Path) -> Iterator[list[Engine]]:
    made: list[Engine] = []
    with ExitStack() as stack:
        database = Database(dsn, pool_size=WRITERS)
        stack.callback(database.close)
        for _ in range(WRITERS):
            store = PostgresEngineStore(dsn)
            stack.callback(store.close)
            engine = TimeOrderedIds().new()
            store.register(engine, lease_s=600, facts={})
            made.append(Engine(store, Catalog(database), Artifacts(str(place), inline_limit_bytes=0), engine))
        yield made


@pytest.fixture
def retention(dsn: str, place: Path) -> Retention:
    store = PostgresRetention(dsn, Artifacts(str(place)).aside, batch_rows=BATCH_ROWS)
    return Retention(store, RULES, pause=lambda: None)


def age(dsn: str) -> None:
    """Let two days pass for all artifacts."""
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "update artifact set created_at = created_at - interval '2 days', unused_at = unused_at - interval '2 days'"
        )


def files(place: Path) -> int:
    return sum(path.is_file() for path in place.rglob("*"))


def ran(retention: Retention) -> Gone:
    """What a run removed. The server hears a moment later that the one before has let go of its lock."""

    def tried() -> Gone | None:
        try:
            return retention.run()
        except ConflictError:
            return None

    found = until(tried, "a run of its own")
    assert found is not None
    return found


def test_who_stores_what_is_going_keeps_it(dsn: str, engines: list[Engine], retention: Retention, place: Path) -> None:
    """Few values, stored and forgotten again and again, while what is forgotten is removed all the time.

    What must hold: no outcome takes longer from its worker into the database than what is unused is kept. So time leaps only
    between two outcomes of each writer.
    """
    under_way = [threading.Lock() for _ in engines]
    lost: list[str] = []

    def write(number: int) -> None:
        engine = engines[number]
        for turn in range(ROUNDS):
            value = [f"value {turn // PHASE % 4}"] * 500
            with under_way[number]:
                stored = engine.artifacts.store(value)
                stored.make_durable()
                claim = engine.record(stored.output)
            # As another process finds it.
            if Artifacts(str(place)).load(stored.output) != value:
                lost.append(f"{number} {turn}")
            with psycopg.connect(dsn) as connection:
                found = connection.execute("select from artifact where digest = %s", (stored.output["digest"],))
                if found.rowcount != 1:
                    lost.append(f"row of {number} {turn}")
            engine.end(claim)

    gone: list[Gone] = []
    with ThreadPoolExecutor(WRITERS) as writers:
        written = [writers.submit(write, number) for number in range(WRITERS)]
        while not all(one.done() for one in written):
            gone.append(ran(retention))
            with ExitStack() as stack:
                for lock in under_way:
                    stack.enter_context(lock)
                age(dsn)
        for one in written:
            one.result()
    assert lost == []
    assert sum(one.artifacts for one in gone) > 0, "some went while they were being written"
    for _ in range(3):
        age(dsn)
        ran(retention)
    assert counted(dsn, ["execution", "node_execution", "artifact", "removed_execution"]) == {
        "execution": 0, "node_execution": 0, "artifact": 0, "removed_execution": 0,
    }  # fmt: skip
    assert files(place) == 0


def test_a_worker_that_found_the_file_before_it_was_put_aside(
    dsn: str, engines: list[Engine], retention: Retention, place: Path
) -> None:
    engine = engines[0]
    first = engine.artifacts.store(["again"] * 500)
    first.make_durable()
    engine.end(engine.record(first.output))
    age(dsn)
    second = engine.artifacts.store(["again"] * 500)
    second.make_durable()  # Writes nothing: the file is there.
    assert retention.run().unused_artifacts == 1
    assert [path.parent.name for path in place.rglob("*.json")] == ["aside"]
    engine.record(second.output)
    age(dsn)
    assert retention.run().artifacts == 0
    assert [path.parent.name for path in place.rglob("*.json")] == [second.output["digest"][:2]], "it is put back"
    assert Artifacts(str(place)).load(second.output) == ["again"] * 500


def test_a_commit_in_the_moment_of_the_removal_stores_the_row_anew(
    dsn: str, engines: list[Engine], retention: Retention
) -> None:
    engine = engines[0]
    output = {"codec": "arrow", "size": 4, "digest": "a" * 64, "body": b"abcd"}
    engine.record(output)
    with psycopg.connect(dsn) as removing, ThreadPoolExecutor(1) as pool:
        removing.execute("delete from artifact")
        committed = pool.submit(engine.record, output)
        until(lambda: waiting(dsn), "waiting for the removal")
        removing.commit()
        committed.result(30)
    assert counted(dsn, ["artifact"]) == {"artifact": 1}


def test_what_a_commit_refers_to_after_all_was_looked_through_stays(
    dsn: str, engines: list[Engine], retention: Retention
) -> None:
    engine = engines[0]
    output = {"codec": "arrow", "size": 4, "digest": "a" * 64, "body": b"abcd"}
    engine.end(engine.record(output))
    retention.run()
    age(dsn)
    steps: list[int] = []
    assert retention.run(lambda gone: steps.append(gone.unused_artifacts)).unused_artifacts == 1
    assert steps[-1] == 1
    looked_through = steps.index(1)
    age(dsn)
    steps.clear()

    def told(gone: Gone) -> None:
        steps.append(gone.artifacts)
        if len(steps) == looked_through:
            engine.record(output)

    assert retention.run(told).artifacts == 0
    assert counted(dsn, ["artifact"]) == {"artifact": 1}


def test_the_removal_leaves_out_what_a_commit_holds(dsn: str, engines: list[Engine], retention: Retention) -> None:
    engine = engines[0]
    engine.end(engine.record({"codec": "arrow", "size": 4, "digest": "a" * 64, "body": b"abcd"}))
    age(dsn)
    assert retention.run().unused_artifacts == 1
    age(dsn)
    with psycopg.connect(dsn) as committing:
        committing.execute("update artifact set unused_at = null")
        assert retention.run().artifacts == 0
        committing.rollback()
    assert retention.run().artifacts == 1


def waiting(dsn: str, application: str = "wfplatform-engine") -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "select count(*) from pg_stat_activity where datname = current_database() and application_name = %s"
            " and wait_event_type = 'Lock' and cardinality(pg_blocking_pids(pid)) > 0",
            (application,),
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_nobody_is_held_up_by_the_removal_of_many_rows(dsn: str, engines: list[Engine], retention: Retention) -> None:
    old = Old(dsn)
    old.execution(200, nodes=ROWS, lines=ROWS // 10)
    for _ in range(300):
        old.execution(150)
    steps: list[Gone] = []
    before = Gone()
    waited: list[int] = []
    commits = 0
    stop = threading.Event()

    def told(total: Gone) -> None:
        steps.append(
            Gone(
                executions=total.executions - before.executions,
                nodes=total.nodes - before.nodes,
                lines=total.lines - before.lines,
            )
        )
        before.executions, before.nodes, before.lines = total.executions, total.nodes, total.lines

    def watch() -> None:
        while not stop.is_set():
            waited.append(waiting(dsn))

    with ThreadPoolExecutor(2) as pool:
        watching = pool.submit(watch)
        removing = pool.submit(retention.run, told)
        engine = engines[0]
        while not removing.done():
            engine.record({"codec": "arrow", "size": 4, "digest": f"{commits:064x}", "body": b"abcd"})
            commits += 1
        gone = removing.result()
        stop.set()
        watching.result()
    assert (gone.executions, gone.nodes, gone.lines) == (301, ROWS + 300, ROWS // 10)
    assert max(one.nodes + one.lines + one.executions for one in steps) <= BATCH_ROWS
    assert len(steps) >= (ROWS + ROWS // 10) / BATCH_ROWS
    assert commits > len(steps) / 10, "both went on beside each other"
    assert sum(waited) == 0, "no commit waited for a lock"
