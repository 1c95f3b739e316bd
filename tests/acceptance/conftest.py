"""One platform as a user has it, with the default settings, for all tests of this folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.integration.conftest import open_folder
from wfplatform.bootstrap import supervisor
from wfplatform.bootstrap.platform import EmbeddedPlatform
from wfplatform.settings import Settings

__all__ = ["open_folder"]


@pytest.fixture(scope="session")
def platform(open_folder: Path) -> Iterator[EmbeddedPlatform]:
    """A running platform. Tests that use it carry `pytest.mark.xdist_group("acceptance")`, so that a run has one of it."""
    settings = Settings.load(home=open_folder / "acceptance")
    found = EmbeddedPlatform(settings)
    yield found
    found.close()
    supervisor.stop(settings)


@pytest.fixture(scope="session")
def surroundings(platform: EmbeddedPlatform) -> Mapping[str, str]:
    """The environment of somebody who uses that platform, with `wfp` and `python` on the path."""
    programs = Path(sys.executable).parent
    return {
        **os.environ,
        "WFP_HOME": str(platform.settings.home),
        "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}",
        "COLUMNS": "100",
    }
