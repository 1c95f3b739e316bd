"""What the use cases write for a tenant: published versions with their code, executions that are to run, commands.

Every statement runs under row-level security. Refuses: changing an execution; whoever wants that inserts a command.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg import errors

from wfplatform.core.canonical import digest as sha256
from wfplatform.core.graph import Json
from wfplatform.core.identifier import TimeOrderedIds
from wfplatform.core.ports import Ids, Publication, StoredVersion
from wfplatform.core.start import NewExecution
from wfplatform.errors import ConflictError, DefinitionError, NotFoundError
from wfplatform.store import statement
from wfplatform.store.database import Database
from wfplatform.store.failure import explained
from wfplatform.store.row import child_rows
from wfplatform.store.text import clean, exact_json

__all__ = ["COMMAND_KINDS", "Catalog"]

COMMAND_KINDS: Final = frozenset({"cancel", "pause", "resume", "retry", "signal", "decide"})

_COLUMNS: Final = "v.id, v.tenant_id, v.workflow_id, w.name, v.number, v.digest, v.document, v.code_digest"
_NAMES: Final = ("id", "tenant_id", "workflow_id", "name", "number", "digest", "document", "code_digest")
_CURRENT: Final = f"""
select {_COLUMNS}, v.id = w.current_version_id and w.is_active and w.description = %(description)s
from workflow w join workflow_version v on v.workflow_id = w.id
where w.name = %(name)s and v.digest = %(digest)s"""  # noqa: S608 - made of constants
_WORKFLOW: Final = """
insert into workflow (id, tenant_id, name, description, created_by)
values (%(id)s, %(tenant)s, %(name)s, %(description)s, %(by)s)
on conflict (tenant_id, name) do update set description = excluded.description, updated_at = now(), is_active = true
returning id"""
# The row of the workflow is locked by then, so two publishers cannot take the same number.
_VERSION: Final = """
insert into workflow_version (id, tenant_id, workflow_id, number, digest, document, code_digest, requirements, created_by)
select %(id)s, %(tenant)s, %(workflow)s, coalesce(max(number), 0) + 1, %(digest)s, %(document)s, %(code)s,
    %(requirements)s, %(by)s
