"""What `workflow.run()` does on any platform: publish what is new, start, hand back an execution."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from wfplatform.app.dead_letter import DeadLetterList
from wfplatform.app.dead_letters import DeadLetters
from wfplatform.app.executions import Executions
from wfplatform.app.handle import Execution, StartedExecutions
from wfplatform.app.sharing import Sharing
from wfplatform.authoring.document import from_document
from wfplatform.authoring.platform import RunOptions
from wfplatform.authoring.stale import CHANGED_ON_DISK
from wfplatform.authoring.workflow import Workflow
from wfplatform.core.dead_letter import DeadLetterFilter
from wfplatform.core.forecast import Forecast
from wfplatform.core.graph import Json
from wfplatform.core.policy import ALL_NODES
from wfplatform.core.ports import Publication, StoredVersion
from wfplatform.core.record import AwaitedRecord
from wfplatform.errors import DefinitionError, UserError

__all__ = ["CacheWarning", "WorkflowPlatform"]


class CacheWarning(UserWarning):
    """A node has a cache, and yet none of its results can be reused."""


class WorkflowPlatform:
    """A platform that runs workflows written in Python.

    Args:
        executions: the use cases behind it.
        letters: those of dead letters.
    """

    def __init__(self, executions: Executions, letters: DeadLetters) -> None:
        self.executions = executions
        self.letters = letters

    def run(
        self, workflow: Workflow[..., Any], parameters: Mapping[str, Json], options: RunOptions | None = None
    ) -> Execution:
        """Start an execution; it is committed when this returns.

        Args:
            workflow: what to run; published if it is new.
            parameters: checked, as JSON.
            options: for this run alone.
        """
        return self.run_many(workflow, [parameters], options)[0]

    def run_many(
        self,
        workflow: Workflow[..., Any],
        parameters: Sequence[Mapping[str, Json]],
        options: RunOptions | None = None,
    ) -> StartedExecutions:
        """Start one execution for each set of parameters, in one transaction.

        Raises:
            UserError: an idempotency key was given for several.
        """
        if options is not None and options.idempotency_key is not None and len(parameters) != 1:
            raise UserError(
                "idempotency_key",
                f"An idempotency key stands for one execution; {len(parameters)} were to be started.",
                "Start each with .options(idempotency_key=...).run(...).",
            )
        if options is not None:
            _check_names(workflow, options.refresh)
        version = self.publish(workflow)
        policy, said = workflow.policy, options or RunOptions()
        ids = self.executions.start(
            version,
            parameters,
            priority=policy.priority if said.priority is None else said.priority,
            timeout_s=policy.timeout_s if said.timeout_s is None else said.timeout_s,
            tags=(*policy.tags, *said.tags),
            idempotency_key=said.idempotency_key,
            refresh=said.refresh,
            late_after_s=policy.late_after_s,
        )
        return StartedExecutions(self.executions, ids)

    def plan(
        self, workflow: Workflow[..., Any], parameters: Mapping[str, Json], options: RunOptions | None = None
    ) -> Forecast:
        """What `run` would do: which nodes would run, which results would be reused, why, and how long it may take.

        Raises:
            UserError: a node that is to be computed anew is not in the workflow.
        """
        refresh = (options or RunOptions()).refresh
        _check_names(workflow, refresh)
        return self.executions.forecast(workflow, parameters, refresh)

    def publish(self, workflow: Workflow[..., Any]) -> StoredVersion:
        """Publish a workflow, those it calls and those that tell of it; what is published already is found again.

        Raises:
            DefinitionError: the documents of some of them would not load again; nothing was published.
        """
        found = self.executions.is_published(workflow.version)
        if found is not None:
            return found
        called = _with_others(workflow)
        _warn_of_unused_caches(called)
        _check_documents(called)
        for other in called[1:]:
            self._publish(other)
        return self._publish(workflow)

    def _publish(self, workflow: Workflow[..., Any]) -> StoredVersion:
        digest = workflow.version
        found = self.executions.is_published(digest)
        if found is not None:
            return found
        code = workflow.code
        return self.executions.publish(
            Publication(
                name=workflow.name,
                digest=digest,
                document=workflow.definition,
                code=code.to_bytes(),
                code_digest=code.digest,
                description=workflow.description,
                requirements=dict(code.requirements),
            )
        )

    @property
    def sharing(self) -> Sharing:
        """Concurrency limits and circuit breakers, to see and to set."""
        return self.executions.sharing

    def approvals(self) -> Sequence[AwaitedRecord]:
        """What waits for a person to decide."""
        return self.executions.awaited("approval")

    def dead_letters(
        self,
        *,
        workflow: str | None = None,
        node: str | None = None,
        error: str | None = None,
        execution: UUID | str | None = None,
        limit: int = 1000,
        after: str | None = None,
    ) -> DeadLetterList:
        """What failed for good and by itself, newest first: to look at, to replay, or to discard.

        Args:
            workflow: only of the workflow with this name.
            node: only elements of this node.
            error: only what failed with this type of error, one of its subclasses, or this code (`worker_lost`, `timeout`).
            execution: only of this one; its first digits will do.
            limit: how many at most, 1 to 10,000.
            after: `next` of the list before.

        Returns:
            the list; it, a part of it or each of its letters is replayed or discarded.
        """
        found = None if execution is None else self.executions.find(execution).id
        wanted = DeadLetterFilter(execution_id=found, workflow=workflow, node=node, error=error)
        return DeadLetterList(self.letters, self.letters.page(wanted, limit=limit, after=after))

    def execution(self, execution_id: UUID | str) -> Execution:
        """An execution that was started before, here or anywhere.

        Args:
            execution_id: its id, or the first digits of it if no other begins so.

        Raises:
            NotFoundError: there is none.
        """
        return Execution(self.executions, self.executions.find(execution_id).id)


def _check_names(workflow: Workflow[..., Any], refresh: Sequence[str]) -> None:
    known = {node.id for node in workflow.graph.nodes}
    strange = [name for name in refresh if name != ALL_NODES and name not in known]
    if strange:
        raise UserError(
            "node_not_found",
            f"Workflow {workflow.name} has no node {', '.join(map(repr, strange))} that could be computed anew.",
            f"It has: {', '.join(sorted(known))}.",
            nodes=strange,
        )


def _warn_of_unused_caches(workflows: Sequence[Workflow[..., Any]]) -> None:
    for workflow in workflows:
        for name, why in workflow.not_reused.items():
            if CHANGED_ON_DISK not in why:  # of that one is warned where the files are read
                text = f"Node {name} of {workflow.name} has a cache, but no result of it is reused: {why}."
                warnings.warn(text, CacheWarning, stacklevel=5)


def _with_others(workflow: Workflow[..., Any]) -> list[Workflow[..., Any]]:
    """A workflow and all that it calls or is told about by, directly or not; each version once, those that are called last."""
    found: dict[tuple[str, str], Workflow[..., Any]] = {}
    todo = [workflow]
    while todo:
        one = todo.pop()
        if (one.name, one.version) not in found:
            found[one.name, one.version] = one
            todo += [*one.children.values(), *(teller.workflow for teller in one.hooks)]
    return list(found.values())


def _check_documents(workflows: Sequence[Workflow[..., Any]]) -> None:
    """Read documents the way engines and workers will.

    Raises:
        DefinitionError: some do not load; with every problem of all of them.
    """
    errors: list[DefinitionError] = []
    for workflow in workflows:
        try:
            from_document(json.dumps(workflow.definition))
        except DefinitionError as error:
            errors.append(error)
    if len(errors) > 1:
        problems = [problem for error in errors for problem in error.facts.get("problems", ())]
        raise DefinitionError(errors[0].code, "\n".join(map(str, errors)), problems=problems)
    if errors:
        raise errors[0]
