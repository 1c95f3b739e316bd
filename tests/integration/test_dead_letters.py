"""Dead letters on a whole platform: seven bad elements of many are mended or discarded, and engines are killed meanwhile."""

from __future__ import annotations

import getpass
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.integration import workload
from tests.integration.running import PATIENCE_S, ended, lines, node, nodes, pid_of, script_environment, until
from wfplatform import unmapped, workflow
from wfplatform.app.dead_letters import DeadLetters
from wfplatform.bootstrap.platform import EmbeddedPlatform
from wfplatform.core.dead_letter import DeadLetterFilter
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.errors import NotFoundError
from wfplatform.store.dead_letter import PostgresDeadLetters

pytestmark = pytest.mark.xdist_group("platform")

MANY = 200
BAD = range(0, MANY, 30)


@workflow
def reading(count: int, mark: str, go: str) -> Any:
    read = workload.read_row.map(workload.table(count), mark=unmapped(mark), go=unmapped(go))
    return workload.total(workload.square.map(read))


def wfp(platform: EmbeddedPlatform, *words: str, code: int = 0) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "wfplatform.cli", "dead-letters", *words, "--json"],
        env=script_environment(platform), capture_output=True, text=True, check=False, timeout=90,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def kill_engine(platform: EmbeddedPlatform) -> None:
    os.kill(pid_of(platform.settings, "engine-0"), signal.SIGKILL)


def failed(execution: Any) -> list[int]:
    return [one.element[0] for one in nodes(execution, "read_row") if str(one.state) == "failed"]


def test_seven_of_many_are_mended_one_by_one_and_the_rest_by_what_failed(platform: EmbeddedPlatform, mark: str) -> None:
    go = f"{mark}.go"
    execution = platform.run(reading, {"count": MANY, "mark": mark, "go": go})
    assert ended(execution) == "failed"
    id = str(execution.id)
    listed = wfp(platform, "list", "--execution", id)
    assert sorted(one["element"] for one in listed["items"]) == [[n] for n in BAD]
    assert {one["error"]["type"] for one in listed["items"]} == {"ValueError", "LookupError"}
    ran = Counter(lines(mark))

    shown = wfp(platform, "show", f"{id}/read_row/30")
    inputs = {one["port"]: one for one in shown["inputs"]}
    assert inputs["row"]["value"] == {"number": 30, "text": "x" * 500}
    assert (inputs["mark"]["value"], inputs["mark"]["source"]) == (mark, "parameter mark")
    assert "ValueError: row 30 is bad" in shown["traceback"]
    assert [one["state"] for one in shown["attempts"]] == ["Failed"]
    assert [one["message"] for one in shown["logs"]] == ["row 30"] * 2

    # Nobody is there to hear of it: who comes finds it.
    kill_engine(platform)
    row = json.dumps({"number": 31})
    refused = wfp(platform, "replay", f"{id}/read_row/30", "--input", f"line={row}", code=2)
    assert refused["error"]["code"] == "unknown_input"
    wfp(platform, "replay", f"{id}/read_row/30", "--input", f"row={row}")
    # And while it runs again, the engine is lost once more.
    until(lambda: Counter(lines(mark))["31"] == 2, "the replay")
    kill_engine(platform)
    Path(go).touch()
    assert ended(execution) == "failed"
    known = node(execution, "read_row", (30,))
    assert (str(known.state), known.edit["inputs"], known.edit["by"]) == (
        "completed",
        {"row": {"number": 31}},
        getpass.getuser(),
    )
    assert failed(execution) == [n for n in BAD if n != 30]
    assert str(node(execution, "square", (30,)).state) == "completed"
    assert str(node(execution, "total").state) == "skipped"

    many = wfp(platform, "replay", "--execution", id, "--error", "LookupError", code=2)
    assert many["error"]["message"] == "4 dead letters would be replayed."
    wfp(platform, "replay", "--execution", id, "--error", "LookupError", "--input", f"row={row}", "--yes")
    assert ended(execution) == "failed"
    assert failed(execution) == [90, 150]
    assert wfp(platform, "discard", f"{id}/read_row/150", "--reason", "nobody needs it") == {"discarded": 1}
    assert [one["element"] for one in wfp(platform, "list", "--execution", id)["items"]] == [[90]]
    record = node(execution, "read_row", (150,))
    assert (record.discarded["by"], record.discarded["reason"]) == (getpass.getuser(), "nobody needs it")

    platform.dead_letters(execution=execution.id).replay({"row": {"number": 1}})
    assert ended(execution) == "failed", "what was discarded still failed"
    assert (execution.record.error or {})["element"] == [150]
    execution.retry()
    assert ended(execution) == "failed"
    (letter,) = platform.dead_letters(execution=execution.id)
    assert letter.replay({"row": {"number": 2}}).result(PATIENCE_S) == sum(
        n * n for n in [*(n for n in range(MANY) if n not in BAD), *[31] * 5, 1, 2]
    )
    again = Counter(lines(mark)) - ran
    assert {n for n in again if int(n) % 30 and int(n) > 31} == set(), "what had completed ran no second time"


def test_a_branch_goes_on_while_the_others_run(platform: EmbeddedPlatform, mark: str) -> None:
    @workflow
    def beside(mark: str) -> Any:
        return workload.read_row({"number": 60}, mark, ""), workload.hold.options(priority=1)(mark)

    execution = platform.run(beside, {"mark": mark})
    until(lambda: len(platform.dead_letters(execution=execution.id)) == 1, "the failure")
    assert execution.state == "running"
    platform.dead_letters(execution=execution.id)[0].replay({"row": {"number": 5}})
    until(lambda: str(node(execution, "read_row").state) == "completed", "the replay")
    assert execution.state == "running"
    Path(f"{mark}.go").touch()
    assert execution.wait(PATIENCE_S) == "completed"


def test_after_a_day_nobody_replays_them_by_this_door(platform: EmbeddedPlatform, mark: str) -> None:
    execution = platform.run(reading, {"count": 1, "mark": mark, "go": ""})
    assert ended(execution) == "failed"
    (letter,) = platform.dead_letters(execution=execution.id)
    with psycopg.connect(platform.address.dsn) as connection:
        connection.execute(
            "update node_execution set dead_at = dead_at - interval '23 hours' where execution_id = %s", (execution.id,)
        )
    assert len(platform.dead_letters(execution=execution.id)) == 1
    with psycopg.connect(platform.address.dsn) as connection:
        connection.execute(
            "update node_execution set dead_at = dead_at - interval '1 hour' where execution_id = %s", (execution.id,)
        )
    assert len(platform.dead_letters(execution=execution.id)) == 0
    for act in (letter.replay, letter.discard):
        with pytest.raises(NotFoundError, match="more than 86400 s ago"):
            act()
    assert str(node(execution, "read_row", (0,)).state) == "failed", "its record stays"
    patient = DeadLetters(
        executions=platform.executions,
        store=PostgresDeadLetters(platform._database),
        records=platform.reader,
        open_value=lambda output: output,
        tenant_id=DEFAULT_TENANT,
        kept_s=2 * 86_400.0,
    )
    assert len(patient.page(DeadLetterFilter(execution_id=execution.id)).items) == 1
