"""What goes wrong: each kind of trouble strikes once when it is called, and says what it did and by when life has to go on.

Refuses to take two workers from the same element: that one is given up, and rightly so.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import psutil

from tests.chaos.platforms import Harmed
from tests.chaos.witness import Line, read_lines

__all__ = ["ANYWHERE", "APART", "EMBEDDED", "NETWORKED", "Blow", "Fate", "Kind"]

FIND_S = 4.0
"""How long a moment is waited for that suits a kind of trouble."""
NODE_S = 0.1
"""Most attempts take so long."""
AWAY_S = 20.0
FULL_S = 3.0
FULL_BYTES = 1_000_000
SKEW_S = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """What was done.

    Attributes:
        kind: which trouble.
        at: when.
        since: from when on life has to go on.
        detail: to whom.
        taken: executions that another engine has to take.
    """

    kind: str
    at: datetime
    since: datetime
    detail: str
    taken: frozenset[UUID] = frozenset()


@dataclass(slots=True, kw_only=True)
class Fate:
    """Whom it strikes.

    Args:
        harmed: which platform.
        random: chooses.
    """

    harmed: Harmed
    random: Random
    struck: set[tuple[UUID, str, tuple[int, ...]]] = field(default_factory=set)

    def engine(self) -> int:
        """An engine that owns something, if there is one."""
        pids: list[int] = []
        until_s = time.monotonic() + FIND_S
        while time.monotonic() < until_s:
            pids = self.harmed.engine_pids()
            busy = [pid for pid in pids if self.harmed.witness.owned(pid)]
            if busy:
                return self.random.choice(busy)
            time.sleep(0.05)
        assert pids, "no engine runs"
        return self.random.choice(pids)

    def worker(self, suits: Callable[[Line, datetime], bool]) -> int:
        """A worker process whose newest attempt suits; after a while any that may be taken."""
        began_s = time.monotonic()
        while True:
            newest = {line.pid: line for line in read_lines(self.harmed.lines)}
            free = [pid for pid in self.harmed.worker_pids() if pid not in newest or self._may(newest[pid])]
            now = datetime.now(UTC)
            found = [pid for pid in free if pid in newest and suits(newest[pid], now)]
            if not found and time.monotonic() - began_s > FIND_S:
                found = free
            if found:
                pid = self.random.choice(sorted(found))
                if pid in newest:
                    self.struck.add(newest[pid].key)
                return pid
            assert time.monotonic() - began_s < 6 * FIND_S, "no worker process is there"
            time.sleep(0.005)

    def _may(self, line: Line) -> bool:
        return line.key not in self.struck


type Kind = Callable[[Fate], Blow]


def engine_killed(fate: Fate) -> Blow:
    pid = fate.engine()
    return _killed("engine_killed", pid, f"engine {pid}", fate.harmed.witness.owned(pid))


def engine_skewed(fate: Fate) -> Blow:
    """The next engine has another clock than the database and the workers."""
    by_s = fate.random.choice((-SKEW_S, SKEW_S))
    fate.harmed.skew.write_text(str(by_s), encoding="ascii")
    pid = fate.engine()
    words = f"engine {pid}; the next one's clock is wrong by {by_s} s"
    return _killed("engine_skewed", pid, words, fate.harmed.witness.owned(pid))


def engine_frozen(fate: Fate) -> Blow:
    """For longer than its lease. Another one takes its executions, if there is one; else it goes on when it wakes."""
    pid, lease_s = fate.engine(), fate.harmed.lease_s
    has_peer = len(fate.harmed.engine_pids()) > 1
    owned = fate.harmed.witness.owned(pid)
    at = _signalled(pid, signal.SIGSTOP)
    time.sleep(lease_s * 1.2 + fate.random.uniform(0.0, 2.0))
    woken_at = _signalled(pid, signal.SIGCONT)
    since, taken = (at + timedelta(seconds=lease_s), owned) if has_peer else (woken_at, set())
    return Blow(kind="engine_frozen", at=at, since=since, detail=f"engine {pid}", taken=frozenset(taken))


def worker_killed_in_node(fate: Fate) -> Blow:
    pid = fate.worker(lambda line, now: now - line.at < timedelta(seconds=NODE_S / 2))
    return _killed("worker_killed_in_node", pid, f"worker {pid}")


def worker_killed_between(fate: Fate) -> Blow:
    pid = fate.worker(lambda line, now: now - line.at > timedelta(seconds=NODE_S))
    return _killed("worker_killed_between", pid, f"worker {pid}")


def worker_killed_moving(fate: Fate) -> Blow:
    """The one that has the large values, when others begin to need them."""
    pid = fate.worker(lambda line, now: line.node.startswith("piece") and now - line.at > timedelta(seconds=NODE_S))
    return _killed("worker_killed_moving", pid, f"worker {pid}")


def scheduler_killed(fate: Fate) -> Blow:
    pid = fate.harmed.scheduler_pid()
    return _killed("scheduler_killed", pid, f"scheduler {pid}")


def database_restarted(fate: Fate) -> Blow:
    at = datetime.now(UTC)
    fate.harmed.kill_database()
    fate.harmed.start_database()
    return Blow(kind="database_restarted", at=at, since=at, detail="stopped at once, and started again")


def database_away(fate: Fate) -> Blow:
    at = datetime.now(UTC)
    fate.harmed.kill_database()
    time.sleep(AWAY_S)
    fate.harmed.start_database()
    return Blow(kind="database_away", at=at, since=datetime.now(UTC), detail=f"for {AWAY_S:g} s")


def storage_full(fate: Fate) -> Blow:
    """Workers can write no file of more than a megabyte, and then they can again."""
    at = datetime.now(UTC)
    pids = fate.harmed.worker_pids()
    for pid in pids:
        _limit_files(pid, FULL_BYTES)
    time.sleep(FULL_S)
    for pid in pids:
        _limit_files(pid, None)
    return Blow(kind="storage_full", at=at, since=datetime.now(UTC), detail=f"to {len(pids)} workers, for {FULL_S:g} s")


def cut_from_scheduler(fate: Fate) -> Blow:
    proxy = fate.harmed.way_to_scheduler
    assert proxy is not None
    at, away_s = datetime.now(UTC), fate.random.uniform(5.0, AWAY_S)
    proxy.cut()
    time.sleep(away_s)
    proxy.mend()
    return Blow(kind="cut_from_scheduler", at=at, since=datetime.now(UTC), detail=f"for {away_s:.1f} s")


def cut_from_database(fate: Fate) -> Blow:
    """Shorter or longer than a lease."""
    proxy = fate.harmed.way_to_database
    assert proxy is not None
    at, away_s = datetime.now(UTC), fate.random.uniform(1.0, 3 * fate.harmed.lease_s)
    proxy.cut()
    time.sleep(away_s)
    proxy.mend()
    return Blow(kind="cut_from_database", at=at, since=datetime.now(UTC), detail=f"for {away_s:.1f} s")


def slow_link(fate: Fate) -> Blow:
    """Half a second late, and one connection in twenty broken each second."""
    ways = [way for way in (fate.harmed.way_to_database, fate.harmed.way_to_scheduler) if way is not None]
    at = datetime.now(UTC)
    for way in ways:
        way.slow(0.5, 0.05, fate.random)
    time.sleep(fate.random.uniform(6.0, 10.0))
    for way in ways:
        way.mend()
    return Blow(kind="slow_link", at=at, since=datetime.now(UTC), detail="both ways of the engines")


def _killed(kind: str, pid: int, detail: str, taken: set[UUID] | None = None) -> Blow:
    at = _signalled(pid, signal.SIGKILL)
    return Blow(kind=kind, at=at, since=at, detail=detail, taken=frozenset(taken or ()))


def _signalled(pid: int, order: signal.Signals) -> datetime:
    at = datetime.now(UTC)
    try:
        os.kill(pid, order)
    except ProcessLookupError:  # it has just ended by itself
        return at
    return at


def _limit_files(pid: int, size_bytes: int | None) -> None:
    try:
        process = psutil.Process(pid)
        _, hard = process.rlimit(psutil.RLIMIT_FSIZE)
        process.rlimit(psutil.RLIMIT_FSIZE, (hard if size_bytes is None else size_bytes, hard))
    except psutil.Error:  # it has ended: who takes its place has no limit
        return


ANYWHERE: tuple[Kind, ...] = (
    engine_killed,
    engine_skewed,
    worker_killed_in_node,
    worker_killed_between,
    worker_killed_moving,
    scheduler_killed,
    database_restarted,
    storage_full,
)
NETWORKED: tuple[Kind, ...] = (engine_frozen, database_away, cut_from_scheduler, cut_from_database, slow_link)
EMBEDDED: tuple[Kind, ...] = (*ANYWHERE, engine_frozen)
APART: tuple[Kind, ...] = (*ANYWHERE, *NETWORKED)
