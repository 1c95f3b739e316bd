"""What is kept for how long, and what goes: rules and counts.

Refuses: removing. Workflows, versions, code and costs are no part of it: they are kept for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

__all__ = ["GoingWorkflow", "Gone", "Preview", "RetentionRules"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRules:
    """How long things are kept. What is open, or is to be tried again, never goes.

    Args:
        executions: from their end on; None: by age none goes.
        executions_per_workflow: how many that have ended each workflow keeps; None: any number.
        logs: how long lines are kept from the end of their execution on; None: as long as the execution.
        unused: how long nobody must have referred to an artifact before it goes.
        settled: executions that ended more recently do not go for their number alone: somebody may still wait for the result.
    """

    executions: timedelta | None = timedelta(days=90)
    executions_per_workflow: int | None = None
    logs: timedelta | None = timedelta(days=30)
    unused: timedelta = timedelta(days=1)
    settled: timedelta = timedelta(hours=1)


@dataclass(slots=True, kw_only=True)
class Gone:
    """How much goes, or went.

    Attributes:
        executions: with those they started.
        nodes: recorded elements of nodes.
        attempts: recorded tries that were followed by another.
        lines: of logs.
        commands: what was asked of executions.
        cache_entries: results for reuse: those of these executions, and those that have expired.
        artifacts: values that nobody has referred to for long enough.
        artifact_bytes: what they take, in the database or the storage.
        unused_artifacts: values that are found to be referred to by nobody for the first time; they go later, unless used again.
        unused_bytes: what these take.
    """

    executions: int = 0
    nodes: int = 0
    attempts: int = 0
    lines: int = 0
    commands: int = 0
    cache_entries: int = 0
    artifacts: int = 0
    artifact_bytes: int = 0
    unused_artifacts: int = 0
    unused_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GoingWorkflow:
    """What goes of the executions of one workflow.

    Attributes:
        ended_at: when the oldest of them ended.
        size_bytes: what the rows of nodes, tries and logs take.
    """

    name: str
    executions: int
    nodes: int
    lines: int
    size_bytes: int
    ended_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What would go now.

    Attributes:
        workflows: by the end of their oldest execution.
        gone: altogether.
    """

    workflows: Sequence[GoingWorkflow] = ()
    gone: Gone = field(default_factory=Gone)
