"""What is not done twice: results that later executions reuse, runs under one key, and more executions than a workflow allows."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.integration import workload
from tests.integration.running import PATIENCE_S, ended, lines, node, nodes, script_environment, until
from wfplatform import Cache, workflow
from wfplatform import node as node_of
from wfplatform.app.changes import ChangeCounter
from wfplatform.app.dead_letters import DeadLetters
from wfplatform.app.executions import Executions
from wfplatform.app.platform import WorkflowPlatform
from wfplatform.authoring.platform import RunOptions
from wfplatform.bootstrap.platform import EmbeddedPlatform
from wfplatform.bootstrap.system import SystemIds
from wfplatform.compiler.tree import open_output
from wfplatform.core.graph import Json
from wfplatform.errors import NodeError
from wfplatform.store.catalog import Catalog
from wfplatform.store.database import Database
from wfplatform.store.dead_letter import PostgresDeadLetters
from wfplatform.store.notify import PostgresNotifier
from wfplatform.store.past import PastReader
from wfplatform.store.reader import Reader
from wfplatform.store.shared import Shared

pytestmark = pytest.mark.xdist_group("platform")

OTHER_TENANT = UUID("00000000-0000-7000-8000-0000000000aa")


def doubling(factor: int = 2, **options: Any) -> Any:
    """A workflow of one node that multiplies, and of one that is computed whatever happens."""

    @node_of(**{"cache": True, **options})
    def multiplied(n: int, mark: str) -> int:
        workload.tell(mark, n)
        return n * factor

    @workflow
    def doubled(n: int, mark: str) -> Any:
        return workload.square(multiplied(n, mark))

    return doubled


def sql(platform: EmbeddedPlatform, query: str, *values: Any) -> list[Any]:
    with psycopg.connect(platform.address.dsn) as connection:
        cursor = connection.execute(query.encode(), values)
        return cursor.fetchall() if cursor.description else []


# -- results


def test_the_second_execution_reuses_the_first_ones_result(platform: EmbeddedPlatform, mark: str) -> None:
    first = platform.run(doubling(), {"n": 3, "mark": mark})
    assert first.result(PATIENCE_S) == 36
    # Defined anew, in another workflow object: it is what the function does that counts.
    second = platform.run(doubling(), {"n": 3, "mark": mark})
    assert second.result(PATIENCE_S) == 36
    assert second.id != first.id
    assert lines(mark) == ["3"]
    before, after = node(first, "multiplied"), node(second, "multiplied")
    assert (before.reused_from, after.reused_from) == (None, first.id)
    assert (str(after.state), after.worker, after.cpu_s, after.outputs) == ("completed", "", None, before.outputs)
    assert node(second, "square").reused_from is None


def test_a_result_in_a_file_is_reused_and_computed_again_when_the_file_is_gone(
    platform: EmbeddedPlatform, mark: str
) -> None:
    @node_of(cache=True)
    def long(length: int, mark: str) -> str:
        workload.tell(mark, length)
        return "x" * length

    @workflow
    def texts(length: int, mark: str) -> Any:
        return workload.count(long(length, mark))

    parameters: dict[str, Json] = {"length": 123_457, "mark": mark}
    first = platform.run(texts, parameters)
    assert first.result(PATIENCE_S) == 123_457
    again = platform.run(texts, parameters)
    assert again.result(PATIENCE_S) == 123_457
    assert node(again, "long").reused_from == first.id
    assert lines(mark) == ["123457"]
    assert platform.artifacts.delete(node(first, "long").outputs["result"]["location"])
    third = platform.run(texts, parameters)
    assert third.result(PATIENCE_S) == 123_457
    assert lines(mark) == ["123457", "123457"]


def test_other_inputs_are_another_result(platform: EmbeddedPlatform, mark: str) -> None:
    for n, expected in ((3, 36), (4, 64), (3, 36)):
        assert platform.run(doubling(), {"n": n, "mark": mark}).result(PATIENCE_S) == expected
    assert lines(mark) == ["3", "4"]


def test_other_code_is_another_result(platform: EmbeddedPlatform, mark: str) -> None:
    for factor, expected in ((2, 36), (3, 81), (2, 36)):
        assert platform.run(doubling(factor), {"n": 3, "mark": mark}).result(PATIENCE_S) == expected
    assert lines(mark) == ["3", "3"]


@pytest.mark.parametrize("cache", [False, None], ids=repr)
def test_what_is_not_to_be_reused_is_computed(platform: EmbeddedPlatform, mark: str, cache: bool | None) -> None:
    platform.run(doubling(), {"n": 3, "mark": mark}).result(PATIENCE_S)
    for _ in range(2):
        execution = platform.run(doubling(cache=cache), {"n": 3, "mark": mark})
        assert execution.result(PATIENCE_S) == 36
        assert node(execution, "multiplied").reused_from is None
    assert lines(mark) == ["3"] * 3


def test_the_salt_is_part_of_the_key_and_ignored_inputs_are_not(platform: EmbeddedPlatform, mark: str) -> None:
    # Who ignores an input must tell results apart by something else; here by a salt of this test's own.
    for salt, place in (("a", "1"), ("b", "2"), ("a", "3"), ("b", "4")):
        cache = Cache(salt=f"{salt} {mark}", ignore=("mark",))
        assert platform.run(doubling(cache=cache), {"n": 3, "mark": mark + place}).result(PATIENCE_S) == 36
    assert [len(lines(mark + place)) for place in "1234"] == [1, 1, 0, 0]


def test_a_result_is_not_used_after_it_has_expired(platform: EmbeddedPlatform, mark: str) -> None:
    made = doubling(cache=Cache(expires_s=3600))

    def run() -> Any:
        execution = platform.run(made, {"n": 3, "mark": mark})
        assert execution.result(PATIENCE_S) == 36
        return execution

    first, second = run(), run()
    assert node(second, "multiplied").reused_from == first.id
    kept = "select extract(epoch from expires_at - created_at) from cache_entry where execution_id = %s"
    assert sql(platform, kept, first.id) == [(3600,)]
    sql(platform, "update cache_entry set expires_at = now() where execution_id = %s", first.id)
    third = run()
    assert node(third, "multiplied").reused_from is None
    assert node(run(), "multiplied").reused_from == third.id
    assert lines(mark) == ["3", "3"]


@pytest.fixture
def foreign(platform: EmbeddedPlatform) -> Iterator[WorkflowPlatform]:
    """The same platform for another tenant."""
    sql(platform, "insert into tenant (id, name) values (%s, 'foreign') on conflict do nothing", OTHER_TENANT)
    database, notifier = Database(platform.address.dsn), PostgresNotifier(platform.address.dsn)
    reader = Reader(database)

    def open_value(output: Mapping[str, Any]) -> Any:
        return open_output(output, platform.artifacts.load)

    executions = Executions(
        catalog=Catalog(database),
        records=reader,
        past=PastReader(database),
        shared=Shared(database),
        changes=ChangeCounter(),  # nobody tells it anything, so it looks once a second
        notifier=notifier,
        open_value=open_value,
        ids=SystemIds(),
        tenant_id=OTHER_TENANT,
        actor="somebody else",
    )
    letters = DeadLetters(
        executions=executions,
        store=PostgresDeadLetters(database),
        records=reader,
        open_value=open_value,
        tenant_id=OTHER_TENANT,
        kept_s=60.0,
    )
    yield WorkflowPlatform(executions, letters)
    notifier.close()
    database.close()


def test_another_tenants_result_is_not_used(platform: EmbeddedPlatform, foreign: WorkflowPlatform, mark: str) -> None:
    parameters: dict[str, Json] = {"n": 3, "mark": mark}
    assert platform.run(doubling(), parameters).result(PATIENCE_S) == 36
    theirs = foreign.run(doubling(), parameters)
    assert theirs.result(PATIENCE_S) == 36
    assert node(theirs, "multiplied").reused_from is None
    assert node_reused(foreign, parameters) == theirs.id
    assert lines(mark) == ["3", "3"]


def node_reused(platform: WorkflowPlatform, parameters: dict[str, Json]) -> UUID | None:
    """Which execution's result a run reuses."""
    execution = platform.run(doubling(), parameters)
    execution.result(PATIENCE_S)
    found: UUID | None = node(execution, "multiplied").reused_from
    return found


