"""Slots: places among as many as there are of something that executions share, whichever engine they are in.

A slot belongs to an element of an execution at an epoch: when another engine takes the execution over, it is free. Refuses to
know for what there are slots; a gate is a name here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from wfplatform.core.breaker import BreakerStore
from wfplatform.core.execution import Element

__all__ = ["Asked", "Exchange", "Gate", "Granted", "LimitRecord", "SharingStore", "Slot", "SlotRecord", "SlotStore"]


class Gate(NamedTuple):
    """Something of which there are so many slots.

    Args:
        key: tells it from all others of its tenant.
        most: how many slots there are.
        called: by people.
        name: of a limit whose number somebody may have set otherwise; None = nobody can.
    """

    key: str
    most: int
    called: str
    name: str | None = None


class Slot(NamedTuple):
    """A place behind a gate, for one element."""

    gate: str
    execution_id: UUID
    epoch: int
    node: str
    element: Element


class Asked(NamedTuple):
    """A slot that is wanted. Larger `priority` first."""

    slot: Slot
    gate: Gate
    priority: int


class Granted(NamedTuple):
    """A slot that was given; `number` grows with each that is given to anybody."""

    slot: Slot
    number: int


class Exchange(NamedTuple):
    """What came of an exchange.

    Args:
        granted: to executions of the engine that asks, after the number it knows; oldest first.
        others: whether any was given to an execution of another engine.
    """

    granted: Sequence[Granted] = ()
    others: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRecord:
    """A concurrency limit that somebody has set, or for which there are slots.

    Args:
        called: by people.
        name: under which its number can be set; None = it cannot.
        most: how many slots there are.
        set_by: who set that; empty = it is what the workflow says.
        held, waiting: how many slots are.
    """

    called: str
    name: str | None
    most: int
    set_by: str = ""
    held: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotRecord:
    """A slot that is held, or asked for while `granted_at` is None."""

    gate: str
    called: str
    most: int
    execution_id: UUID
    workflow_name: str
    node: str
    element: Element
    priority: int
    asked_at: datetime
    granted_at: datetime | None


class SlotStore(Protocol):
    """Who holds which slots, and who waits for them."""

    def exchange(self, engine_id: UUID, *, returned: Sequence[Slot], asked: Sequence[Asked], known: int) -> Exchange:
        """Give slots back, ask for others, and learn which were granted after the number `known`.

        Among those who wait for a gate, those of higher priority come first, then executions that hold fewer, then who asked
        first. Doing the same twice changes nothing. What belongs to an execution that nobody owns at that epoch is free.

        Raises:
            ConflictError: code `fenced`.
            UnreachableError: the database does not answer; whether it happened is unknown.
        """
        ...


class SharingStore(SlotStore, BreakerStore, Protocol):
    """All that executions share."""
