"""What the tests of this folder share."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.simulation.bench import Bench, bench


@pytest.fixture(scope="module")
def runner() -> Iterator[Bench]:
    # Much is warned of when everything goes wrong.
    logging.disable(logging.CRITICAL)
    with bench() as made:
        yield made
    logging.disable(logging.NOTSET)