def test_elements_are_reused_one_by_one(platform: EmbeddedPlatform, mark: str) -> None:
    @node_of(cache=True)
    def tenfold(n: int, mark: str) -> int:
        workload.tell(mark, n)
        return n * 10

    @workflow
    def summed(items: list[int], mark: str) -> Any:
        return workload.total(tenfold.map(items, mark=mark))

    first = platform.run(summed, {"items": [1, 2, 3], "mark": mark})
    assert first.result(PATIENCE_S) == 60
    second = platform.run(summed, {"items": [4, 3, 5, 1], "mark": mark})
    assert second.result(PATIENCE_S) == 130
    reused = {one.element: one.reused_from for one in nodes(second, "tenfold")}
    assert reused == {(0,): None, (1,): first.id, (2,): None, (3,): first.id}
    assert sorted(lines(mark)) == ["1", "2", "3", "4", "5"]
    third = platform.run(summed, {"items": [5, 4], "mark": mark})
    assert third.result(PATIENCE_S) == 90
    assert len(lines(mark)) == 5


def test_a_failure_is_not_reused(platform: EmbeddedPlatform, mark: str) -> None:
    @node_of(cache=True)
    def second_time(mark: str) -> int:
        workload.tell(mark, "try")
        if len(Path(mark).read_text(encoding="utf-8").split()) == 1:
            raise ValueError("not yet")
        return 1

    @workflow
    def attempts(mark: str) -> Any:
        return second_time(mark)

    with pytest.raises(NodeError, match="not yet"):
        platform.run(attempts, {"mark": mark}).result(PATIENCE_S)
    assert platform.run(attempts, {"mark": mark}).result(PATIENCE_S) == 1
    assert platform.run(attempts, {"mark": mark}).result(PATIENCE_S) == 1
    assert lines(mark) == ["try", "try"]


