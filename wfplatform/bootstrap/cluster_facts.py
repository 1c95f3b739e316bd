"""What an engine knows of its cluster and writes down for those who start executions: which packages its workers have.

Workers with the same packages are described once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from wfplatform.core.canonical import canonical_json, digest

__all__ = ["ClusterFacts"]

WORKERS_NAMED: Final = 5
"""Of many workers with the same packages so many are named."""


class ClusterFacts:
    """Grows as workers come, shrinks as they go.

    Args:
        write: keeps the facts where others read them; called from the thread in which workers come and go.
    """

    def __init__(self, write: Callable[[Mapping[str, Any]], None]) -> None:
        self._write = write
        self._environments: dict[str, Mapping[str, Any]] = {}
        self._workers: dict[str, str] = {}
        self._resources: dict[str, Mapping[str, Any]] = {}
        self._lock = threading.Lock()
        self._open = False
        self._away = False

    def start(self) -> None:
        """The engine is registered: from now on there is a place to write to."""
        self._open = True
        self._write(self.facts())

    def see(self, said: Mapping[str, Any], present: Collection[str]) -> None:
        """Workers have come or gone.

        Args:
            said: worker -> what it says of itself, for those that came.
            present: all that are there now.
        """
        with self._lock:
            before = self.facts()
            for worker, facts in said.items():
                if isinstance(facts, Mapping) and "environment" in facts:
                    environment = facts["environment"]
                    name = digest(canonical_json(environment))
                    self._environments[name] = environment
                    self._workers[worker] = name
                    self._resources[worker] = facts.get("resources") or {}
            for worker in [worker for worker in self._workers if worker not in present]:
                del self._workers[worker]
                self._resources.pop(worker, None)
            for name in self._environments.keys() - set(self._workers.values()):
                del self._environments[name]
            after = self.facts()
        if self._open and after != before:
            self._write(after)

    def tell_away(self, *, away: bool) -> None:
        """The scheduler does not answer, or does again."""
        self._away = away
        if self._open:
            self._write(self.facts())

    def facts(self) -> Mapping[str, Any]:
        """{"environments": [{"python", "distributions", "workers"}], "slots": how many workers there are,
        "resources": what kinds of workers have, "away": whether the scheduler does not answer}.
        """
        found = []
        for name, environment in sorted(self._environments.items()):
            workers = sorted(worker for worker, its in self._workers.items() if its == name)
            more = [f"{len(workers) - WORKERS_NAMED} more"] if len(workers) > WORKERS_NAMED else []
            found.append({**environment, "workers": workers[:WORKERS_NAMED] + more})
        kinds = sorted({tuple(sorted(has.items())) for has in self._resources.values() if has})
        return {
            "environments": found,
            "slots": len(self._workers),
            "resources": [dict(kind) for kind in kinds],
            "away": self._away,
        }
