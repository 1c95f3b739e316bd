"""`delay`: wait for a time or until an instant, without holding a worker.

Refuses instants without a time zone: what they mean would depend on the machine.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from wfplatform.authoring.output import Reference, describe, rank_of
from wfplatform.authoring.trace import active_trace
from wfplatform.authoring.value import bind_value
from wfplatform.core.graph import Binding, Literal, NodeKind
from wfplatform.errors import DefinitionError

__all__ = ["delay"]


def delay(*, seconds: Any = None, until: Any = None, value: Any = None, after: Any = (), name: str = "delay") -> Any:
    """Wait; everything that needs the output waits with it.

    Args:
        seconds: a number of seconds of 0 or more, a timedelta, an output or a parameter.
        until: an aware datetime, an output or a parameter; one in the past does not wait.
        value: what the output is once the time has come.
        after: an output or a list of outputs; the time begins when they have ended well.
        name: what it is called in the workflow.

    Returns:
        The `Output`: `value`, or None.

    Raises:
        DefinitionError: not exactly one of seconds and until is given, or it does not fit.

    Example:
        >>> from wfplatform import delay, workflow
        >>> @workflow
        ... def later():
        ...     return delay(seconds=3600, value="now")
        >>> later.local()  # .local() does not wait
        'now'
    """
    trace = active_trace("delay(...)")
    assert trace is not None
    if (seconds is None) == (until is None):
        came = "neither" if seconds is None else "both"
        raise DefinitionError(
            "delay_time",
            f"delay(...) expects either `seconds` or `until`, got {came}.",
            "Write delay(seconds=60).",
        )
    id = trace.free_id(name)
    port, given = ("seconds", seconds) if until is None else ("until", until)
    if rank_of(given):
        raise DefinitionError(
            "delay_mapped",
            f"delay(...): `{port}` is {describe(given)}, which is mapped, so it is many times and not one.",
            "Reduce it to one in a node.",
        )
    when: Binding
    if isinstance(given, Reference):
        when = bind_value(trace, given, f"node `{id}`, input `{port}`")
    else:
        when = Literal(_seconds(given) if port == "seconds" else _instant(given))
    inputs = {port: when}
    if value is not None:
        inputs["value"] = bind_value(trace, value, f"node `{id}`, input `value`")
    waits_for = after if isinstance(after, (list, tuple)) else (after,)
    return trace.add(id, type=NodeKind.DELAY, inputs=inputs, after=waits_for, label="" if name == id else name)


def _seconds(given: object) -> float:
    seconds = given.total_seconds() if isinstance(given, timedelta) else given
    is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not is_number or not math.isfinite(seconds) or seconds < 0:  # type: ignore[arg-type, operator]
        raise DefinitionError(
            "delay_time",
            f"delay(...): `seconds` expects a number of 0 or more, or a timedelta; got {given!r} "
            f"({type(given).__name__}).",
        )
    return seconds  # type: ignore[return-value]


def _instant(given: object) -> str:
    if not isinstance(given, datetime) or given.tzinfo is None:
        raise DefinitionError(
            "delay_time",
            f"delay(...): `until` expects a datetime with a time zone, got {given!r} ({type(given).__name__}).",
            "Write datetime(2026, 1, 31, 8, 0, tzinfo=ZoneInfo('Europe/Berlin')).",
        )
    return given.astimezone(UTC).isoformat()
