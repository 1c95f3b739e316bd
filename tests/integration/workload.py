"""Nodes for the tests of running workflows. Light, because every new worker process imports this module anew."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from wfplatform import Retry, current_node, node

WAIT_S = 20.0


def tell(file: str, word: object) -> None:
    """Append a line, in one write."""
    with Path(file).open("a", encoding="utf-8") as out:
        out.write(f"{word}\n")


def wait_for(file: str) -> None:
    """Wait until a file is there."""
    until_s = time.monotonic() + WAIT_S
    while not Path(file).exists():
        assert time.monotonic() < until_s
        time.sleep(0.01)


def has_company(file: str, count: int) -> bool:
    """Whether so many, this one among them, have told of this process."""
    return Path(file).read_text(encoding="utf-8").splitlines().count(str(os.getpid())) >= count


def may_go(file: str) -> bool:
    """Whether a file is there, if one is named."""
    return not file or Path(file).exists()


def hold_interpreter() -> None:
    """Sleep in native code without letting any other Python thread run."""
    ctypes.PyDLL(None).sleep(1000)


def die(kind: str) -> None:
    """End this process in some way."""
    if kind == "exit":
        os._exit(3)
    if kind == "segfault":
        ctypes.string_at(0)
    if kind == "memory":
        held = []
        while True:
            held.append(bytes(bytearray(os.urandom(1_000)) * 100_000))
            time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGKILL)


@node
def where(n: int) -> int:
    return os.getpid()


@node
def square(n: int) -> int:
    return n * n


@node
def total(items: list[int]) -> int:
    return sum(items)


@node
def touch(n: int, mark: str) -> int:
    tell(mark, n)
    return n


@node
def hold(mark: str) -> int:
    """Occupy a worker until told."""
    tell(f"{mark}.held", os.getpid())
    wait_for(f"{mark}.go")
    return os.getpid()


@node
def measure_held(pid: int) -> int:
    return int(pid > 0)


@node
def hold_first(n: int, mark: str) -> int:
    """The first one waits for the last."""
    if n == 0:
        wait_for(f"{mark}.5")
    tell(f"{mark}.{n}", n)
    return n


@node
def talk(n: int) -> int:
    print("printed", n)
    print("to standard error", n, file=sys.stderr)
    print("no end of line", n, end="")
    logging.getLogger("my.module").warning("logged %d", n)
    current_node().log.info("noted", extra={"rows": n})
    warnings.warn(f"careful {n}", UserWarning, stacklevel=1)
    return n


@node(io=True)
def chatter(n: int) -> int:
    for turn in range(20):
        print(f"{n} says {turn}")
        time.sleep(0.005)
    return n


@node
def watched(mark: str) -> str:
    print("began")
    current_node().progress(0.25, "a quarter")
    wait_for(mark)
    return "done"


@node
def small() -> int:
    return 1


@node
def large(_: int) -> int:
    held = bytearray(300_000_000)
    held[::4096] = b"x" * len(held[::4096])
    return len(held)


@node
def busy(_: int) -> int:
    until_s = time.thread_time() + 0.2
    turns = 0
    while time.thread_time() < until_s:
        turns += 1
    return turns


@node
def wandering(where: str) -> str:
    before = os.getcwd()  # noqa: PTH109  # the folder may be gone
    folder = Path(where).absolute()
    folder.mkdir()
    os.chdir(folder)
    folder.rmdir()
    return before


@node
def scratching(kind: str, mark: str) -> str:
    folder = current_node().scratch
    (folder / "inside").mkdir()
    (folder / "inside" / "large.bin").write_bytes(b"0" * 1000)
    tell(mark, folder)
    if kind == "raises":
        raise ValueError("no")
    if kind == "dies":
        die("kill")
    return str(folder)


@node
def endless(kind: str, mark: str) -> None:
    """Never returns: it asks, sleeps, spins, holds the interpreter, or swallows what is raised to stop it."""
    tell(mark, os.getpid())
    if kind == "holds later":
        wait_for(f"{mark}.known")
        tell(f"{mark}.holds", os.getpid())
        hold_interpreter()
    while True:
        if kind == "asks":
            current_node().check_cancelled()
            time.sleep(0.01)
        elif kind == "sleeps":
            time.sleep(1000)
        elif kind == "holds":
            hold_interpreter()
        elif kind == "swallows":
            try:
                time.sleep(0.01)
            except BaseException:
                print("not me")
        elif kind == "naps":
            time.sleep(0.01)


@node(timeout_s=2, retry=Retry(attempts=2, delay_s=0))
def slow_once(mark: str) -> int:
    tell(mark, "try")
    if current_node().attempt == 1:
        time.sleep(1000)
    return current_node().attempt


@node
def wrong(kind: str) -> int:
    if kind == "exit":
        sys.exit("leaving")
    if kind == "interrupt":
        raise KeyboardInterrupt
    return 1 // int("0")  # the line in question


@node
def frame(rows: int) -> Any:
    import pandas as pd

    return pd.DataFrame({"a": range(rows), "b": range(rows)})


@node
def count(items: Any) -> int:
    return len(items)


@node
def text(length: int) -> str:
    return "x" * length


@node
def facts() -> dict[str, Any]:
    return {"rows": 3, "names": ["a", "b"], "none": None, "share": 0.5}


@node
def poison(kind: str, mark: str) -> int:
    tell(mark, os.getpid())
    die(kind)
    return 0


@node(io=True)
def company(n: int, mark: str) -> int:
    """One of several that wait beside each other; the fourth kills those that are beside it, and at later tries itself."""
    tell(mark, os.getpid())
    if n != 3:
        wait_for(f"{mark}.killed")
        return n
    if not Path(f"{mark}.killed").exists():
        until_s = time.monotonic() + WAIT_S
        while not has_company(mark, 2):
            assert time.monotonic() < until_s
            time.sleep(0.01)
        tell(f"{mark}.killed", os.getpid())
    die("kill")
    return n


@node
def nap(n: int, seconds: float = 0.02) -> int:
    time.sleep(seconds)
    return n


@node
def listed(mark: str) -> list[int]:
    tell(mark, "listed")
    return list(range(50_000))  # too large for a row: it has to be read again as an artifact


@node
def measured(items: list[int], mark: str) -> int:
    tell(mark, "measured")
    tell(f"{mark}.pid", os.getpid())
    if len(Path(mark).read_text(encoding="utf-8").split()) == 2:
        time.sleep(WAIT_S)
    return len(items)


@node
def raised(n: int, mark: str) -> int:
    tell(mark, "raised")
    return n + 1


@node
def load(n: int, mark: str) -> bytes:
    tell(mark, n)
    return bytes(100_000)


@node
def join(parts: list[bytes], mark: str) -> int:
    wait_for(f"{mark}.go")
    return sum(map(len, parts))


@node
def slow(n: int, mark: str) -> int:
    tell(mark, n)
    time.sleep(0.1)
    return n


@node
def spell(n: int, mark: str) -> tuple[int, float, float]:
    """Where and when it ran, CPU-bound as far as anybody can tell."""
    began_s = time.monotonic()
    tell(mark, n)
    time.sleep(0.1)
    return os.getpid(), began_s, time.monotonic()


@node
async def ask(n: int, mark: str, beside: int = 1, go: str = "") -> tuple[int, float, float]:
    """Wait until so many have begun in this process, and for a file if one is named."""
    began_s = time.monotonic()
    tell(mark, os.getpid())
    while not (has_company(mark, beside) and may_go(go)):
        assert time.monotonic() < began_s + WAIT_S
        await asyncio.sleep(0.01)
    return os.getpid(), began_s, time.monotonic()


@node(io=True)
def fetch(n: int, mark: str, beside: int = 1) -> tuple[int, float, float]:
    """Wait until so many have begun in this process."""
    began_s = time.monotonic()
    tell(mark, os.getpid())
    while not has_company(mark, beside):
        assert time.monotonic() < began_s + WAIT_S
        time.sleep(0.01)
    return os.getpid(), began_s, time.monotonic()


@node
def table(count: int) -> list[dict[str, Any]]:
    """Rows, more than stand in a record."""
    return [{"number": number, "text": "x" * 500} for number in range(count)]


@node(retry=Retry(attempts=2, delay_s=0.0))
def read_row(row: dict[str, Any], mark: str, go: str) -> int:
    """Fails for each thirtieth row; waits before others, once it is told where."""
    number = int(row["number"])
    tell(mark, number)
    logging.getLogger("rows").warning("row %d", number)
    if number % 30 == 0:
        raise ValueError(f"row {number} is bad") if number % 60 else LookupError(f"row {number} is nowhere")
    if go and current_node().attempt > 2:
        wait_for(go)
    return number
