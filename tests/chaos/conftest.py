"""What the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.campaign import open_folder


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder for homes, sockets and lines."""
    with open_folder() as made:
        yield made
