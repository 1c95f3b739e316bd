"""What nobody can talk away: the lines that attempts wrote outside the platform, and when the database took what of them.

Triggers note commits and claims in tables of their own, with the time of the database. Refuses to trust a record of the platform.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

__all__ = ["Claim", "Line", "Witness", "read_lines"]

PATIENCE_S = 60.0
NOTES = """
create table chaos_commit (
    execution_id uuid, node_id text, element int[], at timestamptz not null, primary key (execution_id, node_id, element));
create table chaos_claim (execution_id uuid not null, engine_id uuid, epoch int not null, at timestamptz not null);

create function chaos_committed() returns trigger language plpgsql security definer as $$
begin
    insert into chaos_commit values (new.execution_id, new.node_id, new.element, clock_timestamp()) on conflict do nothing;
    return null;
end $$;
create function chaos_claimed() returns trigger language plpgsql security definer as $$
begin
    insert into chaos_claim values (new.id, new.engine_id, new.epoch, clock_timestamp());
    return null;
end $$;

-- Deferred: the last thing a transaction does, so that the instant is that of its commit.
create constraint trigger chaos_commit after insert or update on node_execution deferrable initially deferred
    for each row when (new.state = 'completed') execute function chaos_committed();
create constraint trigger chaos_claim after update on execution deferrable initially deferred
    for each row when (new.epoch <> old.epoch) execute function chaos_claimed();
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The beginning of an attempt, as it told itself."""

    execution: UUID
    node: str
    element: tuple[int, ...]
    attempt: int
    pid: int
    at: datetime

    @property
    def key(self) -> tuple[UUID, str, tuple[int, ...]]:
        """Of which element of which node of which execution."""
        return self.execution, self.node, self.element


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An engine took an execution."""

    execution: UUID
    engine: UUID | None
    epoch: int
    at: datetime


def read_lines(file: Path) -> list[Line]:
    """What was told so far; of a line that is just being written nothing."""
    if not file.exists():
        return []
    found = []
    for line in file.read_text(encoding="utf-8").split("\n")[:-1]:
        execution, node, element, attempt, pid, at_s = line.split(" ")
        found.append(
            Line(
                execution=UUID(execution),
                node=node,
                element=() if element == "-" else tuple(map(int, element.split("."))),
                attempt=int(attempt),
                pid=int(pid),
                at=datetime.fromtimestamp(float(at_s), UTC),
            )
        )
    return found


class Witness:
    """Looks into the database past the platform, and waits for it while it is away.

    Args:
        dsn: of its superuser, by a way that nothing cuts.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._do(lambda connection: connection.execute(NOTES))

    def rows(self, query: str, *values: Any) -> Sequence[tuple[Any, ...]]:
        """What a query finds."""
        return self._do(lambda connection: connection.execute(query.encode(), values).fetchall())

    def now(self) -> datetime:
        """The present instant by the machine's clock, which the database and the workers go by."""
        return datetime.now(UTC)

    def commits(self) -> dict[tuple[UUID, str, tuple[int, ...]], datetime]:
        """When the outcome of each element was first committed as completed."""
        found = self.rows("select execution_id, node_id, element, at from chaos_commit")
        return {(execution, node, tuple(element)): at for execution, node, element, at in found}

    def claims(self, after: datetime) -> list[Claim]:
        """Which executions engines took after an instant, the first ones first."""
        query = "select execution_id, engine_id, epoch, at from chaos_claim where at > %s order by at"
        return [Claim(execution=e, engine=g, epoch=epoch, at=at) for e, g, epoch, at in self.rows(query, after)]

    def first_commit(self, after: datetime) -> datetime | None:
        """When something was committed after an instant for the first time."""
        found: datetime | None = self.rows("select min(at) from chaos_commit where at > %s", after)[0][0]
        return found

    def owned(self, engine_pid: int) -> set[UUID]:
        """The open executions of an engine."""
        query = """
            select e.id from execution e join engine g on g.id = e.engine_id
            where g.pid = %s and g.fenced_at is null and e.state in ('pending', 'running')"""
        return {id for (id,) in self.rows(query, engine_pid)}

    def leases(self) -> list[tuple[int, bool]]:
        """Process ids of engines that nobody has fenced off, each with whether its lease still holds."""
        return [
            (pid, holds)
            for pid, holds in self.rows(
                "select pid, lease_expires_at > clock_timestamp() from engine where fenced_at is null"
            )
        ]

    def _do[Found](self, work: Callable[[psycopg.Connection[tuple[Any, ...]]], Found]) -> Found:
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                with psycopg.connect(self._dsn, autocommit=True) as connection:
                    return work(connection)
            except psycopg.OperationalError:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.05)
