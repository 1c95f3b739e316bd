"""The engine's loop: batches, looks into the database, and what it does when that does not answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Any
from uuid import UUID

import pytest

from wfplatform.engine.cluster import OutcomesArrived
from wfplatform.engine.loop import EngineLoop, Lease, Wake
from wfplatform.errors import ConflictError, UnreachableError

WAIT_S = 10.0


class Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        return monotonic()


class Engine:
    """Writes down its turns; `does` may raise or say that there is more."""

    def __init__(self, does: Callable[[int], bool] = lambda turn: False) -> None:
        self.engine_id = UUID(int=1)
        self.next_timer_at: datetime | None = None
        self.patience_s: float | None = None
        self.turns: list[tuple[list[Any], bool]] = []
        self.taken_over = 0
        self._does = does

    def turn(self, reports: Sequence[Any] = (), *, look: bool = False) -> bool:
        self.turns.append((list(reports), look))
        return self._does(len(self.turns))

    def take_over(self, engine_id: UUID) -> int:
        self.taken_over += 1
        return 0


class Running:
    """A loop in a thread of its own."""

    def __init__(self, engine: Engine, poll_s: float = 3600.0) -> None:
        self.engine = engine
        self.loop = EngineLoop(engine, engine, clock=Clock(), poll_s=poll_s)  # type: ignore[arg-type]
        self.raised: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.loop.run()
        except ConflictError as error:
            self.raised = error

    def until(self, holds: Callable[[], bool]) -> None:
        limit_s = monotonic() + WAIT_S
        while not holds():
            assert monotonic() < limit_s, self.engine.turns

    def stop(self) -> None:
        self.loop.stop()
        self._thread.join(timeout=WAIT_S)
        assert not self._thread.is_alive()


def test_it_looks_at_once_and_then_only_when_it_is_called() -> None:
    running = Running(Engine())
    running.until(lambda: len(running.engine.turns) == 1)
    running.loop.post(OutcomesArrived(b"1"))
    running.until(lambda: len(running.engine.turns) == 2)
    running.loop.post(Wake())
    running.until(lambda: len(running.engine.turns) == 3)
    running.stop()
    assert running.engine.turns == [([], True), ([OutcomesArrived(b"1")], False), ([], True)]
    assert running.engine.taken_over == 1


def held_in_its_first_turn() -> tuple[Running, threading.Event]:
    """A loop that stays in its first turn until the event is set."""
    entered, go_on = threading.Event(), threading.Event()

    def hold(turn: int) -> bool:
        if turn == 1:
            entered.set()
            go_on.wait(WAIT_S)
        return False

    running = Running(Engine(hold))
    assert entered.wait(WAIT_S)
    return running, go_on


def test_what_came_in_meanwhile_is_one_batch() -> None:
    running, go_on = held_in_its_first_turn()
    for body in (b"1", b"2", b"3"):
        running.loop.post(OutcomesArrived(body))
    go_on.set()
    running.until(lambda: len(running.engine.turns) == 2)
    running.stop()
    assert running.engine.turns[1] == ([OutcomesArrived(b"1"), OutcomesArrived(b"2"), OutcomesArrived(b"3")], False)


def test_a_batch_is_bounded_by_what_its_messages_hold() -> None:
    running, go_on = held_in_its_first_turn()
    for _ in range(10):
        running.loop.post(OutcomesArrived(b"x" * 300_000))
    go_on.set()
    running.until(lambda: sum(len(reports) for reports, _ in running.engine.turns) == 10)
    running.stop()
    assert [len(reports) for reports, _ in running.engine.turns[1:6]] == [2] * 5


def test_while_there_is_more_it_does_not_wait() -> None:
    running = Running(Engine(lambda turn: turn < 4))
    running.until(lambda: len(running.engine.turns) == 4)
    running.stop()
    assert [look for _, look in running.engine.turns] == [True] * 4


def test_reports_survive_a_database_that_does_not_answer() -> None:
    def fail_once(turn: int) -> bool:
        if turn == 2:
            raise UnreachableError("database_down", "It does not answer.")
        return False

    running = Running(Engine(fail_once))
    running.until(lambda: len(running.engine.turns) == 1)
    running.loop.post(OutcomesArrived(b"1"))
    running.until(lambda: len(running.engine.turns) == 2)
    running.loop.post(OutcomesArrived(b"2"))
    running.until(lambda: [OutcomesArrived(b"1"), OutcomesArrived(b"2")] == running.engine.turns[-1][0])
    running.stop()


def test_an_engine_that_was_fenced_off_stops() -> None:
    def fenced(turn: int) -> bool:
        raise ConflictError("fenced", "Another engine has taken over.")

    running = Running(Engine(fenced))
    running.until(lambda: running.raised is not None)
    running.stop()


@pytest.mark.parametrize("held", [True, False])
def test_a_lease_is_kept_until_it_is_lost(held: bool) -> None:
    renewed = threading.Event()
    lost = threading.Event()

    class Leases(Engine):
        def renew(self, engine_id: UUID, *, lease_s: float) -> bool:
            renewed.set()
            return held

    lease = Lease(UUID(int=1), Leases(), lease_s=0.01, clock=Clock(), on_lost=lost.set)  # type: ignore[arg-type]
    lease.start()
    assert renewed.wait(WAIT_S)
    if not held:
        assert lost.wait(WAIT_S)
    lease.close()
    assert (lease.lost, lost.is_set()) == (not held, not held)
