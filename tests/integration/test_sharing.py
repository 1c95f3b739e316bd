"""What executions share, on a whole platform: slots, circuit breakers, results; and what is said of those who wait."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration import workload
from tests.integration.running import lines, node, pid_of, script_environment, until
from wfplatform import Breaker, Limit, workflow
from wfplatform import node as as_node
from wfplatform.bootstrap.platform import EmbeddedPlatform

pytestmark = pytest.mark.xdist_group("platform")


@as_node(limit=Limit("till", 1, across="all"), io=True)  # type: ignore[arg-type]  # as people write it
def at_the_till(mark: str, x: int) -> int:
    """Says when it came and when it went, outside the platform."""
    with Path(mark).open("a") as file:
        file.write(f"{x} in\n")
    time.sleep(0.05)
    with Path(mark).open("a") as file:
        file.write(f"{x} out\n")
    return x


@workflow
def shopping(mark: str, xs: list[int]) -> Any:
    return at_the_till.map(mark=mark, x=xs)


@as_node(limit=Limit("gate", 1, across="all"), io=True)  # type: ignore[arg-type]
def through(mark: str, go: str) -> str:
    with Path(mark).open("a") as file:
        file.write("in\n")
    workload.wait_for(go)
    return go


@workflow
def visit(mark: str, go: str) -> Any:
    return through(mark, go)


@as_node(cache=True)
def costly(mark: str, go: str) -> str:
    with Path(mark).open("a") as file:
        file.write("computed\n")
    workload.wait_for(go)
    return go


@workflow
def wanted_by_many(mark: str, go: str) -> Any:
    return costly(mark, go)


@as_node(breaker=Breaker("shop", calls=3, failure_share=0.5, open_s=600.0), io=True)
def order(mark: str, x: int) -> int:
    with Path(mark).open("a") as file:
        file.write(f"{x}\n")
    if x < 0:
        raise OSError("closed")
    return x


@workflow
def orders(mark: str, xs: list[int]) -> Any:
    return order.map(mark=mark, x=xs)


@workflow
def wants_gpu(x: int) -> Any:
    return workload.square.options(resources={"GPU": 1})(x)


def wfp(platform: EmbeddedPlatform, *words: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "wfplatform.cli", *words, "--json"],
        env=script_environment(platform), capture_output=True, text=True, check=False, timeout=90,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def causes(found: Any) -> dict[str | None, str]:
    return {one["node"]: one["cause"] for one in found["items"]}


def test_at_most_as_many_as_the_limit_says_run_at_once_though_the_engine_is_killed(
    platform: EmbeddedPlatform, mark: str
) -> None:
    executions = platform.run_many(shopping, [{"mark": mark, "xs": list(range(n, n + 5))} for n in (0, 10, 20)])
    until(lambda: len(lines(mark)) > 4, "some came")
    os.kill(pid_of(platform.settings, "engine-0"), signal.SIGKILL)
    assert executions.results(90) == [list(range(n, n + 5)) for n in (0, 10, 20)]
    inside: set[str] = set()
    most = 0
    for line in lines(mark):
        who, what = line.split()
        inside = inside | {who} if what == "in" else inside - {who}
        most = max(most, len(inside))
    # What ran when the engine was killed may go on beside what its successor hands out.
    assert most <= 2
    assert wfp(platform, "limits", "list")["items"] == []


def test_who_holds_what_one_waits_for_is_said(platform: EmbeddedPlatform, mark: str, tmp_path: Path) -> None:
    go = str(tmp_path / "go")
    first = platform.run(visit, {"mark": mark, "go": go})
    until(lambda: lines(mark), "it is in")
    second = platform.run(visit, {"mark": mark, "go": go})
    until(lambda: second.state == "waiting", "it waits")
    found = wfp(platform, "executions", "why", str(second.id))
    assert causes(found) == {"through": "slot"}
    assert f"held by through of execution {first.id} since" in found["items"][0]["why"]
    (limit,) = wfp(platform, "limits", "list", "--slots")["items"]
    assert (limit["called"], limit["most"], limit["held"], limit["waiting"]) == ("gate", 1, 1, 1)
    wfp(platform, "limits", "set", "gate", "2")
    until(lambda: len(lines(mark)) == 2, "both are in")
    wfp(platform, "limits", "clear", "gate")
    assert [(one.cause, one.node) for one in first.why()] == [("running", "through")]
    workload.tell(go, "go")
    assert (first.result(60), second.result(60)) == (go, go)
    assert causes(wfp(platform, "executions", "why", str(second.id))) == {None: "ended"}


def test_two_that_ask_the_same_at_once_compute_it_once(platform: EmbeddedPlatform, mark: str, tmp_path: Path) -> None:
    go = str(tmp_path / "go")
    first = platform.run(wanted_by_many, {"mark": mark, "go": go})
    until(lambda: lines(mark), "it computes")
    others = platform.run_many(wanted_by_many, [{"mark": mark, "go": go}] * 5)
    until(lambda: {one.state for one in others} == {"waiting"}, "they wait for it")
    assert [one.cause for one in others[0].why()] == ["shared_result"]
    workload.tell(go, "go")
    assert others.results(60) == [go] * 5
    assert lines(mark) == ["computed"]
    assert {node(one, "costly").reused_from for one in others} == {first.id}


def test_what_fails_again_and_again_is_left_in_peace_until_somebody_closes_the_breaker(
    platform: EmbeddedPlatform, mark: str
) -> None:
    assert platform.run(orders, {"mark": mark, "xs": [-1, -2, -3, -4]}).wait(60) == "failed"
    tried = len(lines(mark))
    waits = platform.run(orders, {"mark": mark, "xs": list(range(100))})
    until(lambda: waits.state == "waiting", "it waits")
    assert len(lines(mark)) == tried
    found = wfp(platform, "executions", "why", str(waits.id))
    assert causes(found) == {"order": "breaker"}
    (breaker,) = (one for one in wfp(platform, "breakers", "list")["items"] if one["name"] == "shop")
    assert breaker["state"] == "open"
    wfp(platform, "breakers", "close", "shop")
    assert waits.result(60) == list(range(100))


def test_that_no_worker_has_what_it_wants_is_said(platform: EmbeddedPlatform) -> None:
    execution = platform.run(wants_gpu, {"x": 1})
    until(lambda: execution.why() and execution.why()[0].cause == "resource", "it is said")
    assert execution.why()[0].sentence == "No worker has GPU 1; what workers have: none."
    execution.cancel()
    assert execution.wait(60) == "cancelled"
