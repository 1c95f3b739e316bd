"""What of a workflow version is told, and to whom: its hooks, each with the version that it was published with.

Refuses to load hooks: whether one can be run is its own execution's matter.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from wfplatform.authoring.document import from_document
from wfplatform.authoring.document_hook import plain_hooks
from wfplatform.core.graph import Definition, Graph
from wfplatform.core.hook import Occasion
from wfplatform.core.ports import StoredVersion, VersionStore
from wfplatform.errors import NotFoundError, WfError

__all__ = ["BoundHook", "Telling", "telling"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundHook:
    """A hook whose version was found.

    Args:
        definition: what it runs, without anything where that cannot be read, which its own execution then says.
    """

    on: Occasion
    version: StoredVersion
    definition: Definition


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """What of a workflow version is told.

    Args:
        number: of the version.
        late_after_s: how long after it was asked for an execution is late.
    """

    number: int = 0
    late_after_s: float | None = None
    hooks: tuple[BoundHook, ...] = ()


def telling(stored: StoredVersion, store: VersionStore) -> Telling:
    """What of a version is told, be it one that can be run or not.

    Raises:
        WfError: code `hook_not_published`.
        PlatformError: the database does not answer.
    """
    hooks, late_after_s = plain_hooks(stored.document)
    found = []
    for hook in hooks:
        try:
            version = store.find_version(stored.tenant_id, hook.workflow, hook.version)
        except NotFoundError as error:
            raise WfError(
                "hook_not_published",
                f"Workflow {stored.name} runs {hook.workflow}, version {hook.version[:12]}, on {hook.on}, and that was "
                "never published.",
                "Publish it, and then run the workflow again.",
                workflow=stored.name,
                hook=hook.workflow,
            ) from error
        found.append(BoundHook(on=hook.on, version=version, definition=_definition(version)))
    return Telling(number=stored.number, late_after_s=late_after_s, hooks=tuple(found))


def _definition(version: StoredVersion) -> Definition:
    try:
        return from_document(dict(version.document))
    except WfError as error:
        logger.warning("hook cannot be read", extra={"workflow": version.name, "reason": error.message})
        return Definition(name=version.name, graph=Graph(nodes=()))
