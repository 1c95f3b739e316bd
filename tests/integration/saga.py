"""Nodes that can be undone, for tests of running workflows; what they do is lines in a file outside the platform."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from tests.integration.workload import hold_interpreter, tell, wait_for
from wfplatform import NodeStopped, Retry, current_node, node

TRIES = Retry(attempts=3, delay_s=0)


@node(retry=TRIES)
def refund(result: str | None, name: str, mark: str) -> None:
    """Takes back a charge, the second time only."""
    if current_node().attempt == 1:
        raise ConnectionError("not now")
    tell(mark, f"refund {name} {result}")


@node(undo=refund)
def charge(name: str, mark: str) -> str:
    tell(mark, f"charge {name}")
    return f"paid-{name}"


def unbook(result: str, seat: int, mark: str) -> None:
    tell(mark, f"unbook {seat} {result}")


def sweep(seat: int, mark: str) -> None:
    tell(mark, f"sweep {seat}")


@node(undo=unbook, cleanup=sweep)
def book(seat: int, paid: str, mark: str, bad: int = -1) -> str:
    tell(mark, f"book {seat}")
    if seat == bad:
        raise ValueError("taken")
    return f"seat-{seat}"


def recall(result: str, mark: str) -> None:
    tell(mark, f"recall {result}")


@node(undo=recall)
def announce(seats: list[str], mark: str) -> str:
    tell(mark, f"announce {len(seats)}")
    return "told"


def lose_letter(result: str, mark: str) -> None:
    raise OSError("the letter is gone")


@node(undo=lose_letter)
def letter(mark: str, before: Any = None) -> str:
    tell(mark, "letter")
    return "sent"


@node
def hold_until(go: str, mark: str, before: Any = None) -> int:
    """Waits for a file, without asking anybody."""
    tell(mark, "hold")
    wait_for(go)
    return 1


@node
def fail(before: Any = None) -> None:
    raise RuntimeError("no more")


@node
def fail_until(file: str, before: Any = None) -> str:
    """Fails as long as a file is not there."""
    if not os.path.exists(file):  # noqa: PTH110 - light
        raise RuntimeError("not yet")
    return "well"


@node(cleanup=sweep)
def stubborn(seat: int, kind: str, mark: str) -> None:
    """Runs until it is stopped, which it takes in its own way."""
    tell(mark, "begin")
    try:
        if kind == "asks":
            while not current_node().cancelled:
                time.sleep(0.01)
            tell(mark, "asked")
            current_node().check_cancelled()
        while kind == "spins":
            time.sleep(0.01)
        while kind == "ignores":
            try:
                time.sleep(0.01)
            except NodeStopped:
                tell(mark, "ignored")
        if kind == "holds":
            time.sleep(0.5)  # so long that it is known where it runs
            tell(mark, "holding")
            hold_interpreter()
    finally:
        tell(mark, "finally")


@node(io=True, cleanup=sweep)
def stubborn_io(seat: int, kind: str, mark: str) -> None:
    """The same, in the lane of nodes that wait."""
    stubborn.function(seat, kind, mark)


@node(cleanup=sweep)
async def stubborn_async(seat: int, kind: str, mark: str) -> None:
    """The same, as a coroutine."""
    tell(mark, "begin")
    try:
        while not (kind == "asks" and current_node().cancelled):
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                if kind != "ignores":
                    await asyncio.sleep(0.2)
                    raise
                tell(mark, "ignored")
        tell(mark, "asked")
        current_node().check_cancelled()
    finally:
        tell(mark, "finally")


@node(undo=refund, effect="ask")
def charge_and_die(name: str, mark: str) -> str:
    """An effect that happens, and of which nobody hears."""
    tell(mark, f"charge {name}")
    os._exit(9)


def slow(result: int, go: str, mark: str) -> None:
    tell(mark, "slow")
    wait_for(go)


@node(undo=slow)
def slow_undone(go: str, mark: str, before: Any = None) -> int:
    return 1