# -- runs under one key


@workflow
def touching(n: int, mark: str) -> Any:
    return workload.touch(n, mark)


@workflow
def touching_too(n: int, mark: str) -> Any:
    return workload.touch(n, mark)


def test_a_key_stands_for_one_execution_of_a_workflow(platform: EmbeddedPlatform, mark: str) -> None:
    under = RunOptions(idempotency_key=mark)
    first = platform.run(touching, {"n": 1, "mark": mark}, under)
    assert first.result(PATIENCE_S) == 1
    # The first one's parameters stay, whatever the second one would have said.
    again = platform.run(touching, {"n": 2, "mark": mark}, under)
    assert (again.id, again.result(PATIENCE_S)) == (first.id, 1)
    others = [
        platform.run(touching_too, {"n": 3, "mark": mark}, under),
        platform.run(touching, {"n": 4, "mark": mark}, RunOptions(idempotency_key=f"{mark} ")),
        platform.run(touching, {"n": 5, "mark": mark}),
    ]
    assert [one.result(PATIENCE_S) for one in others] == [3, 4, 5]
    assert len({first.id, *(one.id for one in others)}) == 4
    assert sorted(lines(mark)) == ["1", "3", "4", "5"]


def test_threads_that_start_under_one_key_at_once_get_one_execution(platform: EmbeddedPlatform, mark: str) -> None:
    platform.publish(touching)
    for turn in range(5):
        under = RunOptions(idempotency_key=f"{mark} {turn}")
        found = at_once(8, lambda n, under=under: platform.run(touching, {"n": n, "mark": mark}, under))  # type: ignore[misc]
        assert len({one.id for one in found}) == 1
        assert ended(found[0]) == "completed"
        assert len(lines(mark)) == turn + 1


def at_once[Found](count: int, work: Callable[[int], Found]) -> Sequence[Found]:
    """What threads that begin together return."""
    barrier, found = threading.Barrier(count), list[Found]()

    def run(n: int) -> None:
        barrier.wait(30)
        found.append(work(n))

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == count
    return found


PROCESS = """
import sys
from pathlib import Path
from wfplatform import node, workflow
import time

@node
def tell(n: int, mark: str) -> int:
    with open(mark, "a") as out:
        out.write(f"{n}\\n")
    return n

@workflow
def told(n: int, mark: str):
    return tell(n, mark)

if __name__ == "__main__":
    n, mark = int(sys.argv[1]), sys.argv[2]
    told.version
    Path(f"{mark}.ready{n}").touch()
    until_s = time.monotonic() + 60
    while not Path(f"{mark}.go").exists():
        assert time.monotonic() < until_s
    execution = told.options(idempotency_key=mark).run(n=n, mark=mark)
    print(execution.id, execution.result(60))
"""


