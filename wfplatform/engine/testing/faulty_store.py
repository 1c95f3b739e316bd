"""A store as an engine sees it over a network: it may not answer, answer late, or do what it was asked and say nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from wfplatform.core.ports import Commit, Found
from wfplatform.engine.testing.memory import MemoryStore
from wfplatform.engine.testing.world import World
from wfplatform.errors import UnreachableError

__all__ = ["Crashed", "FaultyStore", "StoreFaults"]


class Crashed(BaseException):
    """The process that calls has ended, here and now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFaults:
    """How often what goes wrong, each as a share of all calls.

    Args:
        silent: nothing is done, and nobody answers.
        unsaid: it is done, and nobody answers.
        slow: it takes up to `slowest_s`, some of it before it is done and the rest afterwards.
        crash: the caller dies, before or after it is done.
    """

    silent: float = 0.0
    unsaid: float = 0.0
    slow: float = 0.0
    slowest_s: float = 3.0
    crash: float = 0.0


class FaultyStore:
    """A store between which and its caller things go wrong. Has the methods of the store it stands for.

    Args:
        store: the real one.
        world: decides when.
        faults: how often what.
        who: the caller.
        written: told of each commit that is about to be done.

    Until `away_until_s` of the world nothing answers; once `dead` is true, no call returns.
    """

    def __init__(
        self,
        store: MemoryStore,
        world: World,
        faults: StoreFaults,
        who: str,
        written: Callable[[UUID, Commit], None] = lambda engine, commit: None,
    ) -> None:
        self._store = store
        self._world = world
        self._faults = faults
        self._who = who
        self._written = written
        self.away_until_s = 0.0
        self.dead = False
        self._known: set[UUID] = set()
        self._in_doubt = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def call(*arguments: Any, **more: Any) -> Any:
            return self._call(name, lambda: method(*arguments, **more), arguments)

        return call

    def be_calm(self) -> None:
        """From now on nothing goes wrong any more."""
        self._faults = StoreFaults()
        self.away_until_s = 0.0

    def look(self, engine_id: UUID, *, claims: int = 0, commands: int = 0, ahead_s: float = 0.0) -> Found:
        """As the store's; if the answer to the one before was lost, what it claimed is given up first, as in PostgreSQL."""

        def act() -> Found:
            if self._in_doubt:
                for row in list(self._store.contents.executions.values()):
                    if row.engine_id == engine_id and row.id not in self._known:
                        self._store.contents.update(row.id, engine_id=None)
            self._in_doubt = True
            return self._store.look(engine_id, claims=claims, commands=commands, ahead_s=ahead_s)

        found: Found = self._call("look", act, ())
        self._in_doubt = False
        self._known.update(claim.id for claim in found.claims)
        return found

    def commit(self, commit: Commit) -> None:
        """As the store's."""
        self._call("commit", lambda: self._store.commit(commit), (commit,))
        ended = (change.id for change in commit.executions if change.state.final)
        self._known.difference_update(commit.released, ended, (one.id for one in commit.asleep))

    def _call(self, name: str, act: Callable[[], Any], arguments: tuple[Any, ...]) -> Any:
        world, faults = self._world, self._faults
        if world.now_s < self.away_until_s or world.chance(faults.silent):
            world.note(self._who, f"{name}: the store does not answer")
            raise UnreachableError("store_unreachable", "The store does not answer.")
        dies, dies_before = world.chance(faults.crash), world.chance(0.5)
        if dies and dies_before:
            raise Crashed
        slow_s = world.between(0.0, faults.slowest_s) if world.chance(faults.slow) else 0.0
        if slow_s:
            world.note(self._who, f"{name} takes {slow_s:.3f} s")
            self._wait(slow_s * world.random.random())
        if name == "commit":
            self._written(arguments[0].engine_id, arguments[0])
        found = act()
        if slow_s:
            self._wait(slow_s / 2)
        if dies:
            raise Crashed
        if world.chance(faults.unsaid):
            world.note(self._who, f"{name}: done, and the answer is lost")
            raise UnreachableError("store_unreachable", "The store does not answer.")
        return found

    def _wait(self, duration_s: float) -> None:
        self._world.pass_time(duration_s, self._who)
        if self.dead:
            raise Crashed
