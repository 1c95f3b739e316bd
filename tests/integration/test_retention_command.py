"""Retention as operators meet it: `wfp retention`, and engines that see to it unasked, on a whole platform."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

import psycopg
import pytest

from tests.integration import workload
from tests.integration.old import Old
from tests.integration.running import pid_of, script_environment, until
from wfplatform import workflow
from wfplatform.bootstrap.platform import EmbeddedPlatform
from wfplatform.core.identifier import DEFAULT_TENANT


@workflow
def framed() -> Any:
    return workload.frame(20_000)


pytestmark = pytest.mark.xdist_group("platform")


def wfp(platform: EmbeddedPlatform, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wfplatform.cli", "retention", *words],
        env={**script_environment(platform), **env}, capture_output=True, text=True, timeout=90, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def document(platform: EmbeddedPlatform, *words: str) -> Any:
    done = wfp(platform, *words, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_the_rules_are_shown(platform: EmbeddedPlatform) -> None:
    said = wfp(platform, "show", WFP_EXECUTIONS_KEPT_PER_WORKFLOW="7")
    assert said.returncode == 0
    for words in ("90 days", "7 that have ended, at most", "30 days", "logs_kept_days", "workflows", "for ever"):
        assert words in said.stdout
    assert document(platform, "show") == {
        "executionsSeconds": 90 * 86_400,
        "executionsPerWorkflow": None,
        "logsSeconds": 30 * 86_400,
        "unusedArtifactsSeconds": 86_400,
    }


def test_what_is_old_is_told_and_then_removed(platform: EmbeddedPlatform) -> None:
    fresh = platform.run(framed, {})
    rows = len(fresh.result(60))
    old = Old(platform.address.dsn)
    gone = {old.execution(200, workflow="ancient", nodes=3, lines=2), old.execution(100, workflow="older", nodes=2)}
    told = document(platform, "run", "--dry-run")
    assert [(one["name"], one["executions"], one["nodes"], one["logLines"]) for one in told["workflows"]] == [
        ("ancient", 1, 3, 2),
        ("older", 1, 2, 0),
    ]
    said = wfp(platform, "run", "--dry-run")
    assert "ancient" in said.stdout
    assert "2 executions" in said.stdout
    assert all(platform.reader.execution(DEFAULT_TENANT, id).state == "completed" for id in gone)
    done = document(platform, "run")
    assert done["total"] == told["total"]
    assert (done["total"]["executions"], done["total"]["nodes"]) == (2, 5)
    assert platform.reader.states(DEFAULT_TENANT, gone) == {}
    assert "Nothing is old." in wfp(platform, "run").stdout
    assert len(fresh.result(10)) == rows == 20_000


def test_an_engine_sees_to_it_by_itself(platform: EmbeddedPlatform) -> None:
    gone = Old(platform.address.dsn).execution(200, workflow="ancient")
    with psycopg.connect(platform.address.dsn) as connection:
        connection.execute("delete from chore")
    # The next one looks as soon as it starts.
    os.kill(pid_of(platform.settings, "engine-0"), signal.SIGKILL)
    until(lambda: platform.reader.states(DEFAULT_TENANT, [gone]) == {}, "the removal")
