"""Nodes that run only while an execution unwinds: which node each of them answers to, and on which occasion. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["UnwindOccasion", "Unwinds"]


class UnwindOccasion(StrEnum):
    """For which elements of a node another one runs when the execution unwinds.

    `undo`: for those that completed, and for effects of which nobody knows whether they happened. `cleanup`: for those that
    began and did not complete.
    """

    UNDO = "undo"
    CLEANUP = "cleanup"


@dataclass(frozen=True, slots=True)
class Unwinds:
    """A node is no part of the work: it takes back what another one did."""

    node: str
    occasion: UnwindOccasion
