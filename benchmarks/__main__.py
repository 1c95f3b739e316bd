"""`python -m benchmarks`: run all workloads, print a table, write `benchmarks/latest.json`.

Ends with 1 when a round was void; a target that was missed is told, and is no error of the run.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import workload
from benchmarks.importing import import_time
from benchmarks.promises import promises
from benchmarks.result import LATEST, Result, machine, print_results, write_results
from benchmarks.stage import Stage, stage
from benchmarks.waiting import waiting

__all__ = ["main"]


def workloads(*, full: bool) -> dict[str, Callable[[Stage], list[Result]]]:
    """Name -> the workload, at its quick or its full size."""
    # The quick mode is to end within two minutes.
    sizes = {1_000: 15, 10_000: 5, 100_000: 1} if full else {1_000: 5, 10_000: 1}
    rounds = 15 if full else 5
    found: dict[str, Callable[[Stage], list[Result]]] = {
        "import": lambda _: [import_time(25 if full else 7)],
        "one": lambda stage: workload.one(stage, 300 if full else 60, float("inf") if full else 6.0),
        "chain": lambda stage: workload.chain(stage, 200, rounds),
        "many": lambda stage: workload.many(stage, 1_000, rounds, both_ways=full),
        "flights": lambda stage: workload.flights(stage, rounds),
    }
    if full:
        found["memory"] = lambda stage: [workload.memory(stage, 100_000)]
        found["promises"] = lambda stage: promises(stage, 1_000, rounds)
        found["waiting"] = lambda stage: waiting(stage, 10_000)
    found["fan-out"] = lambda stage: workload.fan_outs(stage, sizes, both_ways_up_to=10_000 if full else 1_000)
    return found


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    known = list(workloads(full=True))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="wfplatform side by side with bare Dask")
    parser.add_argument("--full", action="store_true", help="100,000 nodes too, and more rounds: takes many minutes")
    parser.add_argument("--only", action="append", choices=known, help="this workload alone; may be given again")
    parser.add_argument("--output", type=Path, default=LATEST, help="the file to write")
    options = parser.parse_args(argv)
    # Ended by its caller, it stops what it started, as when interrupted from the keyboard.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    logging.getLogger("distributed").setLevel(logging.ERROR)
    chosen = {
        name: run for name, run in workloads(full=options.full).items() if not options.only or name in options.only
    }
    results: list[Result] = []
    surroundings: dict[str, Any] = {"load_before": os.getloadavg()[0], "mode": "full" if options.full else "quick"}
    started_s = time.monotonic()
    try:
        with stage() as ready:
            surroundings |= machine(ready.records.durability())
            for name, run in chosen.items():
                before_s = time.monotonic()
                results += run(ready)
                print(f"{name}: measured in {time.monotonic() - before_s:.1f} s", flush=True)
    except KeyboardInterrupt:
        print("\ninterrupted; what was started is stopped")
        return 130
    surroundings |= {"load_after": os.getloadavg()[0], "took_s": round(time.monotonic() - started_s, 1)}
    write_results(options.output, results, surroundings)
    print_results(results, surroundings)
    return 1 if any(result.void for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
