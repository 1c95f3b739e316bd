"""A worker in a world. A runner computes its tasks when they begin, so what they come to is known from then on; whether anybody
hears of it is decided by what happens until then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

from wfplatform.compiler.dask_graph import ClusterTask
from wfplatform.compiler.payload import Delivery, pack_delivery
from wfplatform.core.execution import Element
from wfplatform.engine.testing.world import World

__all__ = ["Ran", "Runner", "Said", "Scheduler", "SimulatedTask", "SimulatedWorker"]

_ENDED: Final = frozenset("cf")
"""Letters of outcomes that end an attempt."""


class Said(NamedTuple):
    """What a runner says of a part while it runs it."""

    engine: str
    execution: UUID
    epoch: int
    segment: str
    outcomes: Sequence[Sequence[Any]]
    closed: bool


class Ran(NamedTuple):
    """An attempt that began; `wanted` unless its task was given up, which nobody could tell the worker in time."""

    execution: UUID
    place: int
    element: Element
    attempt: int
    worker: str
    wanted: bool


type Runner = Callable[[bytes, Sequence[Any], Mapping[UUID, int]], tuple[Any, Sequence[Said]]]
"""Computes an order with the values it needs and the executions that were cancelled (id -> epoch): a value, and what is said."""


@dataclass(eq=False, slots=True)
class SimulatedTask:
    """A task as the scheduler knows it.

    Args:
        number: its place in the order in which tasks came.
        worker: where it runs or ran.
        computed: whether it has ended.
        wanted: whether its engine has not released it.
        value: what it left for others.
    """

    task: ClusterTask
    engine: str
    number: int
    worker: SimulatedWorker | None = None
    computed: bool = False
    wanted: bool = True
    value: Any = None


class Scheduler(Protocol):
    """What a worker needs of its scheduler."""

    def knows(self, task: SimulatedTask) -> bool:
        """Whether somebody still wants it."""
        ...

    def ended(self, task: SimulatedTask) -> None:
        """It has been computed, and its worker is free."""
        ...

    def send(self, worker: SimulatedWorker, engine: str, body: bytes) -> None:
        """Pass a message on to an engine, if that is connected."""
        ...


class SimulatedWorker:
    """Runs one task after the other.

    Args:
        name: its own.
        world: where it is.
        scheduler: whose.
        runner: computes orders.
        on_ran: told of every attempt that begins.
        longest_s: an element takes up to this long.

    `attempt` is what runs; `kept` holds the messages that nobody acknowledged: number -> (engine, message); `heard_s` when the
    last message to an engine arrives.
    """

    def __init__(
        self,
        name: str,
        world: World,
        scheduler: Scheduler,
        runner: Runner,
        on_ran: Callable[[Ran], None],
        longest_s: float,
    ) -> None:
        self.name: Final = name
        self.alive = True
        self.queue: list[SimulatedTask] = []
        self.running: SimulatedTask | None = None
        self.attempt: tuple[UUID, int, Element] | None = None
        self.cancelled: dict[UUID, int] = {}
        self.kept: dict[int, tuple[str, bytes]] = {}
        self.heard_s: dict[str, float] = {}
        self._world = world
        self._scheduler = scheduler
        self._runner = runner
        self._on_ran = on_ran
        self._longest_s = longest_s
        self._said = 0

    def begin(self, task: SimulatedTask, values: Sequence[Any]) -> None:
        """Run a task, as soon as it is here.

        Args:
            task: which.
            values: of the tasks it needs.
        """
        self.running = task
        self._world.after(self._world.between(0.0005, 0.005), self.name, lambda: self._run(task, values))

    def cancel(self, execution: UUID, epoch: int) -> None:
        """Nobody wants what runs for an execution up to an epoch."""
        self.cancelled[execution] = max(epoch, self.cancelled.get(execution, epoch))

    def send_again(self, engine: str) -> None:
        """Everything that was kept for an engine."""
        for number, (wanted, body) in list(self.kept.items()):
            if wanted == engine:
                self._world.note(self.name, f"sends message {number} again")
                self._scheduler.send(self, engine, body)

    def _run(self, task: SimulatedTask, values: Sequence[Any]) -> None:
        if not self.alive:
            return
        self._world.note(self.name, f"begins {task.task.key}")
        value, said = self._runner(task.task.order, values, dict(self.cancelled))
        self._go_on(task, value, list(said))

    def _go_on(self, task: SimulatedTask, value: Any, said: list[Said]) -> None:
        """The next thing that is said of a task, or its end."""
        if not self.alive:
            return
        while said and not said[0].outcomes:
            one = said.pop(0)
            self._say(one, (), closed=one.closed)
        if not said:
            task.computed, task.value, self.running = True, value, None
            self._scheduler.ended(task)
            return
        first = said[0]
        outcome, said[0] = first.outcomes[0], first._replace(outcomes=first.outcomes[1:])
        place, element, attempt, letter = outcome[0], tuple(outcome[1]), outcome[2], outcome[3]
        began_s = self._world.now_s
        if letter in _ENDED:
            self.attempt = (first.execution, place, element)
            self._on_ran(Ran(first.execution, place, element, attempt, self.name, self._scheduler.knows(task)))

        def ended() -> None:
            if not self.alive:
                return
            self.attempt = None
            timed = list(outcome)
            timed[4:6] = [
                None if one is None else at_s
                for one, at_s in zip(timed[4:6], (began_s, self._world.now_s), strict=True)
            ]
            self._say(first, [timed], closed=False)
            self._go_on(task, value, said)

        self._world.after(self._world.between(0.0, self._longest_s) ** 2, self.name, ended)

    def _say(self, said: Said, outcomes: Sequence[Sequence[Any]], *, closed: bool) -> None:
        self._said += 1
        delivery = Delivery(said.execution, said.epoch, said.segment, outcomes, closed)
        body = pack_delivery(self.name, self._said, self.name, [delivery])
        self.kept[self._said] = (said.engine, body)
        self._scheduler.send(self, said.engine, body)
