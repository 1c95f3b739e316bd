"""The end of the parent is noticed, and only where there is one."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from wfplatform.worker.parent import on_parent_end


def test_the_end_of_the_pipe_is_told_once() -> None:
    reading, writing = os.pipe()
    ended = threading.Event()
    assert on_parent_end(ended.set, descriptor=reading)
    os.write(writing, b"still here")
    assert not ended.is_set()
    os.close(writing)
    assert ended.wait(10)
    os.close(reading)


def test_what_is_no_pipe_is_not_watched() -> None:
    calls: list[str] = []
    with Path(os.devnull).open("rb") as nothing:
        assert not on_parent_end(lambda: calls.append("ended"), descriptor=nothing.fileno())
    assert calls == []
