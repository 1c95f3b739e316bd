"""Simulations from many seeds, or the story of one that broke a promise.

python -m tests.simulation --seeds 2000 --first 10000
python -m tests.simulation --trace 4711
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tests.simulation.bench import bench
from tests.simulation.simulation import simulate

CHUNK = 50


def broken(first: int, count: int) -> list[tuple[int, str]]:
    """The seeds among these whose simulation breaks a promise, and which."""
    logging.disable(logging.CRITICAL)
    with bench() as runner:
        return [
            (seed, f"{type(error).__name__}: {error}")
            for seed in range(first, first + count)
            if (error := simulate(seed, runner)[1]) is not None
        ]


def sweep(first: int, seeds: int) -> int:
    """Simulate many seeds on all processors; returns how many broke a promise."""
    began_s, done, found = time.monotonic(), 0, 0
    for chunk, ended in _chunks(first, seeds):
        for seed, what in chunk:
            found += 1
            print(f"seed {seed}: {what}\n  its story: python -m tests.simulation --trace {seed}", flush=True)
        done += ended
        if sys.stderr.isatty():
            print(f"\r{done} of {seeds}", end="", file=sys.stderr, flush=True)
    print(f"{seeds} seeds from {first} on in {time.monotonic() - began_s:.0f} s: {found} broke a promise")
    return found


def trace(seed: int) -> int:
    """Tell what happens from one seed; 1 if that broke a promise."""
    logging.disable(logging.CRITICAL)
    with bench() as runner:
        world, error = simulate(seed, runner)
    for note in world.notes:
        print(note)
    if error is None:
        print(f"seed {seed}: all promises were kept")
        return 0
    traceback.print_exception(error)
    return 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=2000, help="how many; default 2000")
    parser.add_argument("--first", type=int, default=0, help="the first one; default 0")
    parser.add_argument("--trace", type=int, metavar="SEED", help="tell what happens from this seed")
    asked = parser.parse_args(arguments)
    return trace(asked.trace) if asked.trace is not None else min(1, sweep(asked.first, asked.seeds))


def _chunks(first: int, seeds: int) -> Iterator[tuple[list[tuple[int, str]], int]]:
    starts = range(first, first + seeds, CHUNK)
    counts = [min(CHUNK, first + seeds - start) for start in starts]
    with ProcessPoolExecutor(os.process_cpu_count(), mp_context=get_context("spawn")) as pool:
        yield from zip(pool.map(broken, starts, counts), counts, strict=True)
