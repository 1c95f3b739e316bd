"""The implementations that each contract is held against."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.database import dsn, new_database, postgres, template
from wfplatform.engine.testing.memory import MemoryStore
from wfplatform.engine.testing.memory_catalog import MemoryCatalog, MemoryReader
from wfplatform.engine.testing.memory_past import MemoryPast
from wfplatform.engine.testing.memory_sharing import MemoryShared
from wfplatform.store.catalog import Catalog
from wfplatform.store.database import Database
from wfplatform.store.engine_store import PostgresEngineStore
from wfplatform.store.late_store import PostgresLateStore
from wfplatform.store.past import PastReader
from wfplatform.store.reader import Reader
from wfplatform.store.shared import Shared
from wfplatform.store.sharing import PostgresSharing

__all__ = ["dsn", "new_database", "postgres", "subject", "template"]


class Subject(NamedTuple):
    """A store with its faces: what engines use, what use cases write, what is read, what forecasts go by, what is shared, who is
    late.
    """

    store: Any
    catalog: Any
    reader: Any
    past: Any
    sharing: Any
    shared: Any
    late: Any


@pytest.fixture(params=["memory", "postgres"])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """Each implementation in turn."""
    if request.param == "memory":
        memory = MemoryStore()
        yield Subject(
            memory,
            MemoryCatalog(memory),
            MemoryReader(memory),
            MemoryPast(memory),
            memory,
            MemoryShared(memory.sharing, memory.now),
            memory,
        )
        return
    address = request.getfixturevalue("dsn")
    store, database = PostgresEngineStore(address), Database(address)
    yield Subject(
        store,
        Catalog(database),
        Reader(database),
        PastReader(database),
        PostgresSharing(store),
        Shared(database),
        PostgresLateStore(store),
    )
    store.close()
    database.close()
