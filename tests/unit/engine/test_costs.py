"""What nodes are expected to take, learned from what they took."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

import pytest

from wfplatform.core.execution import Outcome, OutcomeKind
from wfplatform.engine.costs import Costs

VERSION = UUID(int=1)
RUNNER_S = 30e-6


class Kept:
    """What a store keeps of costs."""

    def __init__(self, known: Mapping[str, float]) -> None:
        self.known = known
        self.learned: list[Mapping[tuple[UUID, str], tuple[float, int]]] = []

    def costs(self, version_id: UUID) -> Mapping[str, float]:
        return self.known

    def learn(self, costs: Mapping[tuple[UUID, str], tuple[float, int]]) -> None:
        self.learned.append(costs)


def took(seconds: float, node: str = "a", kind: OutcomeKind = OutcomeKind.COMPLETED) -> Outcome:
    done = kind is OutcomeKind.COMPLETED
    return Outcome(node, (), 1, kind, started_at=10.0, finished_at=10.0 + seconds, outputs={} if done else None)


def test_the_first_elements_say_what_a_node_takes() -> None:
    costs = Costs(Kept({}))
    assert costs.of(VERSION) == {}
    costs.see(VERSION, (took(1.0), took(3.0), took(9.0, kind=OutcomeKind.FAILED), took(5.0, "b")))
    assert costs.of(VERSION) == pytest.approx({"a": 2.0 + RUNNER_S, "b": 5.0 + RUNNER_S})
    costs.see(VERSION, (took(5.0),))
    assert costs.of(VERSION)["a"] == pytest.approx(3.0 + RUNNER_S)


def test_what_was_learned_in_an_earlier_life_has_weight() -> None:
    costs = Costs(Kept({"a": 1.0}))
    costs.see(VERSION, (took(22.0),))
    assert costs.of(VERSION)["a"] == pytest.approx(2.0, rel=1e-3)


def test_only_what_is_new_is_handed_to_the_store() -> None:
    kept = Kept({"a": 1.0})
    costs = Costs(kept)
    costs.save()
    costs.see(VERSION, (took(1.0), took(3.0)))
    costs.save()
    costs.save()
    ((learned),) = kept.learned
    ((key, (mean_s, count)),) = learned.items()
    assert (key, count) == ((VERSION, "a"), 2)
    assert mean_s == pytest.approx(2.0 + RUNNER_S)
