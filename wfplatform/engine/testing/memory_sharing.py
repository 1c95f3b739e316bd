"""Slots and circuit breakers in memory, as the ones in PostgreSQL behave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from wfplatform.core.breaker import CLOSED, BreakerKey, BreakerRecord, BreakerState, after
from wfplatform.core.policy import Breaker
from wfplatform.core.slot import Asked, Exchange, Granted, LimitRecord, Slot, SlotRecord
from wfplatform.core.why import EngineRecord
from wfplatform.engine.testing.memory_contents import MemoryContents

__all__ = ["HeldSlot", "MemoryShared", "MemorySharing"]


@dataclass(slots=True, kw_only=True)
class HeldSlot:
    """A slot that is asked for, and since it has a number, held."""

    asked: Asked
    tenant_id: UUID
    turn: int
    asked_at: datetime
    number: int = 0
    granted_at: datetime | None = None


class MemorySharing:
    """SlotStore and BreakerStore without their fence; `MemoryStore` adds it.

    Args:
        contents: what is stored.
        now: the present instant.
    """

    def __init__(self, contents: MemoryContents, now: Callable[[], datetime]) -> None:
        self._contents = contents
        self._now = now
        self._turn = 0
        self._number = 0
        self.slots: dict[tuple[UUID, str, tuple[int, ...], str], HeldSlot] = {}
        self.limits: dict[tuple[UUID, str], int] = {}
        self.states: dict[BreakerKey, BreakerState] = {}

    def exchange(self, engine_id: UUID, returned: Sequence[Slot], asked: Sequence[Asked], known: int) -> Exchange:
        """Give slots back, ask for others, and learn what was granted."""
        self.slots = {key: held for key, held in self.slots.items() if self._owner(held.asked.slot) is not None}
        for slot in returned:
            held = self.slots.get(_key(slot))
            if held is not None and held.asked.slot.epoch == slot.epoch:
                del self.slots[_key(slot)]
        for one in asked:
            if self._owner(one.slot) == engine_id and _key(one.slot) not in self.slots:
                self._turn += 1
                tenant_id = self._contents.executions[one.slot.execution_id].tenant_id
                self.slots[_key(one.slot)] = HeldSlot(
                    asked=one, tenant_id=tenant_id, turn=self._turn, asked_at=self._now()
                )
        owners = [self._owner(held.asked.slot) for held in self._grant()]
        mine = [
            held for held in self.slots.values() if held.number > known and self._owner(held.asked.slot) == engine_id
        ]
        found = tuple(Granted(held.asked.slot, held.number) for held in sorted(mine, key=lambda held: held.number))
        return Exchange(found, others=any(owner != engine_id for owner in owners))

    def _grant(self) -> list[HeldSlot]:
        granted: list[HeldSlot] = []
        waiting = [held for held in self.slots.values() if not held.number]
        for gate in dict.fromkeys((held.tenant_id, held.asked.gate.key) for held in waiting):
            same = [held for held in self.slots.values() if (held.tenant_id, held.asked.gate.key) == gate]
            own: dict[UUID, int] = {}
            for held in same:
                own[held.asked.slot.execution_id] = own.get(held.asked.slot.execution_id, 0) + bool(held.number)
            count = sum(own.values())
            ranked = []
            for held in sorted((held for held in same if not held.number), key=lambda held: held.turn):
                own[held.asked.slot.execution_id] += 1
                ranked.append((-held.asked.priority, own[held.asked.slot.execution_id], held.turn, held))
            for place, (_, _, _, held) in enumerate(sorted(ranked, key=lambda one: one[:3]), 1):
                gate_of = held.asked.gate
                most = self.limits.get((held.tenant_id, gate_of.name or ""), gate_of.most)
                if place <= most - count:
                    self._number += 1
                    held.number = self._number
                    held.granted_at = self._now()
                    granted.append(held)
        return granted

    def breakers(self, keys: Sequence[BreakerKey]) -> Mapping[BreakerKey, BreakerState]:
        """How some circuit breakers stand."""
        return {key: self.states[key] for key in keys if key in self.states}

    def called(self, calls: Mapping[BreakerKey, tuple[Breaker, int, int]]) -> Mapping[BreakerKey, BreakerState]:
        """Count calls that have ended."""
        for key, (breaker, completed, failed) in calls.items():
            self.states[key] = after(self.states.get(key, CLOSED), breaker, completed, failed, self._now())
        return self.breakers(list(calls))

    def workflow(self, execution_id: UUID) -> str:
        """The name of an execution's workflow."""
        return self._contents.executions[execution_id].workflow_name

    def owners(self) -> Mapping[UUID, int]:
        """Engine -> how many executions it has."""
        return Counter(row.engine_id for row in self._contents.executions.values() if row.engine_id is not None)

    def owned(self) -> list[HeldSlot]:
        """Slots of executions that are in an engine's hands."""
        return [held for held in self.slots.values() if self._owner(held.asked.slot) is not None]

    def _owner(self, slot: Slot) -> UUID | None:
        row = self._contents.executions.get(slot.execution_id)
        return row.engine_id if row is not None and row.epoch == slot.epoch else None


