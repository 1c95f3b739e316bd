"""Dead letters are found by their index, however many rows stand beside them; who sees to them can change nothing else."""

from __future__ import annotations

import re
from typing import Any

import psycopg
import pytest

from tests.contract.steps import IDS, claimed, commit, engine, failed
from wfplatform.core.dead_letter import DeadLetterFilter
from wfplatform.core.execution import NodeState, Run
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.errors import NotFoundError, UserError
from wfplatform.store.catalog import Catalog
from wfplatform.store.database import Database
from wfplatform.store.dead_letter import PostgresDeadLetters, page_query
from wfplatform.store.engine_store import PostgresEngineStore

ERROR: dict[str, Any] = {"type": "ValueError", "kinds": ["ValueError"], "message": "bad"}
MANY = 30_000


class Faces:
    """What the steps of contract tests take."""

    def __init__(self, store: PostgresEngineStore, database: Database) -> None:
        self.store = store
        self.catalog = Catalog(database)


@pytest.fixture
def claim(store: PostgresEngineStore, database: Database) -> Any:
    faces = Faces(store, database)
    owner = engine(faces)
    found = claimed(faces, owner)
    commit(faces, owner, found, failed("a", Run(NodeState.FAILED, 1, error=ERROR), ERROR))
    return found


def test_a_page_reads_the_index_of_dead_letters_only(dsn: str, database: Database, claim: Any) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "insert into node_execution (execution_id, tenant_id, node_id, element, state)"
            " select %s, %s, 'm', array[i], 'completed' from generate_series(1, %s) i",
            (claim.id, DEFAULT_TENANT, MANY),
        )
        connection.execute("analyze node_execution")
    query, values = page_query(DEFAULT_TENANT, DeadLetterFilter(error="ValueError"), 60.0, 50)
    with database.driver() as connection:
        connection.execute("select set_config('app.current_tenant_id', %s, true)", (str(DEFAULT_TENANT),))
        plan = "\n".join(row[0] for row in connection.execute(f"explain (analyze) {query}".encode(), values))
    assert "_dead_at_" in plan, plan
    looked_at = sum(map(int, re.findall(r"Rows Removed by Filter: (\d+)", plan)))
    assert looked_at < 10, "of the others none is looked at"
    letters = PostgresDeadLetters(database)
    page = letters.page(DEFAULT_TENANT, DeadLetterFilter(), kept_s=60.0)
    assert [one.node for one in page.items] == ["a"]


def test_a_cursor_that_is_none_is_refused(database: Database) -> None:
    letters = PostgresDeadLetters(database)
    for after in ("5", '["2026-01-01", "x", "a", []]', '["now", "x", "a", ["b"]]'):
        with pytest.raises(UserError, match="is not what `next` of a page said"):
            letters.page(DEFAULT_TENANT, DeadLetterFilter(), kept_s=60.0, after=after)


def test_another_tenant_sees_and_discards_none(database: Database, claim: Any) -> None:
    letters = PostgresDeadLetters(database)
    page = letters.page(DEFAULT_TENANT, DeadLetterFilter(), kept_s=60.0)
    other = IDS.new()
    assert letters.page(other, DeadLetterFilter(), kept_s=60.0).items == []
    assert letters.discard(other, page.items, kept_s=60.0, by="eve") == 0
    with pytest.raises(NotFoundError):
        letters.history(other, claim.id, "a", ())
    assert letters.discard(DEFAULT_TENANT, page.items, kept_s=60.0, by="ann") == 1


@pytest.mark.parametrize("change", ["state = 'completed'", "outputs = '{}'", "edit = '{}'", "attempt = 7"])
def test_who_sees_to_them_may_change_nothing_else(database: Database, claim: Any, change: str) -> None:
    statement = f"update node_execution set {change} where execution_id = %s".encode()
    with pytest.raises(psycopg.errors.InsufficientPrivilege), database.driver() as connection:
        connection.execute(statement, (claim.id,))
