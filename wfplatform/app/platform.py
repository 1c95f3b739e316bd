"""What `workflow.run()` does on any platform: publish what is new, start, hand back an execution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from wfplatform.app.executions import Executions, Publication
from wfplatform.app.handle import Execution, StartedExecutions
from wfplatform.authoring.platform import RunOptions
from wfplatform.authoring.workflow import Workflow
from wfplatform.core.graph import Json
from wfplatform.core.ports import StoredVersion
from wfplatform.errors import UserError

__all__ = ["WorkflowPlatform"]


class WorkflowPlatform:
    """A platform that runs workflows written in Python.

    Args:
        executions: the use cases behind it.
    """

    def __init__(self, executions: Executions) -> None:
        self.executions = executions

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
        version = self.publish(workflow)
        policy, said = workflow.policy, options or RunOptions()
        ids = self.executions.start(
            version,
            parameters,
            priority=policy.priority if said.priority is None else said.priority,
            timeout_s=policy.timeout_s if said.timeout_s is None else said.timeout_s,
            tags=(*policy.tags, *said.tags),
            idempotency_key=said.idempotency_key,
        )
        return StartedExecutions(self.executions, ids)

    def publish(self, workflow: Workflow[..., Any]) -> StoredVersion:
        """Publish a workflow and those it calls; what is published already is found again."""
        digest = workflow.version
        found = self.executions.is_published(digest)
        if found is not None:
            return found
        for child in workflow.children.values():
            if child.name != workflow.name:
                self.publish(child)
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

    def execution(self, execution_id: UUID | str) -> Execution:
        """An execution that was started before, here or anywhere.

        Args:
            execution_id: its id, or the first digits of it if no other begins so.

        Raises:
            NotFoundError: there is none.
        """
        return Execution(self.executions, self.executions.find(execution_id).id)
