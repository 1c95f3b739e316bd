"""A cluster in a world: workers die, join, stall and come back late; messages are late, doubled or lost; the scheduler is killed
and connections break.

It treats tasks as `executors.dask` and its scheduler do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from uuid import UUID

from wfplatform.compiler.dask_graph import ClusterTask
from wfplatform.compiler.payload import unpack_order
from wfplatform.core.execution import Element
from wfplatform.engine.cluster import ClusterReport, OutcomesArrived, Sink, TaskLost
from wfplatform.engine.testing.simulated_executor import SimulatedExecutor
from wfplatform.engine.testing.simulated_worker import Ran, Runner, SimulatedTask, SimulatedWorker
from wfplatform.engine.testing.world import World

__all__ = ["SimulatedCluster"]

_GATHER_S: Final = 0.1
"""Losses are told together, as the real executor does, and a moment later than what the worker said before."""
_QUICK_S: Final = (0.0005, 0.005)
_SLOWEST_S: Final = 0.05
"""Most messages are quick; none takes longer than this."""


class SimulatedCluster:
    """Scheduler and workers.

    Args:
        world: where they are.
        runner: computes orders.
        workers: how many there are.
        on_ran: told of every attempt that begins.
        on_killed: told of every attempt that its worker takes with it, be it just about to begin: execution, place of the node,
            element.
        doubled: share of the messages that arrive twice.
        longest_s: an element takes up to this long.
    """

    def __init__(
        self,
        world: World,
        runner: Runner,
        *,
        workers: int,
        on_ran: Callable[[Ran], None],
        on_killed: Callable[[UUID, int, Element], None],
        doubled: float = 0.0,
        longest_s: float = 0.5,
    ) -> None:
        self.world: Final = world
        self.workers: Final[list[SimulatedWorker]] = []
        self._runner = runner
        self._on_ran = on_ran
        self._on_killed = on_killed
        self._doubled = doubled
        self._longest_s = longest_s
        self._size = workers
        self._tasks: dict[str, SimulatedTask] = {}
        self._number = 0
        self._born = 0
        self._up = True
        self._executors: dict[str, SimulatedExecutor] = {}
        for _ in range(workers):
            self._join()

    # -- for engines

    def connect(self, engine: str, sink: Sink) -> SimulatedExecutor:
        """An engine comes."""
        made = self._executors[engine] = SimulatedExecutor(self, engine, sink, connected=self._up)
        return made

    def leave(self, engine: str) -> None:
        """An engine is gone, without a word; its tasks are nobody's."""
        executor = self._executors.pop(engine, None)
        if executor is not None:
            executor.leave()
            self._forget_all_of(engine)

    @property
    def tasks(self) -> Sequence[str]:
        """Keys of the tasks that the scheduler knows."""
        return list(self._tasks)

    @property
    def kept(self) -> int:
        """Messages for engines that are there, which nobody has acknowledged."""
        return sum(1 for worker in self.workers for engine, _ in worker.kept.values() if engine in self._executors)

    # -- what goes wrong

    def kill_worker(self) -> None:
        """A worker dies; another one comes up after a while."""
        if not self.workers:
            return
        worker = self.world.random.choice(self.workers)
        self.world.note(worker.name, "dies")
        self._bury(worker)
        held = [task for task in [worker.running, *worker.queue] if task is not None]
        needed = {need for task in self._tasks.values() if not task.computed for need in task.task.needs}
        processing = {task for task in held if task.wanted or task.task.key in needed}
        for task in held:
            if task not in processing:
                self._tasks.pop(task.task.key, None)  # nobody is told: it was given up before
        computed = {task for task in self._tasks.values() if task.worker is worker and task.computed}
        lost = self._with_dependants(processing | computed)
        for task in lost:
            self._tasks.pop(task.task.key, None)
        self._tell_lost(worker.name, "It was killed.", [(task, task not in processing) for task in lost])
        self.world.after(self.world.between(0.3, 2.0), "cluster", self._join)

    def stall_worker(self, duration_s: float) -> None:
        """A worker does nothing for a while."""
        if self.workers:
            worker = self.world.random.choice(self.workers)
            self.world.note(worker.name, f"stalls for {duration_s:.1f} s")
            self.world.hold(worker.name, duration_s)

    def kill_scheduler(self, duration_s: float) -> None:
        """The scheduler dies and all workers with it; others come up after a while."""
        if not self._up:
            return
        self.world.note("scheduler", f"dies for {duration_s:.1f} s")
        self._up = False
        for worker in list(self.workers):
            self._bury(worker)
        self._tasks.clear()
        for executor in self._executors.values():
            executor.cut()
        self.world.after(duration_s, "cluster", self._scheduler_up)

    def cut(self, duration_s: float) -> None:
        """The connection between an engine and the scheduler breaks for a while."""
        connected = [one for _, one in sorted(self._executors.items()) if one.connected]
        if connected:
            executor = self.world.random.choice(connected)
            self.world.note(f"engine/{executor.engine[-4:]}", f"is cut off from the scheduler for {duration_s:.1f} s")
            executor.cut()
            self._forget_all_of(executor.engine)
            self.world.after(duration_s, "cluster", lambda: self._reconnect(executor))

    # -- for workers

    def knows(self, task: SimulatedTask) -> bool:
        """Whether somebody still wants a task."""
        return task.wanted and self._tasks.get(task.task.key) is task

    def ended(self, task: SimulatedTask) -> None:
        """A task has been computed, and its worker is free."""
        del task
        self.world.after(self._latency_s(), "scheduler", self._go_on)

    def send(self, worker: SimulatedWorker, engine: str, body: bytes) -> None:
        """What a worker says arrives in the order in which it says it, now and then twice."""
        for _ in range(2 if self.world.chance(self._doubled) else 1):
            arrives_s = max(worker.heard_s.get(engine, 0.0), self.world.now_s + self._latency_s())
            worker.heard_s[engine] = arrives_s
            self._report(engine, OutcomesArrived(body), arrives_s - self.world.now_s)

    # -- what engines send

    def submitted(self, engine: str, tasks: Sequence[ClusterTask]) -> None:
        """Tasks come in."""
        for one in tasks:
            self._number += 1
            task = SimulatedTask(one, engine, self._number)
            self.world.note("scheduler", f"gets {one.key}: {_described(one)}")
            if all(need in self._tasks for need in one.needs):
                self._tasks[one.key] = task
            else:
                self._tell_lost("", "What it needs is lost.", [(task, True)])
        self._assign()

    def released(self, keys: Sequence[str]) -> None:
        """Nobody wants these any more but those that need them."""
        for key in keys:
            if key in self._tasks:
                self._tasks[key].wanted = False
        self._collect()

    def acknowledged(self, received: Mapping[tuple[str, str], Sequence[int]]) -> None:
        """What is committed need not be kept."""
        for (_, stream), numbers in received.items():
            for worker in self.workers:
                if worker.name == stream:
                    for number in numbers:
                        worker.kept.pop(number, None)

    def cancelled(self, executions: Sequence[tuple[UUID, int]]) -> None:
        """Nobody wants what runs for these any more."""
        for worker in self.workers:
            for execution, epoch in executions:
                worker.cancel(execution, epoch)

    # -- life of workers and connections

    def _join(self) -> None:
        if not self._up or len(self.workers) >= self._size:
            return
        self._born += 1
        name = f"worker-{self._born}"
        self.workers.append(
            SimulatedWorker(name, self.world, self, self._runner, self._on_ran, longest_s=self._longest_s)
        )
        self.world.note(name, "joins")
        self._assign()

    def _bury(self, worker: SimulatedWorker) -> None:
        worker.alive = False
        self.workers.remove(worker)
        if worker.attempt is not None:
            self._on_killed(*worker.attempt)
        elif worker.running is not None:
            # Its task had begun. If that holds one element, nothing else ran there, whether or not its code was reached.
            listed = [
                (part.execution, place, element)
                for part in unpack_order(worker.running.task.order).parts
                for place, span, _ in part.members
                for element in span.elements()
            ]
            if len(listed) == 1:
                self._on_killed(*listed[0])

    def _scheduler_up(self) -> None:
        self.world.note("scheduler", "is back")
        self._up = True
        for executor in list(self._executors.values()):
            self._reconnect(executor)
        for _ in range(self._size):
            self.world.after(self.world.between(0.0, 1.0), "cluster", self._join)

    def _reconnect(self, executor: SimulatedExecutor) -> None:
        if not self._up or executor.connected or self._executors.get(executor.engine) is not executor:
            return
        executor.connected = True
        for worker in self.workers:
            worker.send_again(executor.engine)
        heard_s = max((worker.heard_s.get(executor.engine, 0.0) for worker in self.workers), default=0.0)
        life = executor.life
        # As soon as all of that is there.
        self.world.after(heard_s - self.world.now_s, "network", lambda: executor.back(life))

    # -- life of tasks

    def _assign(self) -> None:
        """Give tasks whose needs are computed to workers that have not more to do than others."""
        for task in sorted(self._tasks.values(), key=lambda task: task.number):
            if task.worker is not None or not self.workers:
                continue
            if all(self._tasks[need].computed for need in task.task.needs):
                least = min(len(worker.queue) for worker in self.workers)
                free = [worker for worker in self.workers if len(worker.queue) <= least + 1]
                task.worker = self.world.random.choice(free)
                task.worker.queue.append(task)
        for worker in self.workers:
            if worker.running is None and worker.queue:
                task = worker.queue.pop(0)
                worker.begin(task, [self._tasks[need].value for need in task.task.needs])

    def _go_on(self) -> None:
        self._collect()
        self._assign()

    def _collect(self) -> None:
        """Drop what nobody wants."""
        needed = Counter(need for task in self._tasks.values() if not task.computed for need in task.task.needs)
        for key, task in reversed(list(self._tasks.items())):  # those that need others first
            running = task.worker is not None and task.worker.running is task
            if not task.wanted and not needed[key] and not running:
                self._drop(task)
                if not task.computed:
                    needed.subtract(task.task.needs)

    def _drop(self, task: SimulatedTask) -> None:
        self._tasks.pop(task.task.key, None)
        if task.worker is not None and task in task.worker.queue:
            task.worker.queue.remove(task)

    def _with_dependants(self, lost: set[SimulatedTask]) -> list[SimulatedTask]:
        """In the order in which they were submitted."""
        keys = {task.task.key for task in lost}
        for task in sorted(self._tasks.values(), key=lambda task: task.number):
            if not task.computed and keys.intersection(task.task.needs):
                lost.add(task)
                keys.add(task.task.key)
                if task.worker is not None and task in task.worker.queue:
                    task.worker.queue.remove(task)
        return sorted(lost, key=lambda task: task.number)

    def _forget_all_of(self, engine: str) -> None:
        """What runs goes on to its end; what only waits for it does not."""
        for task in list(self._tasks.values()):
            if task.engine == engine:
                task.wanted = False
                self._drop(task)

    # -- messages

    def _tell_lost(self, worker: str, reason: str, tasks: Sequence[tuple[SimulatedTask, bool]]) -> None:
        for task, blameless in tasks:
            if task.wanted:
                self._report(task.engine, TaskLost(task.task.key, worker, reason, blameless), _GATHER_S + _SLOWEST_S)

    def _report(self, engine: str, report: ClusterReport, latency_s: float) -> None:
        executor = self._executors.get(engine)
        if executor is not None and executor.connected:
            life = executor.life
            self.world.after(latency_s, "network", lambda: executor.hear(report, life))

    def _latency_s(self) -> float:
        return self.world.between(*_QUICK_S) if self.world.chance(0.8) else self.world.between(0.0, _SLOWEST_S)


def _described(task: ClusterTask) -> str:
    """What a task is to do."""
    members = [
        f"{part.execution.hex[-4:]} node {index}{span.prefix}[{span.start}:{span.stop}] try {attempt}"
        for part in unpack_order(task.order).parts
        for index, span, attempt in part.members
    ]
    return f"{', '.join(members)} after {', '.join(task.needs) or 'nothing'}"
