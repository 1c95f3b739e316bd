"""Circuit breakers as one engine sees them: it counts its calls with those of all others, and learns how they stand.

Refuses to let anything pass or wait; `gates` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID

from wfplatform.core.breaker import CLOSED, BreakerKey, BreakerState, BreakerStore
from wfplatform.core.execution import Outcome, OutcomeKind
from wfplatform.core.policy import Breaker
from wfplatform.engine.live import Live

__all__ = ["Breakers"]

_CALLS = (OutcomeKind.COMPLETED, OutcomeKind.FAILED)


class Breakers:
    """Belongs to the engine's one thread.

    Args:
        store: where all engines count together.
    """

    def __init__(self, store: BreakerStore) -> None:
        self._store = store
        self._known: dict[BreakerKey, BreakerState] = {}
        self._calls: dict[BreakerKey, tuple[Breaker, int, int]] = {}

    def state(self, tenant_id: UUID, name: str) -> BreakerState:
        """How a breaker stood when the store was last asked."""
        return self._known.get((tenant_id, name), CLOSED)

    def see(self, live: Live, outcomes: Iterable[Outcome]) -> None:
        """Count what ended of nodes with a breaker. Lost workers say nothing of what was called."""
        if not live.version.breakers:
            return
        for outcome in outcomes:
            breaker = live.graph.by_id[outcome.node].policy.breaker
            if breaker is None or outcome.kind not in _CALLS:
                continue
            key = live.claim.tenant_id, breaker.name
            _, completed, failed = self._calls.get(key, (breaker, 0, 0))
            is_failure = outcome.kind is OutcomeKind.FAILED
            self._calls[key] = breaker, completed + (not is_failure), failed + is_failure

    def report(self) -> set[BreakerKey]:
        """Tell the store what was counted.

        Returns:
            breakers that stand otherwise than was known.

        Raises:
            PlatformError: the database does not answer; what was counted is kept.
        """
        if not self._calls:
            return set()
        found = self._store.called(self._calls)
        self._calls = {}
        return self._learn(set(found), found)

    def look(self, lives: Iterable[Live]) -> set[BreakerKey]:
        """Learn how the breakers of executions stand; returns those that stand otherwise than was known.

        Raises:
            PlatformError: the database does not answer.
        """
        keys = {(live.claim.tenant_id, name) for live in lives for name in live.version.breakers}
        self._known = {key: state for key, state in self._known.items() if key in keys}
        return self._learn(keys, self._store.breakers(list(keys))) if keys else set()

    def _learn(self, keys: set[BreakerKey], found: Mapping[BreakerKey, BreakerState]) -> set[BreakerKey]:
        changed = {key for key in keys if found.get(key, CLOSED).until_at != self._known.get(key, CLOSED).until_at}
        self._known |= {key: found.get(key, CLOSED) for key in keys}
        return changed