class MemoryShared:
    """What people see and set of it, as in `store.shared`.

    Args:
        sharing: the slots.
        now: the present instant.
    """

    def __init__(self, sharing: MemorySharing, now: Callable[[], datetime]) -> None:
        self._sharing = sharing
        self._now = now
        self._set_by: dict[tuple[UUID, str], str] = {}

    def limits(self, tenant_id: UUID) -> Sequence[LimitRecord]:
        """Limits that are set, or of which slots are held or asked for."""
        found: dict[str, LimitRecord] = {}
        set_here = {name: most for (tenant, name), most in self._sharing.limits.items() if tenant == tenant_id}
        for held in self._sharing.owned():
            gate = held.asked.gate
            if held.tenant_id != tenant_id or not gate.key.startswith(("limit:", "executions:")):
                continue
            known = found.get(gate.key) or LimitRecord(called=gate.called, name=gate.name, most=gate.most)
            found[gate.key] = replace(
                known,
                most=max(known.most, gate.most),
                held=known.held + bool(held.number),
                waiting=known.waiting + (not held.number),
            )
        for name, most in set_here.items():
            key = next((key for key, one in found.items() if one.name == name), name)
            known = found.get(key) or LimitRecord(called=name, name=name, most=most)
            found[key] = replace(known, most=most, set_by=self._set_by[tenant_id, name])
        return sorted(found.values(), key=lambda one: one.called)

    def set_limit(self, tenant_id: UUID, name: str, most: int | None, *, set_by: str = "") -> None:
        """Say how many slots a limit across all workflows has; None = what workflows say."""
        self._set_by[tenant_id, name] = set_by
        if most is None:
            self._sharing.limits.pop((tenant_id, name), None)
        else:
            self._sharing.limits[tenant_id, name] = most

    def slots(self, tenant_id: UUID, execution_id: UUID | None = None, *, limit: int = 1000) -> Sequence[SlotRecord]:
        """Slots held and asked for; of an execution with those that others hold of what it waits for."""
        known = [held for held in self._sharing.owned() if held.tenant_id == tenant_id]
        waited = {one.asked.gate.key for one in known if one.asked.slot.execution_id == execution_id and not one.number}
        found = [
            SlotRecord(
                gate=held.asked.gate.key,
                called=held.asked.gate.called,
                most=self._sharing.limits.get((tenant_id, held.asked.gate.name or ""), held.asked.gate.most),
                execution_id=held.asked.slot.execution_id,
                workflow_name=self._sharing.workflow(held.asked.slot.execution_id),
                node=held.asked.slot.node,
                element=held.asked.slot.element,
                priority=held.asked.priority,
                asked_at=held.asked_at,
                granted_at=held.granted_at,
            )
            for held in sorted(
                known, key=lambda one: (one.asked.gate.key, not one.number, one.number, -one.asked.priority, one.turn)
            )
            if execution_id in (None, held.asked.slot.execution_id) or held.asked.gate.key in waited
        ]
        return found[:limit]

    def engines(self) -> Sequence[EngineRecord]:
        """The one that is there."""
        held = self._sharing.owners()
        return [
            EngineRecord(id=engine, host="", pid=None, workers=None, resources=(), executions=count)
            for engine, count in held.items()
        ]

    def breakers(self, tenant_id: UUID) -> Sequence[BreakerRecord]:
        """Circuit breakers of which calls were counted."""
        states = sorted(self._sharing.states.items(), key=lambda one: one[0][1])
        return [
            BreakerRecord(name=key[1], state=state, updated_at=self._now())
            for key, state in states
            if key[0] == tenant_id
        ]

    def set_breaker(self, tenant_id: UUID, name: str, *, open_s: float | None) -> None:
        """Open a circuit breaker for so many seconds, or close it."""
        now = self._now()
        self._sharing.states[tenant_id, name] = (
            BreakerState(opened_at=now, until_at=now + timedelta(seconds=open_s)) if open_s is not None else CLOSED
        )


def _key(slot: Slot) -> tuple[UUID, str, tuple[int, ...], str]:
    return slot.execution_id, slot.node, slot.element, slot.gate
