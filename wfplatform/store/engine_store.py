"""What engines read and write, in PostgreSQL: leases, claims, the group commit, commands and costs.

A commit is as few round trips as its content allows. Refuses: writing for an engine that was fenced off, or
into an execution that the engine no longer owns.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg import errors
from psycopg.rows import dict_row

from wfplatform.core.graph import Json
from wfplatform.core.ports import CachedResult, Command, Commit, Found, StoredRun, StoredVersion, Wanted
from wfplatform.errors import NotFoundError, WfError
from wfplatform.store import statement
from wfplatform.store.copy import LINE_COLUMNS, NODE_COLUMNS, Owned, line_text, node_text
from wfplatform.store.database import Database, Role
from wfplatform.store.failure import explained, is_passing, refusal
from wfplatform.store.partition import create_partitions
from wfplatform.store.row import Artifact, Folded, fold
from wfplatform.store.stored_run import claim_of, read_outputs, stored_run
from wfplatform.store.transaction import Statement, commit_statements, copy_rows

__all__ = ["PostgresEngineStore"]

logger = logging.getLogger(__name__)

COPY_FROM_ROWS: Final = 64
"""From this many new rows on COPY is quicker than one statement with JSON, though it takes two round trips more."""

_TRIES: Final = 5
_COMMAND: Final = ("id", "execution_id", "kind", "payload", "created_by")
_PARTITIONS_EVERY_S: Final = 6 * 3600.0
_PARTITIONS_RETRY_S: Final = 60.0
_SETTINGS: Final = {
    # An engine that is stopped in the middle of a transaction must not hold its lease's lock for ever.
    "idle_in_transaction_session_timeout": "8s",
    "statement_timeout": "20s",
    "jit": "off",
}
_VERSION: Final = """
select v.id, v.tenant_id, v.workflow_id, w.name, v.number, v.digest, v.document, v.code_digest
from workflow_version v join workflow w on w.id = v.workflow_id where """


type Connection = psycopg.Connection[tuple[Any, ...]]


class PostgresEngineStore:
    """LeaseStore, EngineStore and CostStore in PostgreSQL. Safe to share between threads.

    Args:
        dsn: the database; the account must be able to play wf_engine.
        pool_size: connections kept open; one engine needs one for commits and one for its lease.
    """

    def __init__(self, dsn: str, *, pool_size: int = 3) -> None:
        self.database: Final = Database(
            dsn,
            role=Role.ENGINE,
            application="wfplatform-engine",
            pool_size=pool_size,
            settings=_SETTINGS,
            pre_ping=False,
        )
        self._may_copy: bool | None = None
        # What each engine knows that it owns, and whose last claim ended without an answer.
        self._handed_out: defaultdict[UUID, set[UUID]] = defaultdict(set)
        self._unanswered: set[UUID] = set()
        self._partitions_due_at_s = 0.0

    def close(self) -> None:
        """Closes its connections."""
        self.database.close()

    # -- leases

    def now(self) -> datetime:
        """The present instant by the clock of the database.

        Raises:
            UnreachableError: it does not answer.
        """
        row = self.retried(lambda connection: connection.execute("select clock_timestamp()").fetchone())
        assert row is not None
        at: datetime = row[0]
        return at.astimezone(UTC)

    def register(self, engine_id: UUID, *, lease_s: float, facts: Mapping[str, Json]) -> None:
        """Announce an engine and take its lease.

        Args:
            engine_id: new; an engine that was fenced off needs another one.
            lease_s: seconds until the lease is over unless renewed.
            facts: whatever helps a person; `host` and `pid` are this process's unless given. Engines with the same `seat` live
                one after the other: the next one takes over without waiting for a lease.

        Raises:
            UnreachableError: the database does not answer.
        """
        host, pid = str(facts.get("host") or socket.gethostname()), facts.get("pid") or os.getpid()
        values = (engine_id, host, pid, json.dumps(dict(facts)), lease_s)
        self.retried(
            lambda connection: connection.execute(
                "insert into engine (id, host, pid, facts, lease_expires_at)"
                " values (%s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s)) on conflict (id) do nothing",
                values,
            )
        )

    def note(self, engine_id: UUID, facts: Mapping[str, Json]) -> None:
        """Add facts to those an engine announced itself with; those of the same name are replaced.

        Raises:
            UnreachableError: the database does not answer.
        """
        values = (json.dumps(dict(facts)), engine_id)
        self.retried(
            lambda connection: connection.execute("update engine set facts = facts || %s::jsonb where id = %s", values)
        )

    def renew(self, engine_id: UUID, *, lease_s: float) -> bool:
        """Prolong the lease; False when another engine has fenced this one off."""
        return self.retried(
            lambda connection: (
                connection.execute(
                    "update engine set lease_expires_at = clock_timestamp() + make_interval(secs => %s)"
                    " where id = %s and fenced_at is null",
                    (lease_s, engine_id),
                ).rowcount
                == 1
            )
        )

    def take_over(self, engine_id: UUID) -> int:
        """Fence off engines whose lease is over, or who sat in this one's seat before it, and free their executions to be
        claimed; returns how many were freed.
        """

        def work(connection: Connection) -> int:
            freed = connection.execute(statement.TAKE_OVER, {"engine": engine_id}).rowcount
            connection.execute(statement.TIDY)
            return freed

        return self.retried(work)

    def leave(self, engine_id: UUID) -> None:
        """Give up the lease and all executions at once."""

        def work(connection: Connection) -> None:
            # Waits for a commit of another thread; the update alone would not.
            connection.execute("select from engine where id = %s for update", (engine_id,))
            connection.execute("update engine set fenced_at = clock_timestamp() where id = %s", (engine_id,))
            connection.execute(
                "update execution set engine_id = null, updated_at = now() where engine_id = %s", (engine_id,)
            )

        self.retried(work)

    # -- reading

    def look(self, engine_id: UUID, *, claims: int = 0, commands: int = 0, ahead_s: float = 0.0) -> Found:
        """Take up to `claims` executions that nobody owns and that are to run, and read up to `commands` commands for what
        the engine then owns. The epoch of an execution grows by one when it is taken.

        One that is asleep is taken when it is due within `ahead_s` or a command for it comes, one that has ended when a `retry`
        does. `runs` of claims come without outputs; ask `outputs` for those that are needed.

        Raises:
            ConflictError: code `fenced`.
            UnreachableError: the database does not answer.
        """

        def work(connection: Connection) -> Found:
            # If the answer to this one is lost, what it claimed is owned by an engine that does not know it.
            lost = engine_id in self._unanswered
            self._unanswered.add(engine_id)
            with connection.pipeline(), connection.cursor(row_factory=dict_row) as cursor:
                connection.execute(statement.FENCE, {"engine": engine_id})
                if lost:
                    known = list(self._handed_out[engine_id])
                    connection.execute(statement.RELEASED_UNKNOWN, {"engine": engine_id, "known": known})
                if claims:
                    cursor.execute(statement.CLAIM, {"engine": engine_id, "limit": claims, "ahead_s": ahead_s})
                told = connection.execute(statement.COMMANDS, {"engine": engine_id, "limit": commands})
                due = connection.execute(statement.NEXT)
                rows = cursor.fetchall() if claims else []
                wishes = [Command(**dict(zip(_COMMAND, row, strict=True))) for row in told.fetchall()]
                next_at = due.fetchone() or (None, None)
            runs: defaultdict[UUID, list[StoredRun]] = defaultdict(list)
            # Nothing can be recorded of one that no engine ever had.
            used = [row["id"] for row in rows if row["epoch"] > 1]
            if used:
                for row in connection.execute(statement.RUNS, {"ids": used}):
                    runs[row[0]].append(stored_run(row[1:]))
            claimed = [claim_of(row, runs.get(row["id"], [])) for row in rows]
            return Found(sorted(claimed, key=lambda claim: (-claim.priority, claim.id)), wishes, *next_at)

        found = self.retried(work)
        self._handed_out[engine_id].update(claim.id for claim in found.claims)
        self._unanswered.discard(engine_id)
        return found

    def version(self, version_id: UUID) -> StoredVersion:
        """A workflow version.

        Raises:
            NotFoundError: there is none.
        """
        return self._version("v.id = %s", (version_id,), f"No workflow version has the id {version_id}.")

    def find_version(self, tenant_id: UUID, name: str, digest: str | None = None) -> StoredVersion:
        """A version of a workflow by its digest; without one, the version that was published last.

        Raises:
            NotFoundError: no workflow of that tenant has that name, or it has no such version.
        """
        where = "w.tenant_id = %s and w.name = %s and "
        if digest is not None:
            missing = f"No version of {name!r} with the digest {digest[:12]} was published."
            return self._version(where + "v.digest = %s", (tenant_id, name, digest), missing)
        missing = f"No workflow named {name!r} was published."
        return self._version(where + "v.id = w.current_version_id", (tenant_id, name), missing)

    def cached(self, tenant_id: UUID, keys: Sequence[str]) -> Mapping[str, CachedResult]:
        """Key -> the result under it that has not expired; what is not there is left out."""
        values = {"tenant": tenant_id, "keys": list(keys)}
        rows = self.retried(lambda connection: connection.execute(statement.CACHED, values).fetchall())
        return {row[0]: CachedResult(row[1], row[2], row[3]) for row in rows}

    def code(self, tenant_id: UUID, digest: str) -> bytes:
        """The code that travels with a version.

        Raises:
            NotFoundError: there is none with that digest.
        """
        row = self.retried(
            lambda connection: connection.execute(
                "select body from code where tenant_id = %s and digest = %s", (tenant_id, digest)
            ).fetchone()
        )
        if row is None:
            raise NotFoundError("code_not_found", f"No code with the digest {digest} is stored.")
        return bytes(row[0])

    def outputs(self, wanted: Wanted) -> Mapping[UUID, Sequence[StoredRun]]:
        """What is committed of some elements, with their outputs; bodies of small artifacts stand in them as `body`."""
        asked = {execution_id: list(places) for execution_id, places in wanted.items()}
        return self.retried(lambda connection: read_outputs(connection, asked))

    # -- costs

    def costs(self, version_id: UUID) -> Mapping[str, float]:
        """Node id -> expected seconds for one element."""
        query = "select node_id, mean_s from node_cost where version_id = %s"
        rows = self.retried(lambda connection: connection.execute(query, (version_id,)).fetchall())
        return dict(rows)

    def learn(self, costs: Mapping[tuple[UUID, str], tuple[float, int]]) -> None:
        """(version, node id) -> (mean seconds, number of elements) of what was just seen; averaged with what was known."""
        rows = [
            {"version_id": str(version_id), "node_id": node, "mean_s": mean_s, "samples": samples}
            for (version_id, node), (mean_s, samples) in costs.items()
            if samples > 0
        ]
        if rows:
            self.retried(lambda connection: connection.execute(statement.LEARN, {"rows": json.dumps(rows)}))

    # -- housekeeping

    def look_after(self) -> None:
        """Makes partitions ahead, at most every few hours; call it as often as you like.

        What fails (a lock that is not given in time) is logged and tried again in a minute.
        """
        now_s = time.monotonic()
        if now_s < self._partitions_due_at_s:
            return
        self._partitions_due_at_s = now_s + _PARTITIONS_RETRY_S
        try:
            made = self.retried(create_partitions)
        except WfError as error:
            logger.warning("partitions not made", extra={"reason": error.message})
            return
        self._partitions_due_at_s = now_s + _PARTITIONS_EVERY_S
        if made:
            logger.info("partitions made", extra={"count": made})

    # -- the group commit

    def commit(self, commit: Commit) -> None:
        """Write a transaction. Writing the same one again changes nothing.

        Records of an execution that the engine does not own in that epoch are left out.

        Raises:
            ConflictError: code `fenced`, when the engine's lease was taken over; nothing was written.
            UnreachableError: the database does not answer; whether the commit happened is unknown.
            UnstorableError: code `commit_refused`; it holds something that can never be stored, and nothing was written.
        """
        trusted, left = True, _TRIES
        with explained():
            while True:
                try:
                    folded = fold(commit, trusted=trusted)
                    with self.database.driver() as connection:
                        self._write(connection, commit, folded)
                    break
                except Exception as error:
                    if trusted and isinstance(error, errors.UniqueViolation):
                        # Something fresh was stored before: by a commit whose answer was lost, or by an earlier
                        # round of a retried node.
                        trusted = False
                        continue
                    refused = refusal(error)
                    if refused is not None:
                        raise refused from error
                    if not isinstance(error, psycopg.OperationalError):
                        raise
                    left -= 1
                    if not is_passing(error) or left == 0:
                        self.database.forget()
                        raise
                    logger.info("commit tried again", extra={"reason": type(error).__name__})
        ended = (change.id for change in commit.executions if change.state.final)
        asleep = (one.id for one in commit.asleep)
        self._handed_out[commit.engine_id].difference_update(commit.released, ended, asleep)

    def _write(self, connection: Connection, commit: Commit, folded: Folded) -> None:
        if self._may_copy is None:
            row = connection.execute(
                "select rolbypassrls or rolsuper from pg_roles where rolname = current_user"
            ).fetchone()
            self._may_copy = bool(row and row[0])  # COPY is refused under row-level security
        artifacts: list[Artifact] = []
        fresh, lines = folded.fresh, folded.lines
        engine = {"engine": commit.engine_id}
        if self._may_copy and folded.trusted and len(fresh) + len(lines) >= COPY_FROM_ROWS:
            ids = list({record.execution_id for record in fresh} | {line.execution_id for line in lines})
            with connection.pipeline():
                connection.execute(statement.FENCE, engine)
                found = connection.execute(statement.OWNED, {**engine, "ids": ids})
                owned: Owned = {row[0]: (row[1], row[2]) for row in found}
            if fresh:
                copy_rows(connection, "node_execution", NODE_COLUMNS, node_text(fresh, owned, artifacts))
            if lines:
                copy_rows(connection, "node_log", LINE_COLUMNS, line_text(lines, owned))
            fresh, lines = [], []
            first: list[Statement] = []
        else:
            first = [(statement.FENCE, engine)]
        rest = Folded(fresh, folded.written, folded.standing, folded.reset, folded.attempts, lines)
        with connection.pipeline():
            for query, values in [*first, *commit_statements(commit, rest, artifacts)]:
                connection.execute(query, values)
            connection.execute(statement.COMMIT)

    # -- details

    def _version(self, where: str, values: tuple[object, ...], missing: str) -> StoredVersion:
        row = self.retried(lambda connection: connection.execute(_VERSION + where, values).fetchone())
        if row is None:
            raise NotFoundError("version_not_found", missing, "Run it once with .run(), which publishes it.")
        names = ("id", "tenant_id", "workflow_id", "name", "number", "digest", "document", "code_digest")
        return StoredVersion(**dict(zip(names, row, strict=True)))

    def retried[Result](self, work: Callable[[Connection], Result]) -> Result:
        """Does work that may be done twice: once more after a lost connection, several times after a deadlock."""
        with explained():
            for left in range(_TRIES, 0, -1):
                try:
                    with self.database.driver() as connection:
                        return work(connection)
                except psycopg.OperationalError as error:
                    if is_passing(error) and left > 1:
                        continue
                    if left < _TRIES or isinstance(error, errors.QueryCanceled):
                        raise
                    self.database.forget()
            raise AssertionError("unreachable")
