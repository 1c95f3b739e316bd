"""What must hold when all is over, whatever was killed: everything ended, as it would have undisturbed, and nothing twice.

Refuses mildness: the first promise that does not hold is told with what was expected and what came.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tests.chaos.platforms import Harmed
from tests.chaos.trouble import Blow
from tests.chaos.witness import Line, read_lines
from tests.chaos.workload import BEFORE_EFFECT, DELAY_S, EFFECT
from tests.integration.running import client_of, until
from wfplatform import Workflow
from wfplatform.errors import UnreachableError

__all__ = ["BrokenPromiseError", "Started", "judge", "judge_recovery"]

SETTLE_S = 60.0
"""What restarts more and more seldom, because it was struck again and again, is there again within this time."""
SOON_S = 0.05
"""By so much clocks and commits of one machine may differ."""


class BrokenPromiseError(AssertionError):
    """Something that must hold does not.

    Args:
        promise: what must hold.
        where: the execution, or what else is concerned.
        expected: what was promised.
        came: what came instead.
        blows: what was done before.
    """

    def __init__(self, promise: str, where: str, expected: object, came: object, blows: Sequence[Blow]) -> None:
        past = "\n".join(f"    {blow.at:%H:%M:%S.%f} {blow.kind}: {blow.detail}" for blow in blows) or "    nothing"
        super().__init__(
            f"{promise}\n  where: {where}\n  expected: {expected}\n  came: {came}\n  what was done meanwhile:\n{past}"
        )


type Commits = Mapping[tuple[UUID, str, tuple[int, ...]], datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """An execution, and what it would return undisturbed."""

    id: UUID
    workflow: Workflow[..., Any]
    at: datetime
    expected: object


def judge_recovery(harmed: Harmed, blow: Blow, recovered_at: datetime | None, limit_s: float) -> None:
    """Life goes on within a lease."""
    if recovered_at is None or recovered_at - blow.since > timedelta(seconds=limit_s):
        came = "nothing" if recovered_at is None else f"after {(recovered_at - blow.since).total_seconds():.1f} s"
        expected = f"within {limit_s:g} s a claim of what the engine had, or a commit"
        raise BrokenPromiseError(
            "Recovery begins within one lease.", f"{harmed.name}, {blow.kind}", expected, came, [blow]
        )


def judge(harmed: Harmed, started: Sequence[Started], blows: Sequence[Blow]) -> None:
    """Check everything that was started.

    Raises:
        BrokenPromiseError: a promise does not hold.
    """
    for one in started:
        _judge_ending(harmed, one, _between(blows, one.at, None))
    _judge_hooks(harmed, started, blows)
    lines = read_lines(harmed.lines)
    commits = harmed.witness.commits()
    _judge_repeats(commits, lines, blows)
    _judge_effects(commits, lines, blows)
    _judge_records(harmed, lines, blows)
    _judge_waits(lines, blows)
    _judge_leftovers(harmed, blows)


def _judge_ending(harmed: Harmed, one: Started, blows: Sequence[Blow]) -> None:
    where = f"{one.workflow.name} {one.id}"
    handle = until(lambda: _reached(lambda: harmed.platform.execution(one.id)), "the database")
    state = handle.state
    if state != "completed":
        error = handle.record.error
        raise BrokenPromiseError("Every execution completes.", where, "completed", f"{state}: {error}", blows)
    result = handle.result(60)
    if result != one.expected:
        raise BrokenPromiseError("Results equal an undisturbed run.", where, one.expected, result, blows)


def _judge_hooks(harmed: Harmed, started: Sequence[Started], blows: Sequence[Blow]) -> None:
    """Of each end its hooks tell once, and they end too."""
    query = "select hook_of, state from execution where hook_of is not null"
    until_s = time.monotonic() + SETTLE_S
    while True:
        told: dict[UUID, list[str]] = {one.id: [] for one in started}
        for execution, state in harmed.witness.rows(query):
            told.setdefault(execution, []).append(state)
        expected = {one.id: ["completed"] * len(one.workflow.hooks) for one in started}
        wrong = {one: states for one, states in told.items() if states != expected.get(one, states)}
        if not wrong:
            return
        if time.monotonic() > until_s:
            raise BrokenPromiseError(
                "Each end is told once.", harmed.name, {one: expected[one] for one in wrong}, wrong, blows
            )
        time.sleep(0.1)


def _judge_repeats(commits: Commits, lines: Sequence[Line], blows: Sequence[Blow]) -> None:
    for line in lines:
        committed_at = commits.get(line.key)
        if committed_at is not None and line.at > committed_at:
            raise BrokenPromiseError(
                "Nothing that is committed runs again.",
                f"{line.node}{[*line.element]} of {line.execution}",
                f"no attempt after its commit at {committed_at:%H:%M:%S.%f}",
                f"attempt {line.attempt} in process {line.pid} at {line.at:%H:%M:%S.%f}",
                _between(blows, None, line.at),
            )


def _judge_effects(commits: Commits, lines: Sequence[Line], blows: Sequence[Blow]) -> None:
    """What changes the world outside begins when what is before it is committed."""
    for line in lines:
        if line.node != EFFECT:
            continue
        committed_at = commits.get((line.execution, BEFORE_EFFECT, ()))
        if committed_at is None or line.at < committed_at:
            raise BrokenPromiseError(
                "An effect begins when everything before it is committed.",
                f"{line.node} of {line.execution}",
                f"a commit of {BEFORE_EFFECT} before {line.at:%H:%M:%S.%f}",
                f"{committed_at:%H:%M:%S.%f}" if committed_at is not None else "none",
                blows,
            )


def _judge_records(harmed: Harmed, lines: Sequence[Line], blows: Sequence[Blow]) -> None:
    """Every attempt that began has an end in the records, and nothing else there is open."""
    ended: set[tuple[Any, ...]] = set()
    query = "select execution_id, node_id, element, attempt, state from node_execution"
    for execution, node, element, attempt, state in harmed.witness.rows(query):
        ended.add((execution, node, tuple(element), attempt))
        if state not in ("completed", "skipped"):
            where = f"{node}{element} of {execution}"
            raise BrokenPromiseError("Every node ends.", where, "completed or skipped", state, blows)
    query = "select execution_id, node_id, element, attempt, finished_at is not null from attempt"
    for execution, node, element, attempt, has_end in harmed.witness.rows(query):
        ended.add((execution, node, tuple(element), attempt))
        if not has_end:
            where = f"attempt {attempt} at {node}{element} of {execution}"
            raise BrokenPromiseError("Every attempt ends.", where, "an end", "none", blows)
    for line in lines:
        if (*line.key, line.attempt) not in ended:
            where = f"attempt {line.attempt} at {line.node}{[*line.element]} of {line.execution}"
            raise BrokenPromiseError("Every attempt that began is recorded.", where, "a record", "none", blows)


def _judge_waits(lines: Sequence[Line], blows: Sequence[Blow]) -> None:
    """What waits for an instant does not go on before it, whatever an engine takes the time to be."""
    last: Mapping[UUID, Line] = {line.execution: line for line in lines if line.node == "total"}
    for line in lines:
        before = last.get(line.execution)
        if line.node == "raised" and before is not None and line.at > before.at:
            waited_s = (line.at - before.at).total_seconds()
            if waited_s < DELAY_S - SOON_S:
                where = f"{line.node} of {line.execution}"
                raise BrokenPromiseError("Nothing goes on before its time.", where, DELAY_S, waited_s, blows)


def _judge_leftovers(harmed: Harmed, blows: Sequence[Blow]) -> None:
    open_rows = """
        select 'execution ' || id || ' is ' || state from execution where state not in ('completed', 'failed', 'cancelled')
        union all select 'execution ' || id || ' is owned by ' || engine_id from execution where engine_id is not null
        union all select 'command ' || kind || ' to ' || execution_id from command where done_at is null"""
    left = [words for (words,) in harmed.witness.rows(open_rows)]
    if left:
        raise BrokenPromiseError("Nothing is left open.", harmed.name, "nothing", left, blows)
    with client_of(harmed.platform.address) as client:
        settles: tuple[tuple[str, Callable[[], object], Callable[[], object]], ...] = (
            ("Every process runs again.", lambda: True, harmed.is_whole),
            (
                "Each engine has a lease, and nobody else.",
                lambda: _each_leased(harmed),
                lambda: sorted(harmed.witness.leases()),
            ),
            ("The scheduler holds no task.", list, lambda: client.run_on_scheduler(_tasks)),
        )
        for promise, expected, came in settles:
            until_s = time.monotonic() + SETTLE_S
            while (found := came()) != (wanted := expected()):
                if time.monotonic() > until_s:
                    raise BrokenPromiseError(promise, harmed.name, wanted, found, blows)
                time.sleep(0.1)


def _each_leased(harmed: Harmed) -> list[tuple[int, bool]]:
    return [(pid, True) for pid in sorted(harmed.engine_pids())]


def _tasks(dask_scheduler: Any) -> list[str]:
    return list(dask_scheduler.tasks)


def _reached[Found](ask: Callable[[], Found]) -> Found | None:
    try:
        return ask()
    except UnreachableError:
        return None


def _between(blows: Sequence[Blow], first: datetime | None, last: datetime | None) -> list[Blow]:
    return [blow for blow in blows if (first is None or blow.since >= first) and (last is None or blow.at <= last)]
