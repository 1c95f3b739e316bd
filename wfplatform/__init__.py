"""wfplatform: workflows as decorated Python functions, run on Dask, recorded in PostgreSQL.

    from wfplatform import node, workflow

Importing this package loads nothing but this file; each public name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wfplatform.authoring.branch import else_, if_, merge
    from wfplatform.authoring.context import NodeContext, NodeStopped, current_node
    from wfplatform.authoring.declaration import workflow
    from wfplatform.authoring.delay import delay
    from wfplatform.authoring.loop import loop
    from wfplatform.authoring.node import NodeFunction, node
    from wfplatform.authoring.output import Output, each, unmapped
    from wfplatform.authoring.platform import ExecutionHandle, ExecutionHandles, use_platform
    from wfplatform.authoring.workflow import Workflow
    from wfplatform.core.notice import Notice
    from wfplatform.core.policy import Breaker, Cache, Lane, Limit, OnFailure, OnSkip, Retry
    from wfplatform.errors import (
        ConflictError,
        DefinitionError,
        ExecutionCancelledError,
        ExecutionError,
        NodeError,
        NodeTimeoutError,
        NotFoundError,
        ParameterError,
        PlatformError,
        SchemaError,
        SettingsError,
        StorageError,
        TravelError,
        UnreachableError,
        UserError,
        WaitTimeoutError,
        WfError,
        WorkerLostError,
    )
    from wfplatform.nodes.mail import mail
    from wfplatform.nodes.slack import slack
    from wfplatform.nodes.variable import env
    from wfplatform.nodes.webhook import webhook

__all__ = [
    "Breaker",
    "Cache",
    "ConflictError",
    "DefinitionError",
    "ExecutionCancelledError",
    "ExecutionError",
    "ExecutionHandle",
    "ExecutionHandles",
    "Lane",
    "Limit",
    "NodeContext",
    "NodeError",
    "NodeFunction",
    "NodeStopped",
    "NodeTimeoutError",
    "NotFoundError",
    "Notice",
    "OnFailure",
    "OnSkip",
    "Output",
    "ParameterError",
    "PlatformError",
    "Retry",
    "SchemaError",
    "SettingsError",
    "StorageError",
    "TravelError",
    "UnreachableError",
    "UserError",
    "WaitTimeoutError",
    "WfError",
    "WorkerLostError",
    "Workflow",
    "answering",
    "approval",
    "current_node",
    "delay",
    "each",
    "else_",
    "env",
    "if_",
    "loop",
    "mail",
    "merge",
    "node",
    "slack",
    "unmapped",
    "use_platform",
    "wait_for_event",
    "webhook",
    "workflow",
]

# Where a name is kept when it is not in `wfplatform.errors`.
_HOME = {
    "Breaker": "core.policy",
    "Cache": "core.policy",
    "ExecutionHandle": "authoring.platform",
    "ExecutionHandles": "authoring.platform",
    "Lane": "core.policy",
    "Limit": "core.policy",
    "NodeContext": "authoring.context",
    "NodeFunction": "authoring.node",
    "NodeStopped": "authoring.context",
    "Notice": "core.notice",
    "OnFailure": "core.policy",
    "OnSkip": "core.policy",
    "Output": "authoring.output",
    "Retry": "core.policy",
    "Workflow": "authoring.workflow",
    "answering": "authoring.answer",
    "approval": "authoring.wait",
    "current_node": "authoring.context",
    "delay": "authoring.delay",
    "each": "authoring.output",
    "else_": "authoring.branch",
    "env": "nodes.variable",
    "if_": "authoring.branch",
    "loop": "authoring.loop",
    "mail": "nodes.mail",
    "merge": "authoring.branch",
    "node": "authoring.node",
    "slack": "nodes.slack",
    "unmapped": "authoring.output",
    "use_platform": "authoring.platform",
    "wait_for_event": "authoring.wait",
    "webhook": "nodes.webhook",
    "workflow": "authoring.declaration",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
