"""When temporary files are swept: at the start and once a day, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from tests.unit.artifacts.sweeper import PATIENCE_S, quiet
from wfplatform.artifacts.sweep import Sweeping
from wfplatform.errors import StorageError

DAY_S = 86_400.0


class Folder:
    """Counts how often it was swept, and does what it is told then."""

    def __init__(self, does: Callable[[], int] = lambda: 0) -> None:
        self.now_s = 1000.0
        self.swept: list[str] = []
        self.does = does
        self.sweeping = Sweeping(self._sweep, monotonic_s=lambda: self.now_s)

    def _sweep(self) -> int:
        self.swept.append(threading.current_thread().name)
        return self.does()

    def look(self, times: int = 3) -> int:
        """Housekeeping, several times; how often it was swept altogether when all is done."""
        for _ in range(times):
            self.sweeping.look_after()
            quiet()
        return len(self.swept)


def test_it_is_swept_at_the_start_and_once_a_day_elsewhere_than_here() -> None:
    folder = Folder()
    assert folder.look() == 1
    folder.now_s += DAY_S - 1
    assert folder.look() == 1
    folder.now_s += 1
    assert folder.look() == 2
    assert set(folder.swept) == {"wfplatform-sweep"}


def test_one_that_takes_long_holds_nobody_up_and_is_not_joined_by_another() -> None:
    go = threading.Event()
    folder = Folder(lambda: int(go.wait(PATIENCE_S)))
    folder.sweeping.look_after()
    folder.now_s += 3 * DAY_S
    for _ in range(3):
        folder.sweeping.look_after()
    assert len(folder.swept) == 1
    go.set()
    quiet()
    assert folder.look() == 2


@pytest.mark.parametrize("error", [StorageError("storage_closed", "No entry."), OSError("No entry.")], ids=repr)
def test_what_fails_is_told_and_tried_again_in_an_hour(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> int:
        raise error

    folder = Folder(fail)
    assert folder.look() == 1
    (line,) = caplog.records
    assert (line.levelno, line.getMessage()) == (logging.WARNING, "not swept")
    assert line.__dict__["what"] == "temporary files"
    assert "No entry." in line.__dict__["reason"]
    folder.does = lambda: 7
    folder.now_s += 3599
    assert folder.look() == 1
    folder.now_s += 1
    assert folder.look() == 2


def test_what_was_removed_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    folder = Folder(lambda: 7)
    folder.look()
    folder.does = lambda: 0
    folder.now_s += DAY_S
    folder.look()
    (line,) = caplog.records
    assert (line.getMessage(), line.__dict__["removed"]) == ("swept", 7)