def test_processes_that_start_under_one_key_at_once_get_one_execution(
    platform: EmbeddedPlatform, tmp_path: Path, mark: str
) -> None:
    script = tmp_path / "starts.py"
    script.write_text(PROCESS, encoding="utf-8")
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), str(n), mark],
            env=script_environment(platform), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for n in range(3)
    ]  # fmt: skip
    try:
        until(lambda: all(Path(f"{mark}.ready{n}").exists() for n in range(3)), "three processes")
        Path(f"{mark}.go").touch()
        said = [process.communicate(timeout=PATIENCE_S) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0, 0, 0], said
    assert len({out for out, _ in said}) == 1
    assert len(lines(mark)) == 1


# -- as many executions as a workflow allows


def gated(most: int | None, name: str) -> Any:
    """A workflow whose executions wait for a file of their own: but for its bound, all run beside each other."""

    @node_of(io=True)
    def gate(n: int, mark: str) -> int:
        workload.tell(mark, f"+{n}")
        workload.wait_for(f"{mark}.go{n}")
        workload.tell(mark, f"-{n}")
        return n

    @workflow(name=name, max_executions=most)
    def gates(n: int, mark: str) -> Any:
        return gate(n, mark)

    return gates


def begun(mark: str) -> list[int]:
    return [int(line) for line in lines(mark) if line[0] == "+"]


def let(mark: str, *numbers: int) -> None:
    for n in numbers:
        Path(f"{mark}.go{n}").touch()


def start(platform: EmbeddedPlatform, bounded: Any, mark: str, count: int) -> Sequence[Any]:
    return platform.run_many(bounded, [{"n": n, "mark": mark} for n in range(count)])


def held(execution: Any) -> bool:
    record = execution.record
    return str(record.state) == "waiting" and "which is as many as it allows" in record.waiting_for


def test_executions_beyond_the_bound_wait_and_all_complete_in_order(platform: EmbeddedPlatform, mark: str) -> None:
    count, most = 7, 2
    started = start(platform, gated(most, "two gates"), mark, count)
    for turn in range(count - most):
        until(lambda: len(begun(mark)) == turn + most, "the next ones")  # noqa: B023 - called at once
        until(lambda: all(held(one) for one in started[turn + most :]), "the others waiting")  # noqa: B023
        assert {one.record.waiting_for for one in started[turn + most :]} == {
            "2 executions of two gates run, which is as many as it allows"
        }
        assert sorted(begun(mark)) == list(range(turn + most))
        let(mark, turn)
    let(mark, *range(count))
    assert [one.result(PATIENCE_S) for one in started] == list(range(count))
    running = 0
    for line in lines(mark):
        running += 1 if line[0] == "+" else -1
        assert running <= most
    assert [one.record.waiting_for for one in started] == [""] * count


def test_without_a_bound_they_all_run_at_once(platform: EmbeddedPlatform, mark: str) -> None:
    started = start(platform, gated(None, "gates"), mark, 7)
    until(lambda: len(begun(mark)) == 7, "all of them")
    let(mark, *range(7))
    assert {ended(one) for one in started} == {"completed"}


def test_what_is_cancelled_while_it_waits_for_its_turn_lets_the_next_one_in(
    platform: EmbeddedPlatform, mark: str
) -> None:
    started = start(platform, gated(1, "one gate"), mark, 4)
    until(lambda: all(held(one) for one in started[1:]), "three waiting")
    started[1].cancel()
    assert ended(started[1]) == "cancelled"
    let(mark, 0)
    until(lambda: begun(mark) == [0, 2], "the one after it")
    assert held(started[3])
    started[2].cancel()
    until(lambda: begun(mark) == [0, 2, 3], "the last one")
    let(mark, 3)
    assert [ended(one) for one in started] == ["completed", "cancelled", "cancelled", "completed"]


def test_what_is_paused_while_it_waits_for_its_turn_does_not_hold_up_others(
    platform: EmbeddedPlatform, mark: str
) -> None:
    started = start(platform, gated(1, "a gate"), mark, 3)
    until(lambda: all(held(one) for one in started[1:]), "two waiting")
    platform.executions.ask(started[1].id, "pause")
    until(lambda: started[1].record.paused_at is not None, "the pause")
    let(mark, 0, 2)
    assert ended(started[2]) == "completed"
    assert begun(mark) == [0, 2]
    platform.executions.ask(started[1].id, "resume")
    let(mark, 1)
    assert ended(started[1]) == "completed"
