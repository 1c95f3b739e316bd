"""What is measured: each function here runs one workload on all sides and compares them to the targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from distributed import Client

from benchmarks import flight, work
from benchmarks.cluster import plain_cluster
from benchmarks.contest import Contestant, Times, contest
from benchmarks.memory import watched
from benchmarks.recorded import Expected
from benchmarks.result import Result
from benchmarks.stage import OURS, Stage
from wfplatform import ExecutionHandle, Workflow

__all__ = ["Faster", "chain", "fan_outs", "flights", "many", "memory", "one"]

INF = "bare Dask, worker-saturation inf"
DEFAULT = "bare Dask, default"
SINGLE_P95_MS = 50.0
BYTES_A_NODE = 1024

type Faster = dict[str, str]
"""Side -> the way of handing the graph to Dask that was the faster one at 1,000 nodes."""


def expects(wanted: Any) -> Callable[[Any], bool]:
    """Whether what came is this."""
    return lambda came: bool(came == wanted)


def dask_side(side: str, ways: Mapping[str, Callable[[], Any]], right: Callable[[Any], bool]) -> list[Contestant]:
    """Bare Dask, as one contestant for each way of handing a graph to it."""

    def check(came: Any) -> str:
        return "" if right(came) else "the result is wrong"

    return [Contestant(name=f"{side}, {way}", run=run, check=check) for way, run in ways.items()]


def run_once(flow: Workflow[..., Any], **parameters: Any) -> list[ExecutionHandle]:
    """Start one execution."""
    return [flow.run(**parameters)]


def best_of(times: Mapping[str, Times], side: str) -> tuple[str, Times]:
    """The faster way of a side."""
    found = {name: one for name, one in times.items() if name.startswith(side)}
    name = min(found, key=lambda way: found[way].median_s)
    return name, found[name]


def compared(
    name: str, times: Mapping[str, Times], side: str, target: float, nodes: int, *, at_most: bool = False
) -> Result:
    """Our median against the better of bare Dask's: how many times faster we are, or (`at_most`) how much longer we take."""
    ours = times[OURS]
    way, theirs = best_of(times, side)
    if not ours.valid_s or not theirs.valid_s:
        ratio = float("inf") if at_most else 0.0
    else:
        ratio = ours.median_s / theirs.median_s if at_most else theirs.median_s / ours.median_s
    return Result(
        name=name,
        ratio=ratio,
        target=target,
        at_most=at_most,
        ours=f"{ours.median_s * 1e3:.1f} ms",
        theirs=f"{theirs.median_s * 1e3:.1f} ms ({way})",
        figures={one: figures.figures(nodes) for one, figures in times.items() if one == OURS or one.startswith(side)},
    )


def fan_outs(stage: Stage, sizes: Mapping[int, int], *, both_ways_up_to: int) -> list[Result]:
    """No-ops side by side and one that reads them all, on both settings of Dask.

    Args:
        sizes: number of no-ops -> rounds; in rising order.
        both_ways_up_to: above this size, bare Dask goes the way that was faster at the size before.
    """
    results: list[Result] = []
    faster: Faster = {}
    with plain_cluster(stage.workers) as address, Client(address, set_as_default=False) as plain:
        plain.wait_for_workers(stage.workers, timeout=60)
        for client in (stage.client, plain):
            # Connections, and the functions on the workers; ours is another workflow for each size.
            work.fan_out_by_map(client, 100)
            work.fan_out_of_tasks(client, 100)
        for size, rounds in sizes.items():
            expected, flow = Expected(nodes=size + 1, lines=1), work.fan_out(size)
            total = size * (size - 1) // 2
            contestants = [stage.ours(partial(run_once, flow), expected, expects([total]))]
            for side, client in ((INF, stage.client), (DEFAULT, plain)):
                ways: dict[str, Callable[[], Any]] = {
                    "map": partial(work.fan_out_by_map, client, size),
                    "get": partial(work.fan_out_of_tasks, client, size),
                }
                if size > both_ways_up_to:
                    ways = {faster[side]: ways[faster[side]]}
                contestants += dask_side(side, ways, expects(total))
            times = contest(contestants, rounds=rounds, warmed_up=[OURS], rivals=(INF, DEFAULT))
            for side, target in ((INF, 3.0), (DEFAULT, 10.0)):
                faster[side] = best_of(times, side)[0].rpartition(", ")[2]
                setting = side.rpartition(", ")[2]
                results.append(compared(f"fan-out of {size:,}, {setting}", times, side, target, size + 1))
    return results


