"""Choices: `with if_(flag):`, `with else_():`, and `merge`, which brings the branches together.

Refuses Python's own `if` over outputs (see `output`), and an `else_` that does not follow its `if_`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wfplatform.authoring.output import Output, Outputs, Reference, describe, rank_of
from wfplatform.authoring.trace import active_trace
from wfplatform.authoring.value import bind_value
from wfplatform.core.graph import NodeKind
from wfplatform.core.policy import OnSkip, Policy
from wfplatform.errors import DefinitionError

__all__ = ["else_", "if_", "merge"]


@contextmanager
def if_(condition: Any) -> Iterator[None]:
    """Run the nodes of the block only if a value is true; otherwise they are skipped, and so is what needs
    their results.

    Args:
        condition: an output or a parameter, judged as Python's `if` would.

    Example:
        >>> from wfplatform import else_, if_, merge, node, workflow
        >>> @node
        ... def is_large(n: int) -> bool:
        ...     return n > 100
        >>> @node
        ... def label(text: str) -> str:
        ...     return text
        >>> @workflow
        ... def sized(n: int):
        ...     with if_(is_large(n)):
        ...         size = label("large")
        ...     with else_():
        ...         size_2 = label("small")
        ...     return merge(size, size_2)
        >>> sized.local(n=7)
        'small'
    """
    trace = active_trace("if_(...)")
    assert trace is not None
    if rank_of(condition):
        raise DefinitionError(
            "if_mapped",
            f"if_(...): {describe(condition)} is mapped, so it is many verdicts and not one.",
            "Reduce it to one in a node (any, all), or decide for each item inside the node that is mapped.",
        )
    binding = bind_value(trace, condition, "if_(...)")
    id = trace.free_id("if")
    label = f"if {describe(condition).strip('`')}" if isinstance(condition, Reference) else ""
    trace.add(id, type=NodeKind.CHOICE, inputs={"condition": binding}, label=label)
    with trace.branch(id, verdict=True):
        yield


@contextmanager
def else_() -> Iterator[None]:
    """Run the nodes of the block only if the condition of the `if_` right before was false."""
    trace = active_trace("else_()")
    assert trace is not None
    block = trace.blocks[-1]
    if block.open_choice is None:
        raise DefinitionError(
            "else_without_if",
            f"Workflow `{trace.workflow}`: else_() expects a `with if_(...)` block right before it, at the "
            "same indentation; "
            "there is none.",
            "Move nodes that stand between the two before the if_ or after the else_.",
        )
    choice, block.open_choice = block.open_choice, None
    with trace.branch(choice, verdict=False):
        yield


def merge(*values: Any) -> Any:
    """The first of some values that was not skipped.

    Args:
        values: outputs of the branches of a choice, in the order in which they are looked at; a last plain
            value is what is left if all were skipped.

    Returns:
        An `Output`; None if everything was skipped.

    Raises:
        DefinitionError: there is no output among the values.
    """
    trace = active_trace("merge(...)")
    assert trace is not None
    if not any(isinstance(value, (Output, Outputs)) for value in values):
        raise DefinitionError(
            "merge_nothing",
            f"merge(...) expects outputs of nodes that may have been skipped, got {len(values)} values without one.",
            "Give it the results of the branches: merge(a, b).",
        )
    id = trace.free_id("merge")
    inputs = {str(i): bind_value(trace, value, f"node `{id}`, input {i}") for i, value in enumerate(values)}
    return trace.add(id, type=NodeKind.MERGE, inputs=inputs, policy=Policy(on_skip=OnSkip.NONE))
