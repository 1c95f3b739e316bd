"""A store in memory with the semantics of the one in PostgreSQL: leases, claims, the group commit, commands and costs.

One contract suite holds both to the same behaviour, down to keys that PostgreSQL cannot hold. Refuses: durability, and what
JSON makes of values on their way to a database.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from wfplatform.core.breaker import BreakerKey, BreakerState
from wfplatform.core.execution import Element, ExecutionState
from wfplatform.core.graph import Json
from wfplatform.core.late import LateExecution
from wfplatform.core.policy import Breaker
from wfplatform.core.ports import (
    CachedResult,
    Claim,
    Command,
    Commit,
    Found,
    StoredRun,
    StoredVersion,
    Wanted,
)
from wfplatform.core.record import ExecutionRecord
from wfplatform.core.slot import Asked, Exchange, Slot
from wfplatform.core.start import NewExecution
from wfplatform.engine.testing.memory_claim import claim_of, late_of
from wfplatform.engine.testing.memory_contents import MemoryContents
from wfplatform.engine.testing.memory_sharing import MemorySharing
from wfplatform.errors import ConflictError, NotFoundError, UnstorableError

__all__ = ["MemoryStore"]

_PAST_SAMPLES: Final = 20
_REFUSED: Final = re.compile("[\0\ud800-\udfff]")
"""What no text of PostgreSQL's holds. In prose it is replaced; in keys, digests and places it cannot be."""


@dataclass(slots=True, kw_only=True)
class _Lease:
    expires_at: datetime
    seat: Json = None
    fenced: bool = False


