"""What promises cost: going on after the loss of the engine, committing effects before they run, looking up kept results."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from collections.abc import Callable
from typing import Any, Final

import psycopg

from benchmarks.result import Result
from benchmarks.stage import Stage
from wfplatform import Limit, node, workflow

__all__ = ["promises"]

LEASE_S: Final = 10.0
"""Recovery begins within it."""
EFFECT_MS: Final = 25.0
HIT_MS: Final = 1.0
LINKS: Final = 20
HITS: Final = 1000
HELD_S: Final = 2.0


@node(io=True)
async def held(number: int) -> int:
    """Some time on the cluster."""
    await asyncio.sleep(HELD_S)
    return number


@workflow
def holding(number: int) -> Any:
    """One node that takes a while."""
    return held(number)


@node(effect=True)
def acted(value: int) -> int:
    """An effect that does nothing."""
    return value + 1


@node(limit=Limit("own", 1))
def alone(value: int) -> int:
    """As much, on its own too, but without a commit before it."""
    return value + 1


@node
def plain(value: int) -> int:
    """As much, together with its neighbours."""
    return value + 1


@node(cache=True)
def kept(value: int) -> int:
    """What earlier executions have left."""
    return value + 1


@workflow
def effects(value: int) -> Any:
    """A chain of effects."""
    for _ in range(LINKS):
        value = acted(value)
    return value


@workflow
def singles(value: int) -> Any:
    """The same chain of nodes that are handed out one by one."""
    for _ in range(LINKS):
        value = alone(value)
    return value


@workflow
def plains(value: int) -> Any:
    """The same chain of nodes that run together."""
    for _ in range(LINKS):
        value = plain(value)
    return value


@workflow
def hits(values: list[int]) -> Any:
    """Results that are kept."""
    return kept.map(values)


@workflow
def computed(values: list[int]) -> Any:
    """The same, computed."""
    return plain.map(values)


def promises(stage: Stage, count: int, rounds: int) -> list[Result]:
    """Recovery with `count` running executions; effects and hits, `rounds` times in turn with what they are compared to."""
    return [_recovery(stage, count), _effects(rounds), _hits(rounds)]


def _recovery(stage: Stage, count: int) -> Result:
    handles = holding.run_many([{"number": number} for number in range(count)])
    with psycopg.connect(stage.platform.address.dsn, autocommit=True) as connection:
        ids = [handle.id for handle in handles]

        def owned(least_epoch: int) -> int:
            query = "select count(*) from execution where id = any(%s) and epoch >= %s and engine_id is not null"
            row = connection.execute(query, (ids, least_epoch)).fetchone()
            ended = "select count(*) from execution where id = any(%s) and finished_at is not null"
            row_ended = connection.execute(ended, (ids,)).fetchone()
            assert row is not None
            assert row_ended is not None
            return int(row[0] + row_ended[0])

        _until(lambda: owned(1) == count)
        os.kill(stage.engine_pid, signal.SIGKILL)
        killed_s = time.monotonic()
        _until(lambda: owned(2) == count)
        taken_s = time.monotonic() - killed_s
        results = handles.results(600)
    if results != list(range(count)):
        raise AssertionError("a result is wrong after the loss of the engine")
    figures = {"executions": count, "all_done_s": time.monotonic() - killed_s}
    name = f"engine killed with {count:,} running: all in the hands of the next one"
    return Result.against(name, taken_s, LEASE_S, "s", figures)


def _effects(rounds: int) -> Result:
    took = _in_turn(
        rounds,
        {
            "effects": lambda: effects.run(0).result(),
            "alone": lambda: singles.run(0).result(),
            "together": lambda: plains.run(0).result(),
        },
    )
    each_ms = {name: seconds / LINKS * 1000 for name, seconds in took.items()}
    over_ms = each_ms["effects"] - each_ms["alone"]
    return Result.against(
        "commits of one effect, above a node on its own", over_ms, EFFECT_MS, "ms", {"each_ms": each_ms}
    )


def _hits(rounds: int) -> Result:
    values = list(range(HITS))
    hits.run(values).result()
    took = _in_turn(
        rounds, {"hits": lambda: hits.run(values).result(), "computed": lambda: computed.run(values).result()}
    )
    each_ms = {name: seconds / HITS * 1000 for name, seconds in took.items()}
    return Result.against(
        f"a kept result of {HITS:,} that are looked up", each_ms["hits"], HIT_MS, "ms", {"each_ms": each_ms}
    )


def _in_turn(rounds: int, runs: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Medians, in seconds, of what is done in turn, after one round that does not count."""
    took: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            began_s = time.monotonic()
            run()
            if number:
                took[name].append(time.monotonic() - began_s)
    return {name: statistics.median(seconds) for name, seconds in took.items()}


def _until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 300
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError("it did not happen within 300 s")
        time.sleep(0.02)
