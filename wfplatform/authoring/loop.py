"""`loop`: a function applied again and again to its own result, as long as a condition holds.

Refuses endless loops: there always is a limit.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final

from wfplatform.authoring.node import as_node
from wfplatform.authoring.options import is_whole
from wfplatform.authoring.trace import active_trace
from wfplatform.authoring.value import bind_value
from wfplatform.core.graph import NodeKind
from wfplatform.errors import DefinitionError

__all__ = ["MAX_TURNS", "loop"]

MAX_TURNS: Final = 1_000_000


def loop(
    body: Callable[..., Any], initial: Any, /, *, while_: Callable[[Any], Any], limit: int = 100, **fixed: Any
) -> Any:
    """Apply `body` to a state as long as `while_` says so.

    Args:
        body: `body(state, **fixed) -> state`; a node function (whose options then hold) or a plain one.
        initial: the first state.
        while_: `while_(state) -> bool`, asked before each turn.
        limit: turns after which the loop fails if it would still go on; 1 to 1,000,000.
        fixed: further inputs of the body, the same in each turn.

    Returns:
        The `Output`: the last state.

    Raises:
        DefinitionError: the functions cannot be called like this, or the limit does not fit.

    Example:
        >>> from wfplatform import loop, workflow
        >>> @workflow
        ... def grown(start: int, factor: int = 2):
        ...     return loop(lambda n, by: n * by, start, while_=lambda n: n < 100, by=factor)
        >>> grown.local(start=3)
        192
    """
    trace = active_trace("loop(...)")
    assert trace is not None
    turn, condition = as_node(body), as_node(while_)
    if not is_whole(limit, 1, MAX_TURNS):
        raise DefinitionError(
            "loop_limit", f"loop(...): limit must be a whole number from 1 to {MAX_TURNS}, got {limit!r}."
        )
    if "state" in fixed:
        raise DefinitionError(
            "loop_state",
            "loop(...): `state` is what the loop itself hands on and cannot be one of its fixed inputs.",
            "Give that parameter of the body another name.",
        )
    if len(turn.declared.ports) > 1:
        raise DefinitionError(
            "loop_outputs",
            f"loop(...): the body `{turn.name}` has several outputs, and a loop hands on one state.",
            "Let it return one value, a dict perhaps.",
        )
    _check_call(turn.signature, "body", turn.name, fixed)
    _check_call(condition.signature, "while_", condition.name, {})
    where = f"node `{trace.free_id(turn.name)}`, input"
    inputs = {port: bind_value(trace, v, f"{where} `{port}`") for port, v in {"state": initial, **fixed}.items()}
    config = {
        "function": trace.function(turn.function),
        "while": trace.function(condition.function),
        "limit": limit,
    }
    return turn.record_as(trace, type=NodeKind.LOOP, inputs=inputs, config=config)


def _check_call(signature: inspect.Signature, role: str, name: str, fixed: dict[str, Any]) -> None:
    try:
        signature.bind(None, **fixed)
    except TypeError as error:
        more = "".join(f", {key}=..." for key in fixed)
        raise DefinitionError(
            "loop_call",
            f"loop(...): {role} `{name}{signature}` cannot be called as {name}(state{more}): {error}.",
            "The state comes first, by place; fixed inputs come by name.",
        ) from None
