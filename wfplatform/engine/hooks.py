"""Hooks: executions that tell of the end of another one, or that it is late.

They are inserted with what they tell of, in one transaction. Refuses hooks of hooks and of what hooks run: those could go on
without an end.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from wfplatform.compiler.bind import bind
from wfplatform.core.graph import Json
from wfplatform.core.hook import HookOf, Occasion, occasion_of
from wfplatform.core.late import LateExecution
from wfplatform.core.notice import NOTICE, Notice, failure_told
from wfplatform.core.ports import Ids
from wfplatform.core.start import NewExecution
from wfplatform.engine.batch import Batch
from wfplatform.engine.live import Live
from wfplatform.engine.telling import BoundHook, Telling
from wfplatform.errors import UserError

__all__ = ["Hooks"]

logger = logging.getLogger(__name__)


class Hooks:
    """Makes executions of hooks.

    Args:
        ids: makes their identifiers.
    """

    def __init__(self, ids: Ids) -> None:
        self._ids = ids

    def tell_end(self, live: Live, batch: Batch) -> None:
        """An execution ends: what tells of it goes into the commit of its end."""
        claim, execution, telling = live.claim, live.execution, live.version.telling
        occasion = occasion_of(execution.state)
        if occasion is None or claim.hook is not None or not telling.hooks:
            return
        started_at, finished_at = execution.started_at or claim.started_at, execution.finished_at
        notice = Notice(
            occasion=occasion,
            execution_id=live.id,
            workflow=claim.workflow_name,
            version=telling.number,
            state=str(execution.state),
            parameters=dict(claim.parameters),
            error=failure_told(execution.error) if occasion is Occasion.FAILURE else None,
            created_at=claim.created_at,
            started_at=started_at,
            finished_at=finished_at,
            duration_s=(finished_at - started_at).total_seconds() if started_at and finished_at else None,
            created_by=claim.created_by,
            tags=claim.tags,
            late_after_s=telling.late_after_s,
        )
        for hook in self._made(telling, notice, f"{occasion} in {claim.epoch}"):
            batch.children.append((claim.tenant_id, replace(hook, told_in=claim.epoch)))

    def of_late(self, late: LateExecution, telling: Telling, now: datetime) -> list[tuple[UUID, NewExecution]]:
        """What tells that an execution is late, (tenant, execution) each."""
        notice = Notice(
            occasion=Occasion.LATENESS,
            execution_id=late.id,
            workflow=late.workflow_name,
            version=telling.number,
            state=str(late.state),
            parameters=dict(late.parameters),
            error=failure_told(late.error),
            created_at=late.created_at,
            started_at=late.started_at,
            finished_at=None,
            duration_s=(now - late.started_at).total_seconds() if late.started_at else None,
            created_by=late.created_by,
            tags=late.tags,
            late_after_s=telling.late_after_s,
            waiting_for=late.waiting_for,
        )
        return [(late.tenant_id, hook) for hook in self._made(telling, notice, Occasion.LATENESS)]

    def _made(self, telling: Telling, notice: Notice, key: str) -> Iterator[NewExecution]:
        """Executions of the hooks that are for a notice; a second one under the same key is not inserted."""
        told = notice.to_json()
        for number, hook in enumerate(telling.hooks):
            if hook.on is notice.occasion:
                policy = hook.definition.policy
                yield NewExecution(
                    id=self._ids.new(),
                    version_id=hook.version.id,
                    workflow_name=hook.version.name,
                    parameters=_parameters(hook, told),
                    priority=policy.priority,
                    timeout_s=policy.timeout_s,
                    created_by=notice.created_by,
                    tags=policy.tags,
                    idempotency_key=f"{notice.execution_id} {key}, hook {number}",
                    hook=HookOf(notice.execution_id, notice.occasion),
                )


def _parameters(hook: BoundHook, notice: Mapping[str, Json]) -> Mapping[str, Json]:
    declared = hook.definition.graph.parameters
    given: dict[str, Json] = {NOTICE: dict(notice)} if any(one.name == NOTICE for one in declared) else {}
    try:
        return bind(declared, given)
    except UserError as error:
        # It is started all the same, and fails where everybody sees it.
        logger.warning("hook does not take its notice", extra={"workflow": hook.version.name, "reason": error.message})
        return given
