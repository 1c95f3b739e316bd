"""An engine process in a world: the orchestrator and loop that production runs, without their threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from uuid import UUID

from wfplatform.core.announcement import ENGINE_CHANNEL
from wfplatform.core.ports import Commit
from wfplatform.engine.cluster import ClusterReport
from wfplatform.engine.costs import Costs
from wfplatform.engine.loop import AWAY_S, EngineLoop, Lease
from wfplatform.engine.options import EngineOptions
from wfplatform.engine.orchestrator import Orchestrator
from wfplatform.engine.shared_clock import SharedClock
from wfplatform.engine.testing.faulty_store import Crashed, FaultyStore, StoreFaults
from wfplatform.engine.testing.memory import MemoryStore
from wfplatform.engine.testing.simulated_cluster import SimulatedCluster
from wfplatform.engine.testing.world import World, WorldClock, WorldIds
from wfplatform.errors import ConflictError

__all__ = ["Habits", "Office", "SimulatedEngine"]

_RESTART_S: Final = (0.2, 2.0)


class Office(Protocol):
    """What the engines of a world share with those who watch them."""

    def publish(self, digest: str, body: bytes) -> None:
        """Put a program where workers find it."""
        ...

    def call(self, channel: str, payloads: Iterable[str]) -> None:
        """Tell whoever listens."""
        ...

    def written(self, engine: UUID, commit: Commit) -> None:
        """A commit is about to be done."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How an engine works.

    Args:
        options: of its orchestrator.
        lease_s: how long its lease holds.
        faults: what goes wrong between it and the store.
    """

    options: EngineOptions
    lease_s: float = 2.0
    faults: StoreFaults = field(default_factory=StoreFaults)


class SimulatedEngine:
    """A process that runs an engine, and another one when that has ended.

    Args:
        name: whose.
        world: where it is.
        store: what all engines share.
        cluster: likewise.
        ids: makes identifiers.
        office: what else they share.
        habits: how it works.
        rate: seconds that its machine counts in a true one.
    """

    def __init__(
        self,
        name: str,
        world: World,
        store: MemoryStore,
        cluster: SimulatedCluster,
        ids: WorldIds,
        office: Office,
        habits: Habits,
        *,
        rate: float = 1.0,
    ) -> None:
        self.name: Final = name
        self._world = world
        self._shared = store
        self._cluster = cluster
        self._ids = ids
        self._office = office
        self._habits = habits
        self._machine = WorldClock(world, rate)
        self._life = 0
        self._inbox: list[ClusterReport] = []
        self._woken = False
        self._due_s: float | None = None
        self._faults = habits.faults
        self.alive = False
        self._begin()

    # -- what others do to it

    def wake(self) -> None:
        """Somebody says that the database has something new."""
        if self.alive:
            self._woken = True
            self._step_in(self._world.between(0.0005, 0.01))

    def kill(self) -> None:
        """It ends at once."""
        if self.alive:
            self._end("is killed")

    def freeze(self, duration_s: float) -> None:
        """It does nothing for a while, its lease included."""
        self._world.note(self.name, f"is frozen for {duration_s:.1f} s")
        self._world.hold(self.name, duration_s)

    def lose_store(self, duration_s: float) -> None:
        """The store does not answer for a while."""
        self._store.away_until_s = self._world.now_s + duration_s

    def be_calm(self) -> None:
        """From now on nothing goes wrong between it and the store."""
        self._faults = StoreFaults()
        self._store.be_calm()

    # -- its life

    def _begin(self) -> None:
        self._life += 1
        self.alive = True
        self._inbox, self._woken, self._due_s = [], False, None
        engine_id = self._ids.new()
        self._store = FaultyStore(self._shared, self._world, self._faults, self.name, self._office.written)
        store: Any = self._store
        clock = SharedClock(self._shared.now, self._machine.monotonic_s)
        self._shared.register(engine_id, lease_s=self._habits.lease_s, facts={})
        self._world.note(self.name, f"begins as {engine_id.hex[-4:]}")
        life = self._life
        self.executor = self._cluster.connect(engine_id.hex, lambda report: self._post(report, life))
        self.orchestrator = Orchestrator(
            engine_id=engine_id,
            store=store,
            late=store,
            versions=store,
            cache=store,
            sharing=store,
            publish=self._office.publish,
            costs=Costs(store),
            executor=self.executor,
            clock=clock,
            ids=self._ids,
            notifier=_Notifier(self._office.call),
            options=self._habits.options,
        )
        self._loop = EngineLoop(self.orchestrator, store, clock=clock, housekeeping=clock.look_after)
        self._lease = Lease(
            engine_id,
            store,
            lease_s=self._habits.lease_s,
            clock=clock,
            on_lost=lambda: self._end("lost its lease"),
        )
        self._step_in(0.0)
        self._world.after(self._lease.pause_s, self.name, lambda: self._renew(life))

    def _end(self, how: str) -> None:
        self._world.note(self.name, how)
        self.alive = False
        self._store.dead = True
        self._cluster.leave(self.executor.engine)
        self._world.after(self._world.between(*_RESTART_S), "supervisor", self._begin)

    def _is_over(self, life: int) -> bool:
        return not self.alive or life != self._life

    def _crash(self, life: int) -> None:
        if not self._is_over(life):  # else it was killed while it waited
            self._end("crashes")

    def _post(self, report: ClusterReport, life: int) -> None:
        if not self._is_over(life):
            self._inbox.append(report)
            self._step_in(self._world.between(0.0, 0.002))

    def _step_in(self, delay_s: float) -> None:
        due_s = self._world.now_s + delay_s
        if self._due_s is not None and self._due_s <= due_s:
            return
        self._due_s = due_s
        life = self._life
        self._world.after(delay_s, self.name, lambda: self._step(life, due_s))

    def _step(self, life: int, due_s: float) -> None:
        if self._is_over(life) or due_s != self._due_s:
            return
        self._due_s = None
        reports, self._inbox = self._inbox, []
        woken, self._woken = self._woken, False
        try:
            answers = self._guarded(lambda: self._loop.step(reports, woken=woken))
        except Crashed:
            self._crash(life)
            return
        if answers is None or self._is_over(life):
            return
        # Even an engine with nothing to wait for takes a moment for each step.
        self._step_in(max(self._loop.patience_s, 0.0005) if answers else AWAY_S)

    def _guarded(self, step: Callable[[], bool]) -> bool | None:
        try:
            return step()
        except ConflictError as error:
            if error.code != "fenced":
                raise
            self._end("is fenced off")
            return None

    def _renew(self, life: int) -> None:
        if self._is_over(life):
            return
        try:
            held = self._lease.renew()
        except Crashed:
            self._crash(life)
            return
        if not held:
            self._end("loses its lease")
            return
        self._world.after(self._lease.pause_s, self.name, lambda: self._renew(life))


class _Notifier:
    def __init__(self, call: Callable[[str, Iterable[str]], None]) -> None:
        self._call = call

    def notify(self, channel: str, payloads: Iterable[str]) -> None:
        if channel == ENGINE_CHANNEL:
            self._call(channel, payloads)