def memory(stage: Stage, size: int) -> Result:
    """How far the engine grows with a fan-out; what it needs for any was loaded by a small one before."""
    work.fan_out(1_000).run().result(600)
    flow = work.fan_out(size)
    expected, total = Expected(nodes=size + 1, lines=1), size * (size - 1) // 2
    ours = stage.ours(partial(run_once, flow), expected, expects([total]))
    with watched(stage.engine_pid) as growth:
        came = ours.run()
    wrong = ours.check(came)
    a_node = growth.peak_growth_bytes / size
    return Result(
        name=f"engine memory, fan-out of {size:,}",
        ratio=float("inf") if wrong else a_node / BYTES_A_NODE,
        target=1.0,
        at_most=True,
        ours=f"{a_node:.0f} bytes a node",
        theirs=f"{BYTES_A_NODE} bytes a node",
        figures={
            "engine": {
                "before_bytes": growth.before_bytes,
                "peak_bytes": growth.peak_bytes,
                "after_bytes": growth.after_bytes,
                "void": [wrong] if wrong else [],
            }
        },
    )


def chain(stage: Stage, length: int, rounds: int) -> list[Result]:
    """No-ops one after the other."""
    flow = work.chain(length)
    ways: dict[str, Callable[[], Any]] = {
        "submit": partial(work.chain_of_submits, stage.client, length),
        "get": partial(work.chain_of_tasks, stage.client, length),
    }
    contestants = [
        stage.ours(partial(run_once, flow), Expected(nodes=length, lines=1), expects([length])),
        *dask_side(INF, ways, expects(length)),
    ]
    times = contest(contestants, rounds=rounds, warmed_up=[OURS], rivals=(INF,))
    return [compared(f"chain of {length}", times, INF, 20.0, length)]


def many(stage: Stage, count: int, rounds: int, *, both_ways: bool) -> list[Result]:
    """Many executions of three nodes, started in one go, every result gathered.

    The target is set against three submits for each execution, gathered; with `both_ways` one graph of all is measured too.
    """
    values = list(range(count))
    wanted = [value + 2 for value in values]
    ways: dict[str, Callable[[], Any]] = {
        "submit": partial(work.many_of_submits, stage.client, values),
    }
    if both_ways:
        ways["get"] = partial(work.many_of_tasks, stage.client, values)
    contestants = [
        stage.ours(
            lambda: work.three.run_many([{"value": value} for value in values]),
            Expected(executions=count, nodes=3 * count, lines=count),
            expects(wanted),
        ),
        *dask_side(INF, ways, expects(wanted)),
    ]
    times = contest(contestants, rounds=rounds, warmed_up=[OURS])
    result = compared(f"{count:,} executions of 3", times, f"{INF}, submit", 5.0, 3 * count)
    return [replace(result, figures={name: one.figures(3 * count) for name, one in times.items()})]


def one(stage: Stage, rounds: int, patience_s: float) -> list[Result]:
    """One execution of three nodes on an idle platform, from run() to its committed result."""
    ways: dict[str, Callable[[], Any]] = {
        "submit": lambda: work.many_of_submits(stage.client, [1])[0],
        "get": lambda: work.many_of_tasks(stage.client, [1])[0],
    }
    contestants = [
        stage.ours(partial(run_once, work.three, value=1), Expected(nodes=3, lines=1), expects([3])),
        *dask_side(INF, ways, expects(3)),
    ]
    times = contest(contestants, rounds=rounds, fewest=20, patience_s=patience_s, warm_up=3, pause_s=0.03)
    first = compared("one execution of 3, p50", times, INF, 1.0, 3, at_most=True)
    p95_ms = times[OURS].p95_s * 1e3
    second = Result(
        name="one execution of 3, p95",
        ratio=p95_ms / SINGLE_P95_MS,
        target=1.0,
        at_most=True,
        ours=f"{p95_ms:.1f} ms",
        theirs=f"{SINGLE_P95_MS:g} ms",
        figures={OURS: {**times[OURS].figures(3), "p95_ms": round(p95_ms, 3)}},
    )
    return [first, second]


def flights(stage: Stage, rounds: int) -> list[Result]:
    """The example `flights`, computed anew each time."""
    first = flight.by_hand(stage.client)

    def right(came: Sequence[Any]) -> bool:
        return len(came) == 1 and flight.same_results(came[0], first)

    nodes = len(flight.MONTHS) * 5 + 16
    contestants = [
        stage.ours(
            partial(run_once, flight.uncached_flights),
            Expected(nodes=nodes, lines=len(flight.MONTHS) + 1),
            right,
            prepare=stage.forget_artifacts,
        ),
        *dask_side(INF, {"submit": lambda: flight.by_hand(stage.client)}, lambda came: right([came])),
    ]
    times = contest(contestants, rounds=rounds, warmed_up=[OURS])
    return [compared("flights", times, INF, 1.05, nodes, at_most=True)]