from workflow_version where workflow_id = %(workflow)s
on conflict (workflow_id, digest) do nothing"""


class Catalog:
    """Writes of the use cases.

    Args:
        database: as the runtime role.
        ids: makes identifiers.
    """

    def __init__(self, database: Database, *, ids: Ids | None = None) -> None:
        self._database = database
        self._ids = ids or TimeOrderedIds()

    def publish(self, tenant_id: UUID, publication: Publication, *, created_by: str = "") -> StoredVersion:
        """Store a workflow version and make it the current one. Publishing the same again returns the version there is.

        Args:
            publication: what to store.
            created_by: who asks.

        Raises:
            DefinitionError: a blank name.
            UnreachableError: the database does not answer.
        """
        if not publication.name.strip():
            raise DefinitionError("name_blank", "A workflow needs a name.", "Give it one that is not blank.")
        values: dict[str, Any] = {
            "name": publication.name,
            "digest": publication.digest,
            "tenant": tenant_id,
            "description": clean(publication.description),
            "by": clean(created_by),
            "code": publication.code_digest or sha256(publication.code),
        }
        with explained(), self._database.driver() as connection:
            found = self._in_tenant(connection, tenant_id, _CURRENT, values)
            if found is None or not found[8]:
                workflow = connection.execute(_WORKFLOW, {**values, "id": self._ids.new()}).fetchone()
                assert workflow is not None
                connection.execute(
                    "insert into code (tenant_id, digest, body) values (%s, %s, %s) on conflict do nothing",
                    (tenant_id, values["code"], publication.code),
                )
                more = {
                    "id": self._ids.new(),
                    "workflow": workflow[0],
                    "document": exact_json(publication.document),
                    "requirements": json.dumps(dict(publication.requirements)),
                }
                connection.execute(_VERSION, {**values, **more})
                connection.execute(
                    "update workflow w set current_version_id = v.id from workflow_version v"
                    " where v.workflow_id = w.id and w.id = %s and v.digest = %s",
                    (workflow[0], publication.digest),
                )
                found = connection.execute(_CURRENT, values).fetchone()
            assert found is not None
            return StoredVersion(**dict(zip(_NAMES, found[:8], strict=True)))

    def insert(self, tenant_id: UUID, executions: Sequence[NewExecution]) -> None:
        """Ask for executions, one or 10,000, in one transaction and one round trip. Inserting the same again changes nothing.

        Raises:
            NotFoundError: a workflow version is not there.
            UnreachableError: the database does not answer; whether they were inserted is unknown.
        """
        if not executions:
            return
        rows = json.dumps(child_rows([(tenant_id, execution) for execution in executions]))
        try:
            with explained(), self._database.driver() as connection, connection.pipeline():
                connection.execute(statement.TENANT, (str(tenant_id),))
                connection.execute(statement.CHILDREN, {"rows": rows, "engine": None})
                connection.execute(statement.COMMIT)
        except Exception as error:
            if isinstance(error.__cause__, errors.ForeignKeyViolation):
                versions = sorted({str(execution.version_id) for execution in executions})
                raise NotFoundError(
                    "version_not_found",
                    f"No such workflow version: one of {', '.join(versions[:5])}.",
                    "Publish the workflow first.",
                ) from error
            raise

    def command(
        self,
        tenant_id: UUID,
        execution_id: UUID,
        kind: str,
        payload: Mapping[str, Json] | None = None,
        *,
        created_by: str = "",
    ) -> int:
        """Ask something of an execution; its engine finds it within its polling interval, or at once when it is notified.

        Args:
            kind: `cancel`, `pause`, `resume`, `retry` or `signal`.
            payload: what the kind needs.

        Returns:
            The command's id.

        Raises:
            NotFoundError: no such execution.
            ConflictError: it has ended (or, for `retry`, has not).
        """
        if kind not in COMMAND_KINDS:
            raise ConflictError("unknown_command", f"Expected one of {', '.join(sorted(COMMAND_KINDS))}, got {kind!r}.")
        with explained(), self._database.driver() as connection:
            found = self._in_tenant(
                connection, tenant_id, "select state from execution where id = %(id)s", {"id": execution_id}
            )
            if found is None:
                raise NotFoundError("execution_not_found", f"No execution has the id {execution_id}.")
            ended = found[0] in {"completed", "failed", "cancelled"}
            # Of single elements that failed it may be asked at any time.
            if ended is not (kind == "retry") and not (kind == "retry" and payload):
                state = "has ended" if ended else "has not ended"
                raise ConflictError(
                    "execution_ended" if ended else "execution_open",
                    f"The execution {execution_id} {state} ({found[0]}), so it cannot {kind}.",
                    execution_id=str(execution_id),
                    state=found[0],
                )
            row = connection.execute(
                "insert into command (tenant_id, execution_id, kind, payload, created_by)"
                " values (%s, %s, %s, %s, %s) returning id",
                (tenant_id, execution_id, kind, exact_json(payload or {}), clean(created_by)),
            ).fetchone()
            assert row is not None
            return int(row[0])

    def code(self, tenant_id: UUID, digest: str) -> bytes:
        """The code that travels with a version.

        Raises:
            NotFoundError: there is none with that digest.
        """
        query = "select body from code where digest = %(digest)s"
        with explained(), self._database.driver() as connection:
            row = self._in_tenant(connection, tenant_id, query, {"digest": digest})
        if row is None:
            raise NotFoundError("code_not_found", f"No code with the digest {digest} is stored.")
        return bytes(row[0])

    def _in_tenant(
        self,
        connection: psycopg.Connection[tuple[Any, ...]],
        tenant_id: UUID,
        query: str,
        values: Mapping[str, Any],
    ) -> tuple[Any, ...] | None:
        with connection.pipeline():
            connection.execute(statement.TENANT, (str(tenant_id),))
            return connection.execute(query, values).fetchone()
