"""Whatever goes wrong, executions end as they should, nothing that is committed runs again, and nothing is left behind."""

from __future__ import annotations

import pytest

from tests.simulation.bench import Bench
from tests.simulation.simulation import simulate

SEEDS = 2000
CHUNK = 100


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_promises_are_kept(runner: Bench, first: int) -> None:
    broken = {
        seed: str(error) for seed in range(first, first + CHUNK) if (error := simulate(seed, runner)[1]) is not None
    }
    assert broken == {}, "`python -m tests.simulation --trace SEED` tells the story of one"


def test_a_seed_decides_everything(runner: Bench) -> None:
    for seed in range(20):
        first, again = simulate(seed, runner)[0], simulate(seed, runner)[0]
        assert first.notes == again.notes
