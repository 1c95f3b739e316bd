"""What API, command line and clients read, for one tenant at a time: workflows, executions, nodes, attempts, logs and results.

Lists go by key, never by counting rows away, so page 1,000 is as quick as page 1. Refuses: writing.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg.rows import dict_row
from sqlalchemy import Select, func, literal, select, tuple_

from wfplatform.core.execution import Element, ExecutionState, NodeState
from wfplatform.core.graph import Json
from wfplatform.core.identifier import lowest_id_at
from wfplatform.core.ports import StoredRun, StoredVersion, Wanted
from wfplatform.core.record import (
    AttemptRecord,
    AwaitedRecord,
    EndedExecution,
    ExecutionRecord,
    LogRecord,
    NodeExecutionRecord,
    NodeSummary,
    Page,
    WorkflowRecord,
)
from wfplatform.errors import NotFoundError, UserError
from wfplatform.store import statement
from wfplatform.store.awaited import AWAITED, awaited_record
from wfplatform.store.database import Database
from wfplatform.store.execution_filter import execution_filter
from wfplatform.store.failure import explained
from wfplatform.store.record_row import (
    SUMMARY,
    attempt_record,
    bounded,
    execution_record,
    indices,
    log_record,
    node_record,
    node_summary,
    read_cursor,
    read_key,
    version_query,
    workflow_query,
)
from wfplatform.store.stored_run import read_outputs
from wfplatform.store.table import Row

__all__ = ["Reader"]

_EXECUTION: Final = Row.metadata.tables["execution"].c
_NODE: Final = Row.metadata.tables["node_execution"].c
_ATTEMPT: Final = Row.metadata.tables["attempt"].c
_LOG: Final = Row.metadata.tables["node_log"].c
_WORKFLOW: Final = Row.metadata.tables["workflow"].c
_VERSION: Final = Row.metadata.tables["workflow_version"].c

_NODE_HIDDEN: Final = {"tenant_id", "upstream", "alone"}
# What only engines need is not fetched: signals that are kept may be large.
_OF_EXECUTION: Final = [column for column in _EXECUTION if column.name not in {"is_asleep", "mailbox"}]
_HEX: Final = frozenset("0123456789abcdef")
_ENDED: Final = """
select id, state, version_id, parameters from execution e
where id = any(%b) and state in ('completed', 'failed', 'cancelled')
    and not exists (select from command c where c.execution_id = e.id and c.done_at is null and c.kind = 'retry')"""


class Reader:
    """Reads of a tenant. Each method raises UnreachableError when the database does not answer.

    Args:
        database: as the runtime role.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- workflows

    def workflows(
        self,
        tenant_id: UUID,
        *,
        active_only: bool = True,
        limit: int = 50,
        after: str | None = None,
        total: bool = False,
    ) -> Page[WorkflowRecord]:
        """Workflows by name.

        Args:
            limit: rows of a page, 1 to `PAGE_LIMIT`.
            after: `next` of the page before.
            total: whether all are to be counted too.
        """
        kept = [_WORKFLOW.is_active] if active_only else []
        query = workflow_query().where(*kept)
        if after is not None:
            query = query.where(_WORKFLOW.name > after)
        rows, count = self._page(
            tenant_id,
            query.order_by(_WORKFLOW.name),
            limit,
            select(func.count()).where(*kept) if total else None,
        )
        items = [WorkflowRecord(**row) for row in rows[:limit]]
        return Page(items, items[-1].name if len(rows) > limit else None, count)

    def workflow(self, tenant_id: UUID, name: str) -> WorkflowRecord:
        """A workflow by its name.

        Raises:
            NotFoundError: there is none.
        """
        rows = self._rows(tenant_id, workflow_query().where(_WORKFLOW.name == name))
        if not rows:
            raise NotFoundError(
                "workflow_not_found", f"No workflow is named {name!r}.", "`wfp workflows list` shows all names."
            )
        return WorkflowRecord(**rows[0])

    def versions(self, tenant_id: UUID, name: str, *, limit: int = 50) -> Sequence[StoredVersion]:
        """The versions of a workflow, newest first."""
        query = version_query().where(_WORKFLOW.name == name).order_by(_VERSION.number.desc()).limit(bounded(limit))
        return [StoredVersion(**row) for row in self._rows(tenant_id, query)]

    def version(self, tenant_id: UUID, version_id: UUID) -> StoredVersion:
        """A version by its id.

        Raises:
            NotFoundError: there is none.
        """
        rows = self._rows(tenant_id, version_query().where(_VERSION.id == version_id))
        if not rows:
            raise NotFoundError("version_not_found", f"No workflow version has the id {version_id}.")
        return StoredVersion(**rows[0])

    # -- executions

    def execution(self, tenant_id: UUID, execution_id: UUID) -> ExecutionRecord:
        """An execution by its id.

        Raises:
            NotFoundError: there is none.
        """
        rows = self._rows(tenant_id, select(*_OF_EXECUTION).where(_EXECUTION.id == execution_id))
        if not rows:
            raise NotFoundError("execution_not_found", f"No execution has the id {execution_id}.")
        return execution_record(rows[0])

    def states(self, tenant_id: UUID, execution_ids: Iterable[UUID]) -> Mapping[UUID, ExecutionState]:
        """The states of executions; those that do not exist are left out."""
        with explained(), self._database.driver() as connection, connection.pipeline():
            connection.execute(statement.TENANT, (str(tenant_id),))
            found = connection.execute("select id, state from execution where id = any(%b)", (list(execution_ids),))
            return {id: ExecutionState(state) for id, state in found.fetchall()}

    def ended(self, tenant_id: UUID, execution_ids: Iterable[UUID]) -> Mapping[UUID, EndedExecution]:
        """Those of some executions that have ended; the others are left out, and those that are to be tried again."""
        with explained(), self._database.driver() as connection, connection.pipeline():
            # Asked for again and again by whoever waits: without the expression language, which costs more than the query.
            connection.execute(statement.TENANT, (str(tenant_id),))
            found = connection.execute(_ENDED, (list(execution_ids),))
            return {id: EndedExecution(ExecutionState(state), *rest) for id, state, *rest in found.fetchall()}

    def keyed(self, tenant_id: UUID, workflow_name: str, idempotency_key: str) -> UUID | None:
        """The execution of a workflow that was started under a key."""
        query = select(_EXECUTION.id).where(
            _EXECUTION.workflow_name == workflow_name, _EXECUTION.idempotency_key == idempotency_key
        )
        rows = self._rows(tenant_id, query)
        return rows[0]["id"] if rows else None

    def find(self, tenant_id: UUID, prefix: str) -> ExecutionRecord:
        """An execution by its id or by the first digits of it, with or without dashes.

        Raises:
            NotFoundError: none begins so.
            UserError: several do; `facts["ids"]` names some.
        """
        digits = prefix.strip().lower().replace("-", "")
        if not digits or len(digits) > 32 or not _HEX.issuperset(digits):
            raise NotFoundError(
                "execution_not_found", f"{prefix!r} is neither an execution's id nor the beginning of one."
            )
        low, high = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
        query = select(*_OF_EXECUTION).where(_EXECUTION.id.between(low, high)).order_by(_EXECUTION.id.desc()).limit(5)
        rows = self._rows(tenant_id, query)
        if not rows:
            raise NotFoundError("execution_not_found", f"No execution's id begins with {prefix!r}.")
        if len(rows) > 1:
            ids = [str(row["id"]) for row in rows]
            raise UserError(
                "execution_ambiguous",
                f"{len(ids)} or more executions begin with {prefix!r}: {', '.join(ids)}.",
                "Give more digits.",
                ids=ids,
            )
        return execution_record(rows[0])

    def executions(
        self,
        tenant_id: UUID,
        *,
        states: Collection[ExecutionState] = (),
        workflow_name: str | None = None,
        tag: str | None = None,
        parent_id: UUID | None = None,
        hook_of: UUID | None = None,
        hooks: bool = True,
        limit: int = 50,
        after: str | None = None,
        offset: int = 0,
        total: bool = False,
    ) -> Page[ExecutionRecord]:
        """Executions, newest first.

        Args:
            states: only these; all when empty.
            parent_id: only the children of this one.
            hook_of: only what tells of this one, without what that runs in turn.
            hooks: whether what tells of others is among them.
            limit: rows of a page, 1 to `PAGE_LIMIT`.
            after: `next` of the page before.
            offset: rows to leave out, for those who count pages; costs as much as reading them.
            total: whether all that fit are to be counted too.
        """
        kept = execution_filter(
            states=states, workflow_name=workflow_name, tag=tag, parent_id=parent_id, hook_of=hook_of, hooks=hooks
        )
        query = select(*_OF_EXECUTION).where(*kept).order_by(_EXECUTION.id.desc()).offset(offset or None)
        if after is not None:
            query = query.where(_EXECUTION.id < read_cursor(after, UUID))
        counting = select(func.count()).select_from(Row.metadata.tables["execution"]).where(*kept)
        rows, count = self._page(tenant_id, query, limit, counting if total else None)
        items = [execution_record(row) for row in rows[:limit]]
        return Page(items, str(items[-1].id) if len(rows) > limit else None, count)

    def counts(self, tenant_id: UUID, *, since_at: datetime) -> Mapping[ExecutionState, int]:
        """How many executions that were asked for since an instant are in each state."""
        query = (
            select(_EXECUTION.state, func.count().label("count"))
            .where(_EXECUTION.id >= lowest_id_at(since_at))
            .group_by(_EXECUTION.state)
        )
        return {ExecutionState(row["state"]): row["count"] for row in self._rows(tenant_id, query)}

    # -- inside an execution

    def nodes(
        self,
        tenant_id: UUID,
        execution_id: UUID,
        *,
        states: Collection[NodeState] = (),
        node: str | None = None,
        limit: int = 1000,
        after: str | None = None,
    ) -> Page[NodeExecutionRecord]:
        """What is recorded of the nodes of an execution, by node and element. Nodes that are simply pending have no record."""
        columns = [column for column in _NODE if column.name not in _NODE_HIDDEN]
        query = select(*columns).where(_NODE.execution_id == execution_id).order_by(_NODE.node_id, _NODE.element)
        if states:
            query = query.where(_NODE.state.in_(sorted(states)))
        if node is not None:
            query = query.where(_NODE.node_id == node)
        if after is not None:
            last_node, element = read_key(after, str, list)
            query = query.where(tuple_(_NODE.node_id, _NODE.element) > tuple_(literal(last_node), indices(element)))
        rows, _ = self._page(tenant_id, query, limit, None)
        items = [node_record(row) for row in rows[:limit]]
        follows = json.dumps([items[-1].node, items[-1].element]) if len(rows) > limit else None
        return Page(items, follows)

    def summary(self, tenant_id: UUID, execution_id: UUID) -> Sequence[NodeSummary]:
        """What the elements of each node come to, by node; nodes that are simply pending have none."""
        with explained(), self._database.driver() as connection, connection.pipeline():
            connection.execute(statement.TENANT, (str(tenant_id),))
            return [node_summary(row) for row in connection.execute(SUMMARY, (execution_id,)).fetchall()]

    def attempts(
        self,
        tenant_id: UUID,
        execution_id: UUID,
        *,
        node: str | None = None,
        between: tuple[Element, Element] | None = None,
        limit: int = 1000,
        after: str | None = None,
    ) -> Page[AttemptRecord]:
        """Tries that were followed by another one, by node, element and number.

        Args:
            between: only those of elements from the first to the last of these.
        """
        key = (_ATTEMPT.node_id, _ATTEMPT.element, _ATTEMPT.attempt)
        query = select(*list(_ATTEMPT)).where(_ATTEMPT.execution_id == execution_id).order_by(*key)
        if node is not None:
            query = query.where(_ATTEMPT.node_id == node)
        if between is not None:
            query = query.where(_ATTEMPT.element.between(*map(indices, between)))
        if after is not None:
            last_node, element, number = read_key(after, str, list, int)
            query = query.where(tuple_(*key) > tuple_(literal(last_node), indices(element), literal(number)))
        rows, _ = self._page(tenant_id, query, limit, None)
        items = [attempt_record(row) for row in rows[:limit]]
        last = items[-1] if len(rows) > limit else None
        return Page(items, json.dumps([last.node, last.element, last.attempt]) if last else None)

    def logs(
        self,
        tenant_id: UUID,
        execution_id: UUID,
        *,
        node: str | None = None,
        least_level: int = 0,
        limit: int = 1000,
        after: str | None = None,
    ) -> Page[LogRecord]:
        """Lines in the order of their instants.

        `next` stands on every page that is not empty: who follows a running execution asks with it again.

        Args:
            least_level: as in `logging`.
        """
        query = select(*list(_LOG)).where(_LOG.execution_id == execution_id)
        if node is not None:
            query = query.where(_LOG.node_id == node)
        if least_level:
            query = query.where(_LOG.level >= least_level)
        key = (_LOG.at, _LOG.node_id, _LOG.element, _LOG.attempt, _LOG.line)
        if after is not None:
            at, last_node, element, attempt, line = read_key(after, str, str, list, int, int)
            instant = read_cursor(at, datetime.fromisoformat)
            bound = (literal(instant), literal(last_node), indices(element), literal(attempt), literal(line))
            query = query.where(tuple_(*key) > tuple_(*bound))
        rows = self._rows(tenant_id, query.order_by(*key).limit(bounded(limit)))
        items = [log_record(row) for row in rows]
        last = items[-1] if items else None
        return Page(items, json.dumps([last.at.isoformat(), *last[1:5]]) if last else after)

    def surroundings(self, tenant_id: UUID, version_id: UUID) -> tuple[Mapping[str, str], Sequence[Mapping[str, Json]]]:
        """What a version needs (distribution -> version), and what the workers of living engines have."""
        with explained(), self._database.driver() as connection:
            connection.execute(statement.TENANT, (str(tenant_id),))
            needed = connection.execute(
                "select requirements from workflow_version where id = %s", (version_id,)
            ).fetchone()
            there = connection.execute(
                "select facts -> 'environments' from engine where fenced_at is null"
                " and lease_expires_at > clock_timestamp() and facts ? 'environments'"
            ).fetchall()
        found = [environment for (environments,) in there for environment in environments]
        return needed[0] if needed else {}, found

    def awaited(self, tenant_id: UUID, kind: str, execution_id: UUID | None = None) -> Sequence[AwaitedRecord]:
        """Elements that wait for what somebody is to bring (`event` or `approval`), those of the oldest executions first."""
        values = {"tenant": tenant_id, "kind": kind, "execution": execution_id}
        with explained(), self._database.driver() as connection:
            connection.execute(statement.TENANT, (str(tenant_id),))
            with connection.cursor(row_factory=dict_row) as cursor:
                return [awaited_record(row) for row in cursor.execute(AWAITED, values)]

    def outputs(self, tenant_id: UUID, wanted: Wanted) -> Mapping[UUID, Sequence[StoredRun]]:
        """What is committed of some elements, with their outputs; bodies of small artifacts stand in them as `body`."""
        with explained(), self._database.driver() as connection:
            connection.execute(statement.TENANT, (str(tenant_id),))
            return read_outputs(connection, wanted)

    # -- details

    def _rows(self, tenant_id: UUID, query: Select[Any]) -> Sequence[Mapping[str, Any]]:
        with self._database.session(tenant_id) as session:
            return [dict(row) for row in session.connection().execute(query).mappings()]

    def _page(
        self, tenant_id: UUID, query: Select[Any], limit: int, counting: Select[Any] | None
    ) -> tuple[Sequence[Mapping[str, Any]], int | None]:
        with self._database.session(tenant_id) as session:
            connection = session.connection()
            # One more than asked for tells whether another page follows.
            rows = [dict(row) for row in connection.execute(query.limit(bounded(limit) + 1)).mappings()]
            return rows, None if counting is None else connection.execute(counting).scalar_one()
