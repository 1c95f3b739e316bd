"""What nodes are expected to take, learned from what they took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID

from wfplatform.core.execution import Outcome
from wfplatform.core.ports import CostStore

__all__ = ["Costs"]

_RUNNER_S: Final = 30e-6
"""What the node runner itself takes for one element; no element costs less."""
_MEMORY: Final = 500
"""Elements after which older ones count for little."""


class Costs:
    """Expected seconds of one element, by workflow version and node.

    Args:
        store: remembers them beyond this engine's life.
    """

    def __init__(self, store: CostStore) -> None:
        self._store = store
        self._known: dict[UUID, dict[str, float]] = {}
        self._weights: dict[tuple[UUID, str], int] = {}
        self._fresh: dict[tuple[UUID, str], tuple[float, int]] = {}

    def of(self, version_id: UUID) -> Mapping[str, float]:
        """Node id -> seconds; nodes never seen are absent."""
        found = self._known.get(version_id)
        if found is None:
            found = self._known[version_id] = dict(self._store.costs(version_id))
        return found

    def see(self, version_id: UUID, outcomes: Iterable[Outcome]) -> None:
        """Learn from attempts that completed."""
        sums: dict[str, tuple[float, int]] = {}
        for outcome in outcomes:
            if outcome.finished_at is None or outcome.started_at is None or outcome.outputs is None:
                continue
            seconds, count = sums.get(outcome.node, (0.0, 0))
            sums[outcome.node] = (seconds + outcome.finished_at - outcome.started_at + _RUNNER_S, count + 1)
        known = self.of(version_id)
        assert isinstance(known, dict)
        for node, (seconds, count) in sums.items():
            key = (version_id, node)
            weight = self._weights.get(key, 0)
            before = known.get(node)
            mean_s = seconds / count
            if before is not None and weight == 0:
                weight = 20  # learned in an earlier life
            known[node] = mean_s if before is None else (before * weight + seconds) / (weight + count)
            self._weights[key] = min(weight + count, _MEMORY)
            total_s, total = self._fresh.get(key, (0.0, 0))
            self._fresh[key] = (total_s + seconds, total + count)

    def save(self) -> None:
        """Hand what was learned since the last time to the store."""
        if self._fresh:
            fresh, self._fresh = self._fresh, {}
            self._store.learn({key: (seconds / count, count) for key, (seconds, count) in fresh.items()})