class MemoryStore:
    """LeaseStore, EngineStore and CostStore in memory. Safe to share between threads.

    Args:
        now: the present instant, aware UTC; a virtual clock's in simulations.
    """

    def __init__(self, *, now: Callable[[], datetime] | None = None) -> None:
        self.now: Final = now or (lambda: datetime.now(UTC))
        self.contents: Final = MemoryContents(self.now)
        self.sharing: Final = MemorySharing(self.contents, self.now)
        self._leases: dict[UUID, _Lease] = {}
        self._lock = threading.RLock()

    def transaction(self) -> AbstractContextManager[bool]:
        """Keeps others out while several things are read or written."""
        return self._lock

    # -- leases

    def register(self, engine_id: UUID, *, lease_s: float, facts: Mapping[str, Json]) -> None:
        """Announce an engine and take its lease."""
        with self._lock:
            expires_at = self.now() + timedelta(seconds=lease_s)
            self._leases.setdefault(engine_id, _Lease(expires_at=expires_at, seat=facts.get("seat")))

    def renew(self, engine_id: UUID, *, lease_s: float) -> bool:
        """Prolong the lease; False when another engine has fenced this one off."""
        with self._lock:
            lease = self._leases.get(engine_id)
            if lease is None or lease.fenced:
                return False
            lease.expires_at = self.now() + timedelta(seconds=lease_s)
            return True

    def take_over(self, engine_id: UUID) -> int:
        """Fence off engines whose lease is over, or who sat in this one's seat before it, and free their executions to be
        claimed; returns how many were freed.
        """
        with self._lock:
            seat = self._leases[engine_id].seat if engine_id in self._leases else None
            for other, lease in self._leases.items():
                is_former = seat is not None and lease.seat == seat
                if other != engine_id and (is_former or lease.expires_at < self.now()):
                    lease.fenced = True
            for stored in self.contents.commands.values():
                ended = self.contents.executions[stored.command.execution_id].state.final
                stored.done = stored.done or (ended and stored.command.kind != "retry")
            return self._free({other for other, lease in self._leases.items() if lease.fenced})

    def leave(self, engine_id: UUID) -> None:
        """Give up the lease and all executions at once."""
        with self._lock:
            if engine_id in self._leases:
                self._leases[engine_id].fenced = True
            self._free({engine_id})

    # -- reading

    def look(self, engine_id: UUID, *, claims: int = 0, commands: int = 0, ahead_s: float = 0.0) -> Found:
        """Take up to `claims` executions that nobody owns and that are to run, and read commands for what it owns."""
        with self._lock:
            self._fence(engine_id)
            claimed = self._claim(engine_id, claims, ahead_s) if claims else ()
            return Found(claimed, self._commands(engine_id, commands), self._next_wake_at(), self._next_late_at())

    def _claim(self, engine_id: UUID, limit: int, ahead_s: float) -> Sequence[Claim]:
        soon, asleep = self.now() + timedelta(seconds=ahead_s), self.contents.asleep
        told = [stored.command for stored in self.contents.commands.values() if not stored.done]
        retried = {command.execution_id for command in told if command.kind == "retry"}
        called = {command.execution_id for command in told}
        free = [row for row in self.contents.executions.values() if row.engine_id is None]
        ended = [row for row in free if row.state.final and row.id in retried]
        sleeping = [row for row in free if not row.state.final and row.id in asleep]
        woken = [row for row in sleeping if row.id in called or _is_due(row.wake_at, soon)]
        waiting = sorted((row for row in free if not row.state.final and row.id not in asleep), key=_urgency)
        picked = sorted((ended + woken + waiting)[:limit], key=_urgency)
        return [self._claimed(row, engine_id) for row in picked]

    def _next_wake_at(self) -> datetime | None:
        rows = (self.contents.executions[execution_id] for execution_id in self.contents.asleep)
        return min((row.wake_at for row in rows if row.wake_at is not None), default=None)

    def _next_late_at(self) -> datetime | None:
        rows = self.contents.executions.values()
        return min((row.late_at for row in rows if row.late_at is not None and not row.state.final), default=None)

    def version(self, version_id: UUID) -> StoredVersion:
        """A workflow version."""
        with self._lock:
            found = self.contents.versions.get(version_id)
        if found is None:
            raise NotFoundError("version_not_found", f"No workflow version has the id {version_id}.")
        return found

    def find_version(self, tenant_id: UUID, name: str, digest: str | None = None) -> StoredVersion:
        """A version of a workflow by its digest; without one, the version that was published last."""
        with self._lock:
            if digest is None:
                found = self.contents.current.get((tenant_id, name))
            else:
                known = self.contents.versions.values()
                same = [v.id for v in known if (v.tenant_id, v.name, v.digest) == (tenant_id, name, digest)]
                found = same[0] if same else None
        if found is None:
            raise NotFoundError("version_not_found", f"No workflow named {name!r} was published.")
        return self.version(found)

    def cached(self, tenant_id: UUID, keys: Sequence[str]) -> Mapping[str, CachedResult]:
        """Key -> the result under it that has not expired."""
        with self._lock:
            now = self.now()
            kept = {key: self.contents.cache.get((tenant_id, key)) for key in keys}
            return {
                key: result
                for key, found in kept.items()
                if found is not None
                for result, expires_at in [found]
                if expires_at is None or expires_at > now
            }

    def code(self, tenant_id: UUID, digest: str) -> bytes:
        """The code that travels with a version."""
        with self._lock:
            body = self.contents.code.get((tenant_id, digest))
        if body is None:
            raise NotFoundError("code_not_found", f"No code with the digest {digest} is stored.")
        return body

    def _commands(self, engine_id: UUID, limit: int) -> Sequence[Command]:
        return [
            stored.command
            for _, stored in sorted(self.contents.commands.items())
            if not stored.done and self.contents.executions[stored.command.execution_id].engine_id == engine_id
        ][:limit]

    def outputs(self, wanted: Wanted) -> Mapping[UUID, Sequence[StoredRun]]:
        """What is committed of some elements (None: of all of a node), with their outputs.

        Bodies of artifacts stand in them as `body`.
        """
        found = {execution_id: self._outputs(execution_id, asked) for execution_id, asked in wanted.items()}
        return {execution_id: runs for execution_id, runs in found.items() if runs}

    def _outputs(self, execution_id: UUID, wanted: Iterable[tuple[str, Element | None]]) -> Sequence[StoredRun]:
        with self._lock:
            tenant_id = self.contents.executions[execution_id].tenant_id
            known = self.contents.elements.get(execution_id, {})
            asked = [
                key
                for node, element in wanted
                for key in ([key for key in known if key[0] == node] if element is None else [(node, element)])
            ]
            found = [(key, known[key]) for key in asked if key in known]
            return [StoredRun(*key, element.run, self.contents.full(tenant_id, element)) for key, element in found]

    # -- what executions share

    def exchange(self, engine_id: UUID, *, returned: Sequence[Slot], asked: Sequence[Asked], known: int) -> Exchange:
        """Give slots back, ask for others, and learn which were granted after the number `known`."""
        with self._lock:
            self._fence(engine_id)
            return self.sharing.exchange(engine_id, returned, asked, known)

    def breakers(self, keys: Sequence[BreakerKey]) -> Mapping[BreakerKey, BreakerState]:
        """How some circuit breakers stand."""
        with self._lock:
            return self.sharing.breakers(keys)

    def called(self, calls: Mapping[BreakerKey, tuple[Breaker, int, int]]) -> Mapping[BreakerKey, BreakerState]:
        """Count calls that have ended."""
        with self._lock:
            return self.sharing.called(calls)

    # -- costs

    def costs(self, version_id: UUID) -> Mapping[str, float]:
        """Node id -> expected seconds for one element."""
        with self._lock:
            return {node: mean_s for node, (mean_s, _) in self.contents.costs.get(version_id, {}).items()}

    def learn(self, costs: Mapping[tuple[UUID, str], tuple[float, int]]) -> None:
        """(version, node id) -> (mean seconds, number of elements) of what was just seen; averaged with what was known."""
        with self._lock:
            for (version_id, node), (mean_s, samples) in costs.items():
                if samples > 0:
                    known = self.contents.costs.setdefault(version_id, {})
                    before_s, seen = known.get(node, (0.0, 0))
                    weight = min(seen, _PAST_SAMPLES)
                    known[node] = (before_s * weight + mean_s * samples) / (weight + samples), seen + samples

    # -- the group commit

    def commit(self, commit: Commit) -> None:
        """Write a transaction. Writing the same one again changes nothing.

        Records of an execution that the engine does not own in that epoch are left out.

        Raises:
            ConflictError: code `fenced`, when the engine's lease was taken over; nothing was written.
            UnstorableError: code `commit_refused`; it holds something that can never be stored, and nothing was written.
        """
        with self._lock:
            self._fence(commit.engine_id)
            self.contents.began_at = self.now()
            for text in _exact_texts(commit):
                if _REFUSED.search(text):
                    raise UnstorableError("commit_refused", f"The store cannot hold the text {text!r}.")
            for execution_id, epoch, recorded in commit.nodes:
                if self._owned(execution_id, commit.engine_id, epoch):
                    self.contents.record(execution_id, epoch, recorded)
            for execution_id, outcome in commit.progress:
                if self._owned(execution_id, commit.engine_id):
                    self.contents.progress(execution_id, outcome)
            for tenant_id, child in commit.children:
                told_in, subject = child.told_in, child.hook.execution if child.hook else child.id
                if told_in is None or self._owned(subject, commit.engine_id, told_in):
                    self.contents.add(tenant_id, child)
            for entry in commit.cache:
                if self._owned(entry.execution_id, commit.engine_id):
                    self.contents.keep(entry)
            for new in commit.commands:
                self.contents.tell(new)
            for command_id in commit.commands_done:
                self.contents.command_done(command_id)
            for change in {change.id: change for change in commit.executions}.values():
                if self._owned(change.id, commit.engine_id, change.epoch):
                    self.contents.change(change)
            for execution_id in commit.released:
                if self._owned(execution_id, commit.engine_id):
                    self.contents.update(execution_id, engine_id=None)
            for execution_id, epoch, wake_at in commit.asleep:
                if self._owned(execution_id, commit.engine_id, epoch):
                    self.contents.update(execution_id, engine_id=None, wake_at=wake_at)
                    self.contents.asleep.add(execution_id)

    # -- who is late

    def late(self, limit: int) -> Sequence[LateExecution]:
        """Those that are late while nobody was told."""
        with self._lock:
            rows = sorted((row.late_at, row.id) for row in self.contents.executions.values() if self._is_late(row))
            return [late_of(self.contents.executions[execution_id]) for _, execution_id in rows[:limit]]

    def tell_late(self, engine_id: UUID, told: Mapping[UUID, Sequence[tuple[UUID, NewExecution]]]) -> None:
        """Note for late executions that it is told, and insert the hooks."""
        with self._lock:
            self._fence(engine_id)
            for execution_id, hooks in told.items():
                if self._is_late(self.contents.executions[execution_id]):
                    self.contents.update(execution_id, late_at=None)
                    for tenant_id, hook in hooks:
                        self.contents.add(tenant_id, hook)

    def _is_late(self, row: ExecutionRecord) -> bool:
        return not row.state.final and _is_due(row.late_at, self.now())

    # -- details

    def _fence(self, engine_id: UUID) -> None:
        lease = self._leases.get(engine_id)
        if lease is None or lease.fenced:
            raise ConflictError(
                "fenced",
                "The lease of this engine was taken over; nothing was written.",
                "The engine must forget its executions and register anew.",
            )

    def _free(self, engines: set[UUID]) -> int:
        freed = [row.id for row in self.contents.executions.values() if row.engine_id in engines]
        for execution_id in freed:
            self.contents.update(execution_id, engine_id=None)
        return len(freed)

    def _owned(self, execution_id: UUID, engine_id: UUID, epoch: int | None = None) -> bool:
        row = self.contents.executions.get(execution_id)
        return row is not None and row.engine_id == engine_id and epoch in (None, row.epoch)

    def _claimed(self, free: ExecutionRecord, engine_id: UUID) -> Claim:
        fresh = free.state is ExecutionState.PENDING
        is_asleep = free.id in self.contents.asleep
        self.contents.asleep.discard(free.id)
        row = self.contents.update(
            free.id,
            engine_id=engine_id,
            wake_at=None,
            epoch=free.epoch + 1,
            state=ExecutionState.RUNNING if fresh else free.state,
            started_at=self.now() if fresh else free.started_at,
        )
        elements = self.contents.elements.get(row.id, {})
        return claim_of(row, elements, self.contents.mailboxes.get(row.id, ()), woken=is_asleep)


def _is_due(wake_at: datetime | None, now: datetime) -> bool:
    return wake_at is not None and wake_at <= now


def _exact_texts(commit: Commit) -> Iterator[str]:
    for outcome in (record.recorded.outcome for record in commit.nodes):
        if outcome is None:
            continue
        yield outcome.input_digest or ""
        for entry in (outcome.outputs or {}).values():
            if "body" in entry or "location" in entry:
                yield from (entry["digest"], entry["codec"], entry.get("location") or "")


def _urgency(row: ExecutionRecord) -> tuple[int, UUID]:
    return -row.priority, row.id
