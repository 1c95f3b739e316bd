"""Executions that wait, on a whole platform: for a time, for events, for people; asleep, and through the loss of their engine."""

from __future__ import annotations

import getpass
import json
import os
import signal
import subprocess
import sys
from typing import Any

import psycopg
import pytest

from tests.integration import workload
from tests.integration.running import ended, node, pid_of, script_environment, until
from wfplatform import approval, delay, wait_for_event, workflow
from wfplatform.bootstrap.platform import EmbeddedPlatform

pytestmark = pytest.mark.xdist_group("platform")

MANY = 60
WAIT_S = 6.0


@workflow
def naps(n: int) -> Any:
    return workload.square(delay(seconds=WAIT_S, value=workload.square(n)))


@workflow
def sale(order: int) -> Any:
    paid = wait_for_event("paid", match={"order": order})
    return approval("Ship it?", details=paid, form=int, assignees=[getpass.getuser()])["form"]


def asleep(platform: EmbeddedPlatform, executions: Any) -> int:
    query = "select count(*) from execution where is_asleep and engine_id is null and id = any(%s)"
    with psycopg.connect(platform.address.dsn) as connection:
        row = connection.execute(query, ([one.id for one in executions],)).fetchone()
    return int(row[0]) if row else 0


def wfp(platform: EmbeddedPlatform, *words: str, code: int = 0) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "wfplatform.cli", *words, "--json"],
        env=script_environment(platform), capture_output=True, text=True, check=False, timeout=90,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_what_only_waits_belongs_to_nobody_and_the_loss_of_the_engine_changes_nothing(
    platform: EmbeddedPlatform,
) -> None:
    executions = platform.run_many(naps, [{"n": n} for n in range(MANY)])
    until(lambda: asleep(platform, executions) == MANY, "all asleep")
    os.kill(pid_of(platform.settings, "engine-0"), signal.SIGKILL)
    assert executions.results(90) == [n**4 for n in range(MANY)]
    assert {node(one, "square").attempt for one in executions} == {1}, "nothing that had completed ran again"


def test_events_and_decisions_come_by_the_command_line(platform: EmbeddedPlatform) -> None:
    execution = platform.run(sale, {"order": 7})
    until(lambda: asleep(platform, [execution]) == 1, "asleep")
    shown = wfp(platform, "executions", "show", str(execution.id))
    assert shown["state"] == "Waiting"
    assert shown["waitingFor"] == 'paid: waits for the event paid with {"order": 7}'
    wfp(platform, "executions", "signal", str(execution.id), "paid", "--data", '{"order": 7, "amount": 3}')
    until(lambda: node(execution, "approval") is not None, "the question")
    (listed,) = [
        one for one in wfp(platform, "approvals", "list", "--mine")["items"] if one["executionId"] == str(execution.id)
    ]
    assert (listed["node"], listed["title"], listed["details"]) == ("approval", "Ship it?", {"order": 7, "amount": 3})
    refused = wfp(platform, "approvals", "approve", str(execution.id), "--form", "many", code=2)
    assert "expected a whole number" in json.dumps(refused)
    wfp(platform, "approvals", "approve", str(execution.id), "--form", "5", "--comment", "fine")
    assert execution.result(60) == 5
    known = node(execution, "approval")
    assert (known.outputs["result"]["value"]["by"], known.outputs["result"]["value"]["comment"]) == (
        getpass.getuser(),
        "fine",
    )


def test_a_rejection_fails_the_execution_and_says_who_said_so(platform: EmbeddedPlatform) -> None:
    execution = platform.run(sale, {"order": 8})
    execution.signal("paid", {"order": 8})
    until(lambda: node(execution, "approval") is not None, "the question")
    wfp(platform, "approvals", "reject", str(execution.id), "approval", "--comment", "too late")
    assert ended(execution) == "failed"
    assert (execution.record.error or {})["message"] == f"{getpass.getuser()} rejected it: too late."


def test_one_that_is_paused_sleeps_until_it_is_resumed(platform: EmbeddedPlatform) -> None:
    execution = platform.run(naps, {"n": 2})
    wfp(platform, "executions", "pause", str(execution.id))
    until(lambda: asleep(platform, [execution]) == 1, "asleep")
    assert execution.record.waiting_for == "paused"
    assert wfp(platform, "executions", "resume", str(execution.id))["id"] == str(execution.id)
    assert execution.result(60) == 16
