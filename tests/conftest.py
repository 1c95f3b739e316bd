"""What holds for every test: how hypothesis draws, and that no test finds the platform of who runs it.

Refuses: fixtures of a subject; those stand beside the tests that use them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The machine is shared and noisy: an example may take long, and that says nothing about the code.
# In CI the same examples are drawn every time: a change must not fail, or pass, by chance. Everywhere else new ones are.
settings.register_profile(
    "house", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=os.environ.get("CI") == "true"
)
settings.load_profile("house")


@pytest.fixture(autouse=True, scope="session")
def _own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Point all that the platform keeps for a user at a folder of this run, and drop WFP_ variables."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WFP_")]:
            patch.delenv(name)
        for name, folder in (
            ("XDG_DATA_HOME", "data"),
            ("XDG_CACHE_HOME", "cache"),
            ("XDG_STATE_HOME", "state"),
            ("XDG_CONFIG_HOME", "config"),
        ):
            patch.setenv(name, str(home / folder))
        yield home
