"""What `.local()` is told in place of the people and events that a workflow waits for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from wfplatform.core.graph import Node, NodeKind
from wfplatform.errors import NodeError

__all__ = ["answered", "answering"]

_ANSWERS: ContextVar[Mapping[str, Any] | None] = ContextVar("wfplatform_answers", default=None)


@contextmanager
def answering(**answers: Any) -> Iterator[None]:
    """What `.local()` is told in place of people and events, within the `with` block.

    Args:
        answers: by the name of the node: the data of an event; of an approval True, False, or what is filled in.
    """
    token = _ANSWERS.set({**(_ANSWERS.get() or {}), **answers})
    try:
        yield
    finally:
        _ANSWERS.reset(token)


def answered(node: Node) -> Any:
    """What `.local()` was told for a node.

    Raises:
        NodeError: nothing, or that it was rejected.
    """
    answers = _ANSWERS.get() or {}
    if node.id not in answers:
        raise NodeError(
            "nobody_answers",
            f"Node `{node.id}` waits for {'an event' if node.type == NodeKind.EVENT else 'a decision'}, which nobody brings "
            "in .local().",
            f"Write `with answering({node.id.replace('-', '_')}=...):` around it (`**{{...}}` for names with a hyphen).",
            node=node.id,
        )
    answer = answers[node.id]
    if node.type == NodeKind.EVENT:
        return answer
    approved = answer is not False
    if not approved and node.config.get("on_reject") != "continue":
        raise NodeError("approval_rejected", f"Node `{node.id}`: it was rejected.", node=node.id)
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    form = None if isinstance(answer, bool) and node.config.get("form") is None else answer
    return {"approved": approved, "by": "local", "at": at, "comment": "", "form": form if approved else None}
