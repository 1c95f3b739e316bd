"""Databases for the tests of this folder, and one whole platform that many of them share."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.database import dsn, empty_dsn, new_database, postgres, template
from tests.integration.running import whole
from wfplatform.bootstrap.platform import EmbeddedPlatform
from wfplatform.settings import Settings
from wfplatform.store.database import Database
from wfplatform.store.engine_store import PostgresEngineStore

__all__ = ["dsn", "empty_dsn", "new_database", "postgres", "template"]

WORKER_MEMORY_BYTES = 1_000_000_000


def opened() -> Iterator[Path]:
    """A folder that other accounts may enter: for root, PostgreSQL runs as another one."""
    made = Path(tempfile.mkdtemp(prefix="wfp-test-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


open_folder = pytest.fixture(opened, scope="session", name="open_folder")
"""One for all modules."""
folder = pytest.fixture(opened, scope="module", name="folder")
"""One for each module, which makes homes of its own in it."""


@pytest.fixture
def mark(tmp_path: Path) -> str:
    """A file that nodes write to and wait for."""
    return str(tmp_path / "mark")


@pytest.fixture
def store(dsn: str) -> Iterator[PostgresEngineStore]:
    made = PostgresEngineStore(dsn)
    yield made
    made.close()


@pytest.fixture
def database(dsn: str) -> Iterator[Database]:
    made = Database(dsn)
    yield made
    made.close()


@pytest.fixture(scope="session")
def platform(open_folder: Path) -> Iterator[EmbeddedPlatform]:
    """Database, scheduler, two workers and an engine, with short leases and little patience.

    Tests that use it carry `pytest.mark.xdist_group("platform")`, so that a run has one of it.
    """
    settings = Settings.load(
        home=open_folder / "home",
        workers=2,
        lease_s=2,
        stop_grace_s=0.5,
        idle_stop_s=600,
        worker_memory_bytes=WORKER_MEMORY_BYTES,
    )
    with whole(settings) as made:
        yield made
