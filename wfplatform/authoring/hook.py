"""What `on_failure=` and its like take: a function, a workflow or a ready-made hook, and the workflow that each becomes.

Refuses at once what could not be told when it is needed.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from wfplatform.authoring.node import NodeFunction, as_node
from wfplatform.authoring.signature import ANY, checked_name, type_name
from wfplatform.authoring.workflow import Teller, Workflow
from wfplatform.core.graph import Json
from wfplatform.core.hook import Occasion
from wfplatform.core.notice import NOTICE, Notice
from wfplatform.errors import DefinitionError

__all__ = ["Hookable", "Hooks", "ReadyHook", "tellers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyHook:
    """A hook that comes with the platform, as `mail(...)` makes it.

    Args:
        node: takes the notice as JSON first.
        arguments: the others, plain JSON.
    """

    node: NodeFunction[..., Any]
    arguments: Mapping[str, Json]


type Hookable = Callable[..., Any] | Workflow[..., Any] | ReadyHook
type Hooks = Hookable | Sequence[Hookable] | None


def tellers(name: str, hooks: Mapping[Occasion, Hooks], late_after_s: float | None) -> tuple[Teller, ...]:
    """What is run on which occasion.

    Args:
        name: of the workflow of whose executions is told.
        hooks: as its decorator was given them.
        late_after_s: when an execution is late.

    Raises:
        DefinitionError: something cannot be a hook, or lateness is said by half.
    """
    found = tuple(one for on, given in hooks.items() for one in _on(name, on, given))
    tells_late = any(one.on is Occasion.LATENESS for one in found)
    is_number = isinstance(late_after_s, int | float) and not isinstance(late_after_s, bool)
    if late_after_s is not None and not is_number:
        raise DefinitionError(
            "late_after", f"Workflow `{name}`: late_after_s expects a number of seconds, got {late_after_s!r}."
        )
    if tells_late is not is_number:
        said = "on_late without late_after_s" if tells_late else "late_after_s without on_late"
        raise DefinitionError(
            "late_hook",
            f"Workflow `{name}` has {said}.",
            "late_after_s says when an execution is late, on_late who is told: give both.",
            workflow=name,
        )
    return found


def _on(name: str, on: Occasion, given: Hooks) -> Iterator[Teller]:
    several: Iterable[object] = given if isinstance(given, (list, tuple)) else () if given is None else (given,)
    for number, one in enumerate(several, 1):
        own = checked_name(f"{name}: on {on}" + (f" {number}" if number > 1 else ""))
        match one:
            case Workflow():
                _check_parameters(name, on, one)
                yield Teller(on, one)
            case ReadyHook():
                yield Teller(on, _ready(own, one))
            case _ if callable(one):
                yield Teller(on, _wrapped(own, name, on, _node(name, on, one)))
            case _:
                raise _misfit(name, on, one, "which is no function, workflow or ready-made hook")


def _node(name: str, on: Occasion, given: Callable[..., Any]) -> NodeFunction[..., Any]:
    found = as_node(given)
    if found.function.__name__ == "<lambda>":
        raise _misfit(name, on, given, "which is a lambda: it has no name to be found by", "Write it with def.")
    return found


def _wrapped(own: str, name: str, on: Occasion, node: NodeFunction[..., Any]) -> Workflow[..., Any]:
    """A workflow of one node."""
    parameters = list(node.signature.parameters.values())
    needed = [one for one in parameters if one.default is ANY and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    first = parameters[0] if parameters else None
    if first is None or first.kind in (first.VAR_POSITIONAL, first.VAR_KEYWORD) or needed not in ([], [first]):
        raise _misfit(name, on, node.function, f"which takes {node.signature}", "Let it take one argument, the notice.")
    annotation = _annotation(node.function, first.name)
    if not _takes_notice(annotation):
        raise _misfit(
            name, on, node.function, f"whose argument `{first.name}` is a {type_name(annotation)}", "It is a Notice."
        )
    by_name = first.kind is first.KEYWORD_ONLY

    def draw(notice: Any) -> Any:
        return node(**{first.name: notice}) if by_name else node(notice)

    # As if it were written where the function is: what that names is then looked at, too, when it may have changed.
    beside = FunctionType(draw.__code__, node.function.__globals__, own, None, draw.__closure__)
    beside.__annotations__ = {NOTICE: dict[str, Any] if _is_dict(annotation) else Notice}
    return Workflow(beside, name=own, description=f"Is run on {on} of an execution of {name}.")


def _ready(own: str, hook: ReadyHook) -> Workflow[..., Any]:
    node, arguments = hook.node, hook.arguments

    def draw(notice: Any) -> Any:
        return node(notice, **arguments)

    draw.__annotations__ = {NOTICE: dict[str, Any]}
    return Workflow(draw, name=own, description=inspect.getdoc(node.function) or "")


def _check_parameters(name: str, on: Occasion, given: Workflow[..., Any]) -> None:
    strange = [slot.name for slot in given.slots.values() if slot.required and slot.name != NOTICE]
    if strange:
        raise _misfit(
            name,
            on,
            given,
            f"which must be given {', '.join(strange)}",
            f"A workflow that is a hook takes `{NOTICE}`, or nothing that has no default.",
        )
    slot = given.slots.get(NOTICE)
    if slot is not None and not _takes_notice(slot.annotation):
        raise _misfit(name, on, given, f"whose `{NOTICE}` is a {type_name(slot.annotation)}", "It is a Notice.")


def _annotation(function: Callable[..., Any], name: str) -> Any:
    try:
        return typing.get_type_hints(function).get(name, ANY)
    except (NameError, AttributeError, TypeError, SyntaxError):
        return ANY  # of a type that only a type checker knows: it can only be meant to be a notice


def _takes_notice(annotation: Any) -> bool:
    return annotation in (ANY, Any, object, Notice) or _is_dict(annotation)


def _is_dict(annotation: Any) -> bool:
    return (typing.get_origin(annotation) or annotation) in (dict, Mapping, typing.Mapping)


def _misfit(name: str, on: Occasion, given: object, why: str, hint: str = "") -> DefinitionError:
    shown = getattr(given, "name", None) or getattr(given, "__qualname__", None) or repr(given)
    return DefinitionError(
        "hook",
        f"Workflow `{name}`: what is run on {on} is `{shown}`, {why}.",
        hint or "Give a function that takes a Notice, a workflow, or mail(...), webhook(...) or slack(...).",
        workflow=name,
    )
