"""Who follows an execution is told when nothing can go on, and that a database was away."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.cli.test_live import RECORD
from wfplatform.cli import executions
from wfplatform.cli import lookout as lookout_module
from wfplatform.cli.executions import logs
from wfplatform.cli.lookout import Lookout
from wfplatform.cli.screen import Screen
from wfplatform.core.execution import ExecutionState
from wfplatform.core.record import ExecutionRecord, LogRecord, Page
from wfplatform.errors import PlatformError, UnreachableError

LINE = LogRecord(
    at=RECORD.created_at, node="load", element=(), attempt=1, line=1, level=20, logger="", message="read"
)  # fmt: skip


class FakePlatform:
    """Answers as told, one look after the other.

    Args:
        looks: what reading lines comes to.
        trouble: what `check` raises.
    """

    def __init__(self, *looks: Sequence[LogRecord] | UnreachableError, trouble: PlatformError | None = None) -> None:
        self.looks = list(looks)
        self.trouble = trouble
        self.checked = 0
        self.executions = self.reader = self
        self.id = RECORD.id

    def changed(self, version: int, timeout_s: float) -> int:
        return version + 1

    def check(self) -> None:
        self.checked += 1
        if self.trouble is not None:
            raise self.trouble

    def execution(self, _: str) -> FakePlatform:
        return self

    @property
    def record(self) -> ExecutionRecord:
        """It ends with the last look."""
        return replace(RECORD, state=ExecutionState.RUNNING if len(self.looks) > 1 else ExecutionState.COMPLETED)

    def logs(self, *_: Any, **__: Any) -> Page[LogRecord]:
        found = self.looks.pop(0)
        if isinstance(found, UnreachableError):
            raise found
        return Page(found, "after")


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout_module, "time", SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: None))


def follow(platform: FakePlatform, monkeypatch: pytest.MonkeyPatch) -> int:
    @contextmanager
    def connected(_: Screen) -> Iterator[Any]:
        yield platform

    monkeypatch.setattr(executions, "connected", connected)
    return logs(Screen(), str(RECORD.id), follow=True)


def test_following_lines_ends_when_nothing_can_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    platform = FakePlatform([LINE], [], [], trouble=PlatformError("no_engine", "No engine runs.", "See the log."))
    with pytest.raises(PlatformError, match=r"No engine runs\.") as caught:
        follow(platform, monkeypatch)
    assert caught.value.code == "no_engine"
    assert caught.value.hint == f"See the log. Watch it again with `wfp executions logs {RECORD.id} --follow`."
    assert "load: read" in capsys.readouterr().out, "what there was is shown first"


def test_following_lines_outlasts_a_database_that_is_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    away = UnreachableError("database_unreachable", "The database does not answer.")
    platform = FakePlatform([LINE], away, away, [LINE], [])
    assert follow(platform, monkeypatch) == 0
    told = capsys.readouterr()
    assert told.out.count("load: read") == 2
    assert told.err.count("The database does not answer. Asking again.") == 1
    assert platform.checked == 4


def test_a_database_that_never_answered_or_stays_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    away = UnreachableError("database_unreachable", "The database does not answer.")
    with pytest.raises(UnreachableError):
        follow(FakePlatform(away, [LINE], []), monkeypatch)
    now_s = [0.0]
    monkeypatch.setattr(lookout_module, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    platform: Any = FakePlatform()
    lookout = Lookout(platform, "wfp executions show 7 --watch")
    with lookout.look():
        pass
    for now_s[0] in (10.0, 69.0):
        with lookout.look():
            raise away
        assert lookout.trouble == "The database does not answer."
    now_s[0] = 71.0
    with pytest.raises(UnreachableError) as caught, lookout.look():
        raise away
    assert "watch it with `wfp executions show 7 --watch`" in caught.value.hint
