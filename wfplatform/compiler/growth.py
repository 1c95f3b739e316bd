"""Segments while they are planned: what is in them so far, and what may be put into them. Data only."""

from __future__ import annotations

from dataclasses import dataclass, field

from wfplatform.compiler.segment import Member
from wfplatform.core.execution import Element
from wfplatform.core.policy import Lane

__all__ = ["Opened", "Piece"]


@dataclass(slots=True)
class Opened:
    """A segment that can still grow."""

    id: str
    lane: Lane
    key: tuple[object, ...]
    start_s: float = 0.0
    members: list[Member] = field(default_factory=list)
    needs: set[str] = field(default_factory=set)
    known: dict[tuple[str, Element], None] = field(default_factory=dict)
    expected_s: float = 0.0
    elements: int = 0
    solo: bool = False
    announce: bool = False
    unknown: bool = False

    @property
    def finish_s(self) -> float:
        """When it should have ended, if nothing else ran."""
        return self.start_s + max(self.expected_s, 1e-9)


@dataclass(slots=True)
class Piece:
    """Elements of one node that get their inputs from the same places.

    Args:
        aligned: those of `needs` that compute the very elements these follow, one by one.
        linear: nobody else waits for what these wait for.
        wide: beside these are enough of their kind to keep the cluster busy.
    """

    start: int
    stop: int
    needs: frozenset[str]
    known: tuple[tuple[str, Element], ...]
    aligned: frozenset[str]
    linear: bool
    wide: bool
