"""Hooks on a whole platform: real mail, real posts, and one execution for each end whatever is killed in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from tests.integration import workload
from tests.integration.conftest import WORKER_MEMORY_BYTES
from tests.integration.running import ended, inherited, pid_of, script_environment, until, whole
from tests.receivers import Letters, Web, letters, web
from wfplatform import Notice, env, mail, node, slack, wait_for_event, webhook, workflow
from wfplatform.bootstrap.platform import EmbeddedPlatform
from wfplatform.settings import Settings

pytestmark = pytest.mark.xdist_group("hooks")

SECRET = "/services/T000/never-to-be-seen"
MANY = 60
LATE_S = 15.0


class House(NamedTuple):
    """A platform and who is told."""

    platform: EmbeddedPlatform
    channel: Web
    post: Letters


@pytest.fixture(scope="module")
def house(folder: Path) -> Iterator[House]:
    with web() as channel, letters() as post, inherited(CHANNEL=f"{channel.url}{SECRET}"):
        settings = Settings.load(
            home=folder / "home", workers=2, lease_s=2, idle_stop_s=600, worker_memory_bytes=WORKER_MEMORY_BYTES,
            smtp_host="127.0.0.1", smtp_port=post.port, smtp_security="none", smtp_sender="platform@example.org",
        )  # fmt: skip
        with whole(settings) as platform:
            yield House(platform, channel, post)


def tell(notice: Notice) -> str:
    return f"{notice.workflow} {notice.state} {notice.parameters} {notice.error and notice.error.message}"


def break_down(notice: dict[str, Any]) -> None:
    raise RuntimeError(f"cannot tell {notice['occasion']}")


@node
def cleaned(notice: Notice) -> str:
    return f"cleaned after {notice.execution_id}"


@workflow(on_failure=break_down, on_completion=break_down)
def clean_up(notice: Notice) -> Any:
    """A hook that has hooks of its own, which are not run."""
    return cleaned(notice)


@node
def fails_until(mark: str) -> str:
    if not Path(mark).exists():
        raise ValueError("the mark is not there")
    return "there"


@workflow(
    on_failure=[tell, clean_up, mail("ann@example.org"), webhook(env("CHANNEL")), slack(env("CHANNEL"))],
    on_completion=tell,
)
def marked(mark: str) -> Any:
    return fails_until(mark)


@workflow(on_failure=break_down)
def broken(mark: str) -> Any:
    return fails_until(mark)


@workflow(on_completion=tell, on_failure=tell)
def squared(x: int) -> Any:
    return workload.square(x)


@workflow(late_after_s=LATE_S, on_late=[tell, mail("ann@example.org", subject="late again")], on_completion=tell)
def paid(order: int) -> Any:
    return wait_for_event("paid", match={"order": order})


def hooks(house: House, *executions: Any) -> list[tuple[str, str, str, str]]:
    """Occasion, workflow, state and id of what tells of executions."""
    with psycopg.connect(house.platform.address.dsn) as connection:
        return connection.execute(
            "select hook_on, workflow_name, state, id::text from execution"
            " where hook_of = any(%s) and parent_id is null order by id",
            ([one.id for one in executions],),
        ).fetchall()


def all_told(house: House, count: int, *executions: Any) -> list[tuple[str, str, str, str]]:
    """What tells of them, when all of that has ended."""
    final = {"completed", "failed"}

    def over() -> list[tuple[str, str, str, str]]:
        found = hooks(house, *executions)
        return found if len(found) >= count and {row[2] for row in found} <= final else []

    return until(over, f"{count} hooks")


def wfp(house: House, *words: str, code: int = 0) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "wfplatform.cli", *words, "--json"],
        env=script_environment(house.platform), capture_output=True, text=True, check=False, timeout=90,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_everybody_is_told_of_a_failure_and_of_the_completion_after_it(house: House, mark: str) -> None:
    platform = house.platform
    execution = platform.run(marked, {"mark": mark})
    assert ended(execution) == "failed"
    found = all_told(house, 5, execution)
    assert Counter(row[:3] for row in found) == Counter(
        ("failure", name, "completed")
        for name in (
            "marked: on failure", "clean_up", "marked: on failure 3", "marked: on failure 4", "marked: on failure 5"
        )
    )  # fmt: skip
    told = {row[1]: platform.execution(row[3]).result(10) for row in found}
    assert told["marked: on failure"] == f"marked failed {{'mark': {mark!r}}} the mark is not there"
    assert told["clean_up"] == f"cleaned after {execution.id}"
    [(to, message)] = house.post.taken
    assert (to, message["Subject"]) == (["ann@example.org"], "marked failed")
    assert f"wfp executions show {execution.id}" in message.get_content()
    assert sorted("text" in one.document for one in house.channel.posted) == [False, True]
    assert {one.path for one in house.channel.posted} == {SECRET}

    shown = wfp(house, "executions", "show", str(execution.id))
    assert [(one["hook"]["on"], one["state"]) for one in shown["hooks"]] == [("failure", "Completed")] * 5
    assert shown["hooks"][0]["hook"]["executionId"] == str(execution.id)
    listed = wfp(house, "executions", "list", "--limit", "100")["items"]
    assert {one["hook"] for one in listed} == {None}
    listed = wfp(house, "executions", "list", "--hooks", "--limit", "100")["items"]
    assert {row[3] for row in found} <= {one["id"] for one in listed}
    assert all(hooks(house, platform.execution(row[3])) == [] for row in found), "nobody tells of who tells"

    Path(mark).touch()
    execution.retry()
    found = all_told(house, 6, execution)
    assert Counter(row[0] for row in found) == {"failure": 5, "completion": 1}
    assert execution.result(30) == "there"


def test_the_address_of_a_channel_stands_nowhere(house: House) -> None:
    """After the test before: not in the definition, not in what was recorded, not in any log."""
    tables = ("execution", "node_execution", "attempt", "node_log", "workflow_version", "artifact", "code", "engine")
    with psycopg.connect(house.platform.address.dsn) as connection:
        for table in tables:
            query = f"select count(*) from {table} t where to_jsonb(t)::text like '%%never-to-be-seen%%'"
            assert connection.execute(query.replace("%%", "%")).fetchone() == (0,), table
    logs = house.platform.settings.home / "logs"
    assert [path.name for path in logs.rglob("*") if path.is_file() and b"never-to-be-seen" in path.read_bytes()] == []


def test_a_hook_that_fails_changes_nothing_of_what_it_tells_of(house: House, mark: str) -> None:
    execution = house.platform.run(broken, {"mark": mark})
    assert ended(execution) == "failed"
    [(on, _, state, hook)] = all_told(house, 1, execution)
    assert (on, state) == ("failure", "failed")
    assert str(execution.state) == "failed"
    record = house.platform.execution(hook).record
    assert record.error is not None
    assert record.error["message"] == "cannot tell failure"
    execution.retry()
    found = all_told(house, 2, execution)
    assert [row[:3] for row in found] == [("failure", "broken: on failure", "failed")] * 2, "each end is told once"


def kills_engine(house: House) -> bool:
    """Whether there was one to be killed; it may just be started anew."""
    try:
        os.kill(pid_of(house.platform.settings, "engine-0"), signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def test_each_end_is_told_once_however_often_the_engine_is_killed(house: House) -> None:
    executions = list(house.platform.run_many(squared, [{"x": x} for x in range(MANY)]))
    for share in (5, MANY // 2, MANY - 5):
        until(lambda share=share: len(hooks(house, *executions)) >= share, f"{share} hooks")
        until(lambda: kills_engine(house), "an engine that lives")
    assert {ended(one) for one in executions} == {"completed"}
    found = all_told(house, MANY, *executions)
    assert Counter(row[:3] for row in found) == {("completion", "squared: on completion", "completed"): MANY}
    with psycopg.connect(house.platform.address.dsn) as connection:
        counts = connection.execute(
            "select count(*) from execution where hook_of = any(%s) group by hook_of", ([one.id for one in executions],)
        ).fetchall()
    assert counts == [(1,)] * MANY


def test_one_that_sleeps_is_late_once_though_no_engine_is_there_at_that_instant(house: House) -> None:
    execution = house.platform.run(paid, {"order": 1})

    def sleeps() -> bool:
        with psycopg.connect(house.platform.address.dsn) as connection:
            query = "select is_asleep from execution where id = %s"
            return connection.execute(query, (execution.id,)).fetchone() == (True,)

    until(sleeps, "asleep")
    pid = pid_of(house.platform.settings, "engine-0")
    os.kill(pid, signal.SIGSTOP)  # it does not see the instant come
    is_late = f"select clock_timestamp() > created_at + interval '{LATE_S} s' from execution where id = %s"
    with psycopg.connect(house.platform.address.dsn, autocommit=True) as connection:
        until(lambda: connection.execute(is_late, (execution.id,)).fetchone() == (True,), "late")
    assert hooks(house, execution) == []
    os.kill(pid, signal.SIGKILL)
    found = all_told(house, 2, execution)
    assert [row[:3] for row in found] == [
        ("lateness", "paid: on lateness", "completed"), ("lateness", "paid: on lateness 2", "completed"),
    ]  # fmt: skip
    assert house.platform.execution(found[0][3]).result(10) == "paid waiting {'order': 1} None"
    assert house.post.taken[-1][1]["Subject"] == "late again"
    assert str(execution.state) == "waiting", "being late changes nothing"
    execution.signal("paid", {"order": 1})
    assert ended(execution) == "completed"
    assert Counter(row[0] for row in all_told(house, 3, execution)) == {"lateness": 2, "completion": 1}
