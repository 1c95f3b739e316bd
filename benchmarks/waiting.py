"""Ten thousand executions that wait: what they cost meanwhile, and how late they go on."""

from __future__ import annotations

import os
import random
import signal
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psutil

from benchmarks.result import Result
from benchmarks.stage import Stage
from wfplatform import approval, delay, node, workflow
from wfplatform.authoring.platform import ExecutionHandle
from wfplatform.errors import WfError

__all__ = ["waiting"]

OPENED_S: Final = 15.0
MEMORY_BYTES: Final = 2**30
SHARE: Final = 0.05
LATE_P50_S: Final = 0.05
LATE_P99_S: Final = 1.0
TOGETHER_S: Final = 30.0
SPREAD_S: Final = 60.0
WATCHED_S: Final = 10.0
SETTLED_S: Final = 5.0
"""Until those that only wait are asleep."""


@node
def first(value: int) -> int:
    """Nothing."""
    return value


@node
def instant(value: Any) -> float:
    """When it runs, as seconds since 1970."""
    return time.time()


@workflow
def until(value: int, at: str) -> Any:
    """A node, a delay, a node."""
    return instant(delay(until=at, value=first(value)))


@workflow
def asked(value: int) -> Any:
    """A node, a person, a node."""
    return instant(approval("Go on?", details=first(value)))


def waiting(stage: Stage, count: int) -> list[Result]:
    """Due one by one; all at once; all at once with the engine killed while they wait; with approvals given at random."""
    until.run(value=0, at=_instants(1, 0.0, 0.0)[0].isoformat()).result()
    asleep_s = _seconds_to_open(count)
    one_by_one = _due(stage, count, asleep_s, SPREAD_S)
    together = _due(stage, count, asleep_s, 0.0)
    killed = _due(stage, count, asleep_s, 0.0, kill=True)
    answered_s = _answered(stage, count)
    late = sorted(one_by_one["late_s"])
    p50, p99 = late[len(late) // 2], late[int(len(late) * 0.99)]
    figures = {
        "late_p50_s": p50, "late_p95_s": late[int(len(late) * 0.95)], "late_p99_s": p99, "late_most_s": late[-1],
    }  # fmt: skip
    memory = max(one["rss_bytes"] for one in (one_by_one, together))
    opened_s = statistics.median([one_by_one["opened_s"], together["opened_s"], killed["opened_s"]])
    share = max(one_by_one["share"], together["share"])
    name = f"{count:,} waiting"
    return [
        Result.against(f"{name}: opened", opened_s, OPENED_S, "s"),
        Result.against(f"{name}: engine's memory", memory / 2**20, MEMORY_BYTES / 2**20, "MiB"),
        Result.against(f"{name}: of one core", share * 100, SHARE * 100, "%"),
        Result.against(f"{name}: late, p50, due one by one", p50 * 1000, LATE_P50_S * 1000, "ms", figures),
        Result.against(f"{name}: late, p99, due one by one", p99 * 1000, LATE_P99_S * 1000, "ms", figures),
        Result.against(f"{name}: all done, due at once", together["done_s"], TOGETHER_S, "s"),
        Result.against(f"{name}: the same, engine killed", killed["done_s"], TOGETHER_S, "s"),
        Result.against(f"{name}: all done, approved at random", answered_s, TOGETHER_S, "s"),
    ]


def _seconds_to_open(count: int) -> float:
    return SETTLED_S + WATCHED_S + OPENED_S * count / 10_000


def _instants(count: int, after_s: float, spread_s: float) -> list[datetime]:
    begin = datetime.now(UTC) + timedelta(seconds=after_s)
    return [begin + timedelta(seconds=spread_s * number / count) for number in range(count)]


def _due(stage: Stage, count: int, after_s: float, spread_s: float, *, kill: bool = False) -> dict[str, Any]:
    """Open them, watch the engine while they wait, and see when each goes on."""
    due = _instants(count, after_s, spread_s)
    began_s = time.monotonic()
    handles = until.run_many([{"value": number, "at": at.isoformat()} for number, at in enumerate(due)])
    _wait_until_waiting(stage, handles)
    opened_s = time.monotonic() - began_s
    time.sleep(SETTLED_S)
    engine = psutil.Process(stage.engine_pid)
    rss_bytes, share = engine.memory_info().rss, 0.0
    if kill:
        os.kill(engine.pid, signal.SIGKILL)
    else:
        share = engine.cpu_percent(interval=min(WATCHED_S, max(1.0, _left_s(due[0]) - 1))) / 100
    ran = [datetime.fromtimestamp(at, UTC) for at in handles.results()]
    late_s = [(at - wanted).total_seconds() for at, wanted in zip(ran, due, strict=True)]
    if min(late_s) < 0:
        raise WfError("too_early", f"Of {count} executions one went on {-min(late_s):.3f} s before its time.")
    done_s = (datetime.now(UTC) - due[-1]).total_seconds()
    return {"opened_s": opened_s, "rss_bytes": rss_bytes, "share": share, "late_s": late_s, "done_s": done_s}


def _answered(stage: Stage, count: int) -> float:
    """Approve them in random order; how long after the last approval all have completed."""
    handles = asked.run_many([{"value": number} for number in range(count)])
    _wait_until_waiting(stage, handles)
    time.sleep(SETTLED_S)
    order = list(handles)
    random.Random(7).shuffle(order)
    executions = stage.platform.executions
    for one in order:
        payload: dict[str, Any] = {"node": "approval", "element": [], "approved": True, "form": None, "comment": ""}
        executions.ask(one.id, "decide", payload)
    told_s = time.monotonic()
    handles.results()
    return time.monotonic() - told_s


def _wait_until_waiting(stage: Stage, handles: Sequence[ExecutionHandle]) -> None:
    ids = [handle.id for handle in handles]
    while set(map(str, stage.platform.executions.wait(ids, 0.0).values())) & {"pending", "running"}:
        time.sleep(0.1)


def _left_s(at: datetime) -> float:
    return (at - datetime.now(UTC)).total_seconds()
