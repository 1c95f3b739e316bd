"""Workflows that run while things are killed. Each attempt at a node tells of itself in a file outside the platform.

Light, because every new worker process imports this module anew. Refuses chance: whatever is lost, the result is the same.
"""

from __future__ import annotations

import hashlib
import os
import random
import time

from wfplatform import Notice, Retry, Workflow, current_node, delay, each, node, workflow

__all__ = ["BEFORE_EFFECT", "DELAY_S", "EFFECT", "WORKFLOWS"]

DELAY_S = 1.5
EFFECT, BEFORE_EFFECT = "paid", "raised-3"
PIECE_BYTES = 3_000_000
PATIENT = Retry(attempts=60, delay_s=0.5)
"""For what needs room in the artifact storage: while there is none, it fails."""


def tell(file: str) -> None:
    """Who runs, where and since when: one line in one write, so that lines of many processes do not mix."""
    this = current_node()
    element = ".".join(map(str, this.element)) or "-"
    line = f"{this.execution_id} {this.node_id} {element} {this.attempt} {os.getpid()} {time.time():.6f}\n"
    out = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(out, line.encode())
    finally:
        os.close(out)


def work(file: str, seconds: float) -> None:
    """Tell, and take some time."""
    tell(file)
    time.sleep(seconds)


@node
def numbers(file: str, count: int) -> list[int]:
    work(file, 0.02)
    return list(range(count))


@node
def squared(n: int, file: str) -> int:
    work(file, 0.1)
    return n * n


@node
def total(items: list[int], file: str) -> int:
    work(file, 0.05)
    return sum(items)


@node
def raised(n: int, file: str) -> int:
    work(file, 0.15)
    return n + 1


@node(effect=True)
def paid(n: int, file: str) -> int:
    work(file, 0.1)
    return n * 10


@node
def rows(file: str, count: int) -> list[list[int]]:
    work(file, 0.02)
    return [list(range(length)) for length in range(1, count + 1)]


@node
def totals(items: list[list[int]], file: str) -> int:
    work(file, 0.05)
    return sum(map(sum, items))


@node(retry=Retry(attempts=3, delay_s=0.2))
def stumbling(n: int, file: str) -> int:
    work(file, 0.05)
    if current_node().attempt <= 1 + n % 2:
        raise ConnectionError("not yet")
    return n + 100


@node(retry=PATIENT)
def piece(n: int, file: str) -> bytes:
    work(file, 0.1)
    return random.Random(n).randbytes(PIECE_BYTES)


@node(retry=PATIENT)
def mixed(left: bytes, right: bytes, file: str) -> bytes:
    work(file, 0.1)
    return left[::2] + right[1::2]


@node(retry=PATIENT)
def digested(parts: list[bytes], file: str) -> str:
    work(file, 0.1)
    return hashlib.sha256(b"".join(parts)).hexdigest()


def heard(notice: Notice) -> str:
    """A hook."""
    return notice.workflow


@workflow(on_completion=heard)
def fan_out(file: str):
    return total(squared.map(numbers(file, 20), file), file)


@workflow
def chain(file: str):
    return raised(raised(paid(raised(raised(raised(1, file), file), file), file), file), file)


@workflow
def nested(file: str):
    return totals(squared.map(each(each(rows(file, 5))), file), file)


@workflow
def retried(file: str):
    return total(stumbling.map(numbers(file, 6), file), file)


@workflow(on_completion=[heard, heard])
def delayed(file: str):
    return raised(delay(seconds=DELAY_S, value=total(squared.map(numbers(file, 4), file), file)), file)


@workflow
def child(n: int, file: str):
    return total([squared(n, file), raised(n, file)], file)


@workflow
def parent(file: str):
    return total(child.map(numbers(file, 4), file=file), file)


@workflow
def moved(file: str):
    return digested(mixed.map(piece.map(numbers(file, 3), file), piece.map([7, 8, 9], file), file), file)


WORKFLOWS: tuple[Workflow[..., object], ...] = (fan_out, chain, nested, retried, delayed, parent, moved)
