"""Several engine processes on one database: they share the work, and go on with what another left, however it ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.integration import workload
from tests.integration.running import PATIENCE_S, ended, lines, node, pid_of, running, until, whole
from wfplatform import workflow
from wfplatform.bootstrap.platform import EmbeddedPlatform
from wfplatform.settings import Settings

pytestmark = pytest.mark.xdist_group("engines")


@pytest.fixture(scope="module")
def pair(open_folder: Path) -> Iterator[EmbeddedPlatform]:
    """A platform with two engines and two workers."""
    settings = Settings.load(
        home=open_folder / "pair", workers=2, engines=2, lease_s=2, stop_grace_s=0.5, idle_stop_s=600
    )
    with whole(settings) as made:
        until(lambda: len(engines(made)) == 2, "two engines")
        yield made


@workflow
def held(mark: str) -> Any:
    return workload.raised(workload.measure_held(workload.hold(mark)), mark)


def rows(platform: EmbeddedPlatform, query: str, *values: Any) -> list[Any]:
    with psycopg.connect(platform.address.dsn) as connection:
        return connection.execute(query.encode(), values).fetchall()


def engines(platform: EmbeddedPlatform) -> set[int]:
    """Process ids of engines that hold a lease."""
    query = "select pid from engine where fenced_at is null and lease_expires_at > clock_timestamp()"
    return {pid for (pid,) in rows(platform, query)}


def owner(platform: EmbeddedPlatform, execution: Any) -> int | None:
    """The process id of the engine that owns an execution."""
    query = "select g.pid from execution e join engine g on g.id = e.engine_id where e.id = %s"
    found = rows(platform, query, execution.id)
    return found[0][0] if found else None


def epoch(platform: EmbeddedPlatform, execution: Any) -> int:
    return int(rows(platform, "select epoch from execution where id = %s", execution.id)[0][0])


def begin(platform: EmbeddedPlatform, mark: str) -> tuple[Any, int]:
    """An execution that holds a worker, and the engine that drives it."""
    execution = platform.run(held, {"mark": mark})
    until(lambda: running(execution, "hold"), "the start")
    pid = owner(platform, execution)
    assert pid is not None
    return execution, pid


def test_engines_share_the_work(pair: EmbeddedPlatform) -> None:
    @workflow
    def naps(n: int) -> Any:
        return workload.nap(n, 0.05)

    seen: set[int] = set()
    started = [one for n in range(20) for one in pair.run_many(naps, [{"n": n}] * 5)]

    def all_ended() -> bool:
        seen.update(pid for one in started if (pid := owner(pair, one)) is not None)
        return all(one.record.state.final for one in started[-10:])

    until(all_ended, "the end of the last ones")
    assert {ended(one) for one in started} == {"completed"}
    assert seen <= engines(pair)
    assert {epoch(pair, one) for one in started} == {1}


def test_another_engine_goes_on_when_one_is_killed(pair: EmbeddedPlatform, mark: str) -> None:
    execution, pid = begin(pair, mark)
    os.kill(pid, signal.SIGKILL)
    until(lambda: owner(pair, execution) not in (pid, None), "the takeover")
    Path(f"{mark}.go").touch()
    assert ended(execution) == "completed"
    assert epoch(pair, execution) == 2
    # What ran for the dead engine may have come to its end; it is recorded once.
    assert node(execution, "raised").attempt == 1
    assert lines(mark) == ["raised"]
    until(lambda: len(engines(pair)) == 2, "another engine")


def test_an_engine_that_is_told_to_end_hands_over_at_once(pair: EmbeddedPlatform, mark: str) -> None:
    execution, pid = begin(pair, mark)
    query = "select extract(epoch from lease_expires_at - clock_timestamp()) from engine where pid = %s and fenced_at is null"
    assert rows(pair, query, pid)[0][0] > 0
    os.kill(pid, signal.SIGTERM)
    until(lambda: owner(pair, execution) not in (pid, None), "the takeover")
    Path(f"{mark}.go").touch()
    assert ended(execution) == "completed"
    assert lines(mark) == ["raised"]
    # It left by itself: nobody had to wait for its lease to run out.
    query = "select fenced_at < lease_expires_at from engine where pid = %s"
    assert rows(pair, query, pid) == [(True,)]
    until(lambda: len(engines(pair)) == 2, "another engine")


def test_an_engine_that_wakes_up_late_changes_nothing(pair: EmbeddedPlatform, mark: str) -> None:
    execution, pid = begin(pair, mark)
    os.kill(pid, signal.SIGSTOP)
    until(lambda: owner(pair, execution) not in (pid, None), "the takeover")
    os.kill(pid, signal.SIGCONT)
    Path(f"{mark}.go").touch()
    assert ended(execution) == "completed"
    assert epoch(pair, execution) == 2
    assert lines(mark) == ["raised"]
    until(lambda: pid not in {pid_of(pair.settings, name) for name in ("engine-0", "engine-1")}, "its end")
    until(lambda: len(engines(pair)) == 2, "another engine")


def test_both_engines_killed_at_once_lose_nothing(pair: EmbeddedPlatform, mark: str) -> None:
    @workflow
    def chained(mark: str) -> Any:
        return workload.total(workload.slow.map(list(range(20)), mark=mark))

    execution = pair.run(chained, {"mark": mark})
    until(lambda: len(lines(mark)) >= 5, "some of it")
    for name in ("engine-0", "engine-1"):
        os.kill(pid_of(pair.settings, name), signal.SIGKILL)
    assert execution.result(PATIENCE_S) == sum(range(20))
    assert {str(one.state) for one in execution.nodes()} == {"completed"}
    assert len(execution.nodes()) == 21
