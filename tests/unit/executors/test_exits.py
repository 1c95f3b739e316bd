"""Why a worker ended, in words."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from wfplatform.executors.exits import GIVEN_UP_EXIT_CODE, Exits


def event(**facts: Any) -> tuple[float, dict[str, Any]]:
    return 0.0, {"worker": "tcp://w", **facts}


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-signal.SIGSEGV, "crashed in native code (SIGSEGV)"),
        (-signal.SIGKILL, "was killed (SIGKILL)"),
        (-signal.SIGALRM, "longer than its timeout"),
        (-31, "signal 31"),
        (GIVEN_UP_EXIT_CODE, "did not stop when it was told to"),
        (3, "exit code 3"),
    ],
)
def test_exit_codes_are_told_in_words(code: int, words: str) -> None:
    exits = Exits()
    exits.ended(event(exitcode=code))
    assert words in exits.reason("tcp://w")


def test_memory_explains_the_signal_that_follows_or_came_before() -> None:
    for first_memory in (True, False):
        exits = Exits()
        told = [
            lambda e=exits: e.too_large(event(pid=1, rss=5_000_000_000)),
            lambda e=exits: e.ended(event(exitcode=-15)),
        ]
        for tell in told if first_memory else reversed(told):
            tell()
        assert "more memory than it may (5,000 MB)" in exits.reason("tcp://w")


def test_what_nobody_told_is_not_guessed_and_little_is_kept() -> None:
    exits = Exits()
    assert "crashed, was killed, used too much memory, or its machine went away" in exits.reason("tcp://unknown")
    for n in range(1100):
        exits.ended((0.0, {"worker": f"tcp://{n}", "exitcode": 1}))
    assert "exit code 1" in exits.reason("tcp://1099")
    assert "exit code" not in exits.reason("tcp://0")
