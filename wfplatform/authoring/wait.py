"""`wait_for_event` and `approval`: wait for what somebody brings, without holding a worker.

Refuses conditions over values: a match compares plain data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from wfplatform.authoring.output import describe, rank_of
from wfplatform.authoring.trace import Trace, active_trace
from wfplatform.authoring.value import bind_value
from wfplatform.authoring.wait_config import ON_REJECT, is_text, timing
from wfplatform.core.graph import Binding, Json, NodeKind
from wfplatform.errors import DefinitionError

__all__ = ["approval", "wait_for_event"]


def wait_for_event(
    event: str,
    *,
    match: Any = None,
    timeout_s: float | timedelta | None = None,
    on_timeout: str = "fail",
    after: Any = (),
    name: str | None = None,
) -> Any:
    """Wait until somebody tells the execution that something happened.

    One that was told before the wait began counts too; each counts for one wait.

    Args:
        event: its name.
        match: what must stand in its data: for a dict all of its entries, else the same value; an output, a parameter, plain
            data, or dicts and lists of these. None = whatever stands there.
        timeout_s: seconds (above 0) or a timedelta after which nobody waits any more; None = no end.
        on_timeout: `fail`, or `continue` with None.
        after: an output or a list of outputs; the wait begins when they have ended well.
        name: what it is called in the workflow; the event's name unless given.

    Returns:
        The `Output`: the event's data.

    Raises:
        DefinitionError: something of it does not fit.

    Example:
        >>> from wfplatform import answering, wait_for_event, workflow
        >>> @workflow
        ... def ship(order: int):
        ...     return wait_for_event("paid", match={"order": order}, timeout_s=86_400)
        >>> with answering(paid={"order": 7, "amount": 12}):
        ...     ship.local(order=7)
        {'order': 7, 'amount': 12}
    """
    trace = _trace("wait_for_event(...)")
    if not is_text(event):
        raise DefinitionError("event_name", f"wait_for_event(...) expects the name of an event, got {event!r}.")
    config: dict[str, Json] = {"event": event, **timing(NodeKind.EVENT, "wait_for_event", timeout_s, on_timeout)}
    return _add(trace, name or event, NodeKind.EVENT, {"match": match}, config, after)


def approval(
    title: str,
    *,
    form: Any = None,
    details: Any = None,
    assignees: Sequence[str] = (),
    timeout_s: float | timedelta | None = None,
    on_timeout: str = "fail",
    on_reject: str = "fail",
    after: Any = (),
    name: str = "approval",
) -> Any:
    """Wait until a person approves or rejects.

    Args:
        title: what is to be decided, for people.
        form: a type (a pydantic model, a dataclass, `int`, ...): what is filled in by whoever approves; checked when it is
            handed in. None = nothing is.
        details: shown to whoever decides: an output, a parameter, plain data, or dicts and lists of these.
        assignees: names of those who may decide; empty = anybody.
        timeout_s: seconds (above 0) or a timedelta after which nobody waits any more; None = no end.
        on_timeout: `fail`, `approve` or `reject`.
        on_reject: `fail`, or `continue` with `approved` false.
        after: an output or a list of outputs; the wait begins when they have ended well.
        name: what it is called in the workflow.

    Returns:
        The `Output`, a dict: `approved` (bool), `by`, `at` (an instant as ISO 8601), `comment` and `form` (what was filled in,
        as JSON).

    Raises:
        DefinitionError: something of it does not fit.

    Example:
        >>> from wfplatform import answering, approval, workflow
        >>> @workflow
        ... def release(version: str):
        ...     return approval("Release it?", details=version, form=int)["form"]
        >>> with answering(approval=3):
        ...     release.local(version="1.2")
        3
    """
    trace = _trace("approval(...)")
    if not is_text(title):
        raise DefinitionError("approval_title", f"approval(...) expects a title for people, got {title!r}.")
    names: list[Json] = [assignees] if isinstance(assignees, str) else list(assignees)
    if not all(map(is_text, names)):
        raise DefinitionError("approval_assignees", f"approval(...): `assignees` expects names, got {assignees!r}.")
    if on_reject not in ON_REJECT:
        raise DefinitionError("on_reject", f"approval(...): `on_reject` expects fail or continue, got {on_reject!r}.")
    config: dict[str, Json] = {
        "title": title,
        "assignees": names,
        "form": None if form is None else _schema(trace, form),
        "on_reject": on_reject,
        **timing(NodeKind.APPROVAL, "approval", timeout_s, on_timeout),
    }
    return _add(trace, name, NodeKind.APPROVAL, {"details": details}, config, after)


def _trace(call: str) -> Trace:
    trace = active_trace(call)
    assert trace is not None
    return trace


def _schema(trace: Trace, form: Any) -> Json:
    from wfplatform.authoring.parameter import parameter_adapter  # noqa: PLC0415  # loads pydantic

    schema: Json = parameter_adapter(form, "form", trace.workflow).json_schema()
    return schema


def _add(trace: Trace, name: str, kind: str, given: Mapping[str, Any], config: Mapping[str, Json], after: Any) -> Any:
    id = trace.free_id(name)
    inputs: dict[str, Binding] = {}
    for port, value in given.items():
        if value is None:
            continue
        if rank_of(value):
            raise DefinitionError(
                "wait_mapped",
                f"node `{id}`: `{port}` is {describe(value)}, which is mapped, so it is many values and not one.",
                "Reduce it to one in a node.",
            )
        inputs[port] = bind_value(trace, value, f"node `{id}`, input `{port}`")
    waits_for = after if isinstance(after, (list, tuple)) else (after,)
    return trace.add(id, type=kind, inputs=inputs, config=config, after=waits_for, label="" if name == id else name)
