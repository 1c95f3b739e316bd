"""What is old goes, and nothing else does: by age and number, with children, days, logs, results and artifacts."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from tests.integration.old import Old, counted, located, output
from wfplatform.app.retention import Retention
from wfplatform.artifacts import Artifacts
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.core.retention import Gone, RetentionRules
from wfplatform.errors import ConflictError
from wfplatform.store.database import Role, connect
from wfplatform.store.partition import create_partitions
from wfplatform.store.retention import PostgresRetention

RULES = RetentionRules(unused=timedelta(0))
AGE = timedelta(days=120)


@pytest.fixture
def old(dsn: str) -> Old:
    return Old(dsn)


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(str(tmp_path / "artifacts"), inline_limit_bytes=0)


def retention(old: Old, artifacts: Artifacts, rules: RetentionRules = RULES, *, batch_rows: int = 2000) -> Retention:
    store = PostgresRetention(old.dsn, artifacts.aside, batch_rows=batch_rows)
    return Retention(store, rules, pause=lambda: None)


def removed(old: Old, artifacts: Artifacts, rules: RetentionRules = RULES) -> Gone:
    """Removes; what went is what was said beforehand, to the last byte."""
    made = retention(old, artifacts, rules)
    before = counted(old.dsn)
    preview = made.preview()
    assert counted(old.dsn) == before, "a preview changes nothing"
    gone = made.run()
    assert gone == preview.gone
    assert sum(one.executions for one in preview.workflows) == gone.executions
    assert made.preview().gone == made.run() == Gone(), "once is enough"
    return gone


def remaining(old: Old) -> set[UUID]:
    with psycopg.connect(old.dsn) as connection:
        return {row[0] for row in connection.execute("select id from execution")}


def test_what_ended_long_ago_goes_with_all_that_was_recorded_of_it(old: Old, artifacts: Artifacts) -> None:
    kept = {
        old.execution(89, lines=2),
        old.execution(200, state="running"),
        old.execution(200, state="waiting"),
        old.execution(200, ended_days=1),
    }
    first = old.execution(91, nodes=5, lines=3)
    old.execution(400, workflow="fares", state="failed", nodes=2)
    old.cached(first, "k", {"r": output("c" * 64)})
    old.artifact(output("c" * 64, 7))
    made = retention(old, artifacts)
    workflows = made.preview().workflows
    assert [(one.name, one.executions, one.nodes, one.lines) for one in workflows] == [
        ("fares", 1, 2, 0),
        ("delays", 1, 5, 3),
    ]
    assert all(one.size_bytes > 0 for one in workflows)
    gone = removed(old, artifacts, RetentionRules(unused=timedelta(0), logs=None))
    assert gone == Gone(
        executions=2, nodes=7, attempts=2, lines=3, commands=2, cache_entries=1, artifacts=1, artifact_bytes=7,
        unused_artifacts=1, unused_bytes=7,
    )  # fmt: skip
    assert remaining(old) == kept
    assert counted(old.dsn) == {
        "execution": 4, "node_execution": 4, "attempt": 4, "node_log": 2, "command": 4, "cache_entry": 0, "artifact": 0,
        "removed_execution": 0,
    }  # fmt: skip


def test_a_workflow_keeps_so_many_and_none_that_ended_just_now(old: Old, artifacts: Artifacts) -> None:
    delays = [old.execution(days) for days in (5, 4, 3, 2)]
    fares = [old.execution(days, workflow="fares") for days in (9, 8)]
    fresh = [old.execution(0.01, workflow="often") for _ in range(5)]
    waiting = old.execution(6, state="waiting")
    gone = removed(old, artifacts, RetentionRules(executions_per_workflow=3))
    assert gone.executions == 1
    assert remaining(old) == {*delays[1:], *fares, *fresh, waiting}
    assert removed(old, artifacts, RetentionRules(executions_per_workflow=1)).executions == 3


def test_without_rules_all_stays(old: Old, artifacts: Artifacts) -> None:
    old.execution(4000, lines=3)
    assert removed(old, artifacts, RetentionRules(executions=None, logs=None)) == Gone()


def test_children_go_with_their_parent_and_never_before_it(old: Old, artifacts: Artifacts) -> None:
    young = old.execution(200, ended_days=3)
    child = old.execution(200, parent=young)
    gone_parent = old.execution(200)
    gone_child = old.execution(199, workflow="fares", parent=gone_parent)
    old.execution(198, workflow="fares", parent=gone_child, ended_days=2)
    open_parent = old.execution(200)
    between = old.execution(199, parent=open_parent)
    open_child = old.execution(198, parent=between, state="waiting")
    assert removed(old, artifacts).executions == 3
    assert remaining(old) == {young, child, open_parent, between, open_child}


def test_what_is_to_be_tried_again_stays(old: Old, artifacts: Artifacts) -> None:
    asked, owned = old.execution(200), old.execution(200)
    with psycopg.connect(old.dsn) as connection:
        connection.execute(
            "insert into command (tenant_id, execution_id, kind, payload) values (%s, %s, 'retry', '{}')",
            (DEFAULT_TENANT, asked),
        )
        connection.execute("update execution set engine_id = gen_random_uuid() where id = %s", (owned,))
    assert removed(old, artifacts).executions == 0
    assert remaining(old) == {asked, owned}


def test_logs_go_before_their_executions(old: Old, artifacts: Artifacts) -> None:
    old.execution(40, lines=3)
    old.execution(40, lines=4, ended_days=2)
    old.execution(40, lines=5, state="running")
    old.execution(20, lines=6)
    gone = removed(old, artifacts)
    assert gone == Gone(lines=3)
    assert counted(old.dsn, ["execution", "node_log"]) == {"execution": 4, "node_log": 15}


def days_of(dsn: str, table: str) -> set[str]:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "select right(inhrelid::regclass::text, 8) from pg_inherits where inhparent = %s::regclass", (table,)
        ).fetchall()
    return {row[0] for row in rows}


def test_days_of_which_nothing_is_left_are_dropped_as_a_whole(old: Old, artifacts: Artifacts) -> None:
    today = datetime.now(UTC).date()
    days = {age: f"{today - timedelta(days=age):%Y%m%d}" for age in (121, 120, 50)}
    with connect(old.dsn, role=Role.ENGINE) as connection:
        create_partitions(connection, first_day=today - timedelta(days=121), days=2)
        create_partitions(connection, first_day=today - timedelta(days=50), days=1)
    old.execution(121, nodes=50, lines=50)
    old.execution(120, nodes=3, lines=3)
    old.execution(120, state="waiting", nodes=4, lines=4)
    old.execution(50, nodes=5, lines=5)
    gone = removed(old, artifacts)
    assert (gone.executions, gone.nodes, gone.lines) == (2, 53, 58)
    assert days_of(old.dsn, "node_execution") & set(days.values()) == {days[120], days[50]}
    assert days_of(old.dsn, "attempt") & set(days.values()) == {days[120], days[50]}
    assert days_of(old.dsn, "node_log") & set(days.values()) == {days[120]}, "lines of the other day are all old"
    assert f"{today:%Y%m%d}" in days_of(old.dsn, "node_log")


def test_a_day_that_is_in_use_is_emptied_row_by_row(old: Old, artifacts: Artifacts) -> None:
    today = datetime.now(UTC).date()
    with connect(old.dsn, role=Role.ENGINE) as connection:
        create_partitions(connection, first_day=today - timedelta(days=120), days=1)
    old.execution(120, nodes=50)
    with psycopg.connect(old.dsn) as reader:
        reader.execute("select count(*) from node_execution")
        gone = removed(old, artifacts)
    assert gone.nodes == 50
    assert counted(old.dsn, ["node_execution"]) == {"node_execution": 0}


def test_expired_results_go_and_the_others_stay_with_what_they_refer_to(old: Old, artifacts: Artifacts) -> None:
    execution = old.execution(10)
    old.cached(execution, "expired", {"r": output("e" * 64)}, expired_days=1)
    old.cached(execution, "valid", {"r": output("f" * 64)}, expired_days=-1)
    old.cached(execution, "always", {"r": {"codec": "tree", "kind": "list", "items": [output("a" * 64)]}})
    for digest in "efa":
        old.artifact(output(digest * 64))
    gone = removed(old, artifacts)
    assert (gone.cache_entries, gone.artifacts) == (1, 1)
    assert counted(old.dsn, ["cache_entry", "artifact"]) == {"cache_entry": 2, "artifact": 2}


def test_what_others_refer_to_stays(old: Old, artifacts: Artifacts) -> None:
    """A result that was reused outlives the execution that computed it."""
    stored = artifacts.store(list(range(1000)))
    stored.make_durable()
    shared = stored.output
    alone = located("0" * 64)
    old.execution(200, outputs={"r": shared, "s": alone})
    heir = old.execution(1, outputs={"r": {"codec": "tree", "kind": "list", "items": [shared]}})
    old.artifact(shared)
    old.artifact(alone)
    gone = removed(old, artifacts)
    assert (gone.executions, gone.artifacts) == (1, 1)
    assert remaining(old) == {heir}
    assert artifacts.load(shared) == list(range(1000))


def test_files_go_when_nothing_refers_to_them_for_long_enough(old: Old, artifacts: Artifacts, tmp_path: Path) -> None:
    kept, going, young, inline = (artifacts.store([word] * 1000) for word in ("kept", "going", "young", "inline"))
    for stored in (kept, going, young):
        stored.make_durable()
    inline.discard()
    old.execution(1, outputs={"r": kept.output})
    old.execution(200, outputs={"r": going.output, "s": output("b" * 64)})
    for stored, days in ((kept, 90), (going, 90), (young, 0)):
        old.artifact(stored.output, days=days)
    old.artifact(output("b" * 64))
    rules = RetentionRules(unused=timedelta(hours=6))
    first = retention(old, artifacts, rules).run()
    assert (first.executions, first.artifacts, first.unused_artifacts) == (1, 0, 2)
    assert counted(old.dsn, ["artifact"]) == {"artifact": 4}
    assert files(tmp_path) == {kept.output["location"], young.output["location"], "aside/" + name_of(going.output)}
    assert retention(old, artifacts, rules).run() == Gone(), "not yet"
    age(old)
    second = retention(old, artifacts, rules).run()
    assert (second.artifacts, second.unused_artifacts) == (2, 0)
    assert second.artifact_bytes == going.output["size"] + 10
    assert files(tmp_path) == {kept.output["location"], young.output["location"]}
    assert counted(old.dsn, ["artifact"]) == {"artifact": 2}


def test_files_of_outcomes_that_were_never_committed_go(old: Old, artifacts: Artifacts, tmp_path: Path) -> None:
    stored = artifacts.store(["stray"] * 1000)
    stored.make_durable()
    rules = RetentionRules()
    for unused, gone in ((0, 0), (1, 0), (0, 1)):
        found = retention(old, artifacts, rules).run()
        assert (found.unused_artifacts, found.artifacts) == (unused, gone)
        age(old, "created_at")
        age(old)
    assert files(tmp_path) == set()


def test_what_another_tenant_uses_stays_in_the_storage(old: Old, artifacts: Artifacts, tmp_path: Path) -> None:
    other = UUID("00000000-0000-7000-8000-000000000002")
    stored = artifacts.store(["both"] * 1000)
    stored.make_durable()
    with psycopg.connect(old.dsn) as connection:
        connection.execute("insert into tenant (id, name) values (%s, 'other')", (other,))
    execution = old.execution(1, outputs={"r": stored.output})
    with psycopg.connect(old.dsn) as connection:
        connection.execute("update node_execution set tenant_id = %s where execution_id = %s", (other, execution))
    old.artifact(stored.output)
    old.artifact(stored.output, tenant_id=other)
    assert removed(old, artifacts).artifacts == 1
    assert counted(old.dsn, ["artifact"]) == {"artifact": 1}
    assert files(tmp_path) == {stored.output["location"]}


def test_only_one_removes_at_a_time(old: Old, artifacts: Artifacts) -> None:
    old.execution(200)
    store = PostgresRetention(old.dsn, artifacts.aside)
    with closing(store.remove(RULES)) as going:
        next(going)
        with pytest.raises(ConflictError) as caught:
            retention(old, artifacts).run()
        assert caught.value.code == "retention_runs"
    assert retention(old, artifacts).run().nodes == 1, "what was interrupted goes on"
    assert counted(old.dsn)["removed_execution"] == 0


def test_engines_share_the_chore(old: Old, artifacts: Artifacts) -> None:
    old.execution(200)
    assert retention(old, artifacts).run_if_due() == 1
    old.execution(200)
    assert retention(old, artifacts).run_if_due() == 0
    with psycopg.connect(old.dsn) as connection:
        connection.execute("update chore set done_at = done_at - interval '25 hours'")
    assert retention(old, artifacts).run_if_due() == 1


def test_an_engine_that_has_done_enough_goes_on_later(old: Old, artifacts: Artifacts) -> None:
    old.execution(200, nodes=10)
    made = retention(old, artifacts, batch_rows=1)
    gone = made.run(most_batches=5)
    assert (gone.executions, gone.nodes) == (1, 3)
    assert made.preview().gone.nodes == 7, "what is left is still said to go"
    assert made.run().nodes == 7


def files(folder: Path) -> set[str]:
    root = folder / "artifacts"
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def name_of(told: dict[str, object]) -> str:
    return str(told["location"]).rpartition("/")[2]


def age(old: Old, column: str = "unused_at") -> None:
    """Let a week pass for what is unused."""
    with psycopg.connect(old.dsn) as connection:
        connection.execute(f"update artifact set {column} = {column} - interval '7 days'")
