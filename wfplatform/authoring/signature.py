"""The parameters of a workflow function as Python sees them: names, annotations and which of them are
collections.

Light: what is needed to draw a workflow; schemas and coercion stand in `parameter`, which loads pydantic.
Refuses `*args` and `**kwargs`: each parameter of a workflow has a name and a type of its own.
"""

from __future__ import annotations

import collections.abc
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from wfplatform.errors import DefinitionError, ParameterError

__all__ = [
    "ANY",
    "ParameterSlot",
    "arguments_by_name",
    "checked_name",
    "is_collection",
    "parameter_slots",
    "refuse_strange",
    "type_name",
]

ANY: Final = inspect.Parameter.empty
"""The annotation of a parameter without one: any JSON value."""

_COLLECTIONS: Final = (
    *(list, tuple, set, frozenset),
    *(collections.abc.Sequence, collections.abc.MutableSequence, collections.abc.Collection),
    *(collections.abc.Iterable, collections.abc.Set, collections.abc.MutableSet),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterSlot:
    """One parameter of a workflow function.

    Args:
        annotation: its type; `ANY` if it has none.
        default: `ANY` if it must be given.
    """

    name: str
    annotation: Any
    default: Any

    @property
    def required(self) -> bool:
        """Whether a run must give it."""
        return self.default is ANY

    @property
    def is_collection(self) -> bool | None:
        """Whether it is a list, tuple or set, so that `.map` goes over its items; None when its type does
        not say.
        """
        return is_collection(self.annotation)

    @property
    def is_plain(self) -> bool:
        """Whether JSON brings back its values as they are, without its type."""
        return _is_plain(self.annotation)


_PLAIN: Final = (int, float, str, bool, list, dict, None, types.NoneType, Any, ANY, object)


def _is_plain(annotation: object) -> bool:
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return all(type(value) in _PLAIN for value in inner)
    if origin in (typing.Union, types.UnionType, list, dict):
        return all(map(_is_plain, inner))
    return any(annotation is plain for plain in _PLAIN)


def parameter_slots(function: Callable[..., Any], workflow: str) -> dict[str, ParameterSlot]:
    """The parameters of a workflow function, by name, in order.

    Args:
        workflow: its name, for messages.

    Raises:
        DefinitionError: an annotation names something that does not exist.
    """
    signature = inspect.signature(function)
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, AttributeError, TypeError, SyntaxError) as error:
        raise DefinitionError(
            "parameter_annotation",
            f"Workflow `{workflow}`: the annotations of its parameters cannot be read: "
            f"{type(error).__name__}: {error}.",
            "Define the types they name at the top level of the module, before the workflow is used.",
            workflow=workflow,
        ) from error
    slots = {}
    for parameter in signature.parameters.values():
        annotation = hints.get(parameter.name, ANY)
        if parameter.default is None and annotation not in (ANY, Any) and not _admits_none(annotation):
            annotation = typing.Optional[annotation]  # noqa: UP045  # `year: int = None` does not say so itself
        slots[parameter.name] = ParameterSlot(name=parameter.name, annotation=annotation, default=parameter.default)
    return slots


def is_collection(annotation: Any) -> bool | None:
    """Whether values of a type are lists, tuples or sets; None when the type does not say."""
    if annotation is ANY or annotation is Any or isinstance(annotation, (str, typing.TypeVar)):
        return None
    if isinstance(annotation, typing.TypeAliasType):
        return is_collection(annotation.__value__)
    if isinstance(annotation, typing.NewType):
        return is_collection(annotation.__supertype__)
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return is_collection(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        kinds = {is_collection(part) for part in typing.get_args(annotation) if part is not types.NoneType}
        return kinds.pop() if len(kinds) == 1 else None
    return (origin or annotation) in _COLLECTIONS


def type_name(annotation: Any) -> str:
    """A type as the user would write it, without the modules; empty for none."""
    if annotation is ANY:
        return ""
    if annotation is types.NoneType or annotation is ...:
        return "None" if annotation is types.NoneType else "..."
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(type_name, parts))
    if origin is typing.Literal:
        return f"Literal[{', '.join(map(repr, parts))}]"
    if origin is typing.Annotated:
        return type_name(parts[0])
    if isinstance(annotation, list):  # the arguments of a Callable
        return f"[{', '.join(map(type_name, annotation))}]"
    name = getattr(origin or annotation, "__qualname__", None) or getattr(annotation, "__name__", None)
    short = (name or str(annotation)).rpartition("<locals>.")[2]
    return f"{short}[{', '.join(map(type_name, parts))}]" if parts else short


def _admits_none(annotation: Any) -> bool:
    return annotation is types.NoneType or types.NoneType in typing.get_args(annotation)


def checked_name(name: object) -> str:
    """The name of a workflow, without spaces around it.

    Raises:
        DefinitionError: it is empty, too long or holds what cannot be printed.
    """
    if not isinstance(name, str) or not name.strip() or len(name) > 200 or not name.isprintable():
        raise DefinitionError(
            "workflow_name", f"A workflow needs a name of 1 to 200 printable characters, got {name!r}."
        )
    return name.strip()


def refuse_strange(function: Callable[..., Any], workflow: str) -> None:
    """Refuse what cannot be a workflow, at once; annotations are read later, when they are needed."""
    what = ""
    if not isinstance(function, types.FunctionType):
        what = f"is a {type(function).__name__}"
    elif inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        what = "is async; it only draws the graph, and async nodes are awaited when they run"
    elif inspect.isgeneratorfunction(function):
        what = "yields"
    if what:
        raise DefinitionError(
            "workflow_function",
            f"`{workflow}` cannot be a workflow: it {what}.",
            "Decorate a plain function: `@workflow` above `def`.",
        )
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise DefinitionError(
                "parameter_variadic",
                f"Workflow `{workflow}` takes `{str(parameter).partition(':')[0]}`; expected parameters with names.",
                "Write each parameter out, or take one list or dict.",
                workflow=workflow,
            )


def arguments_by_name(
    slots: Mapping[str, ParameterSlot], workflow: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Parameters given by place and by name, by name. Whether each is known and fits is checked elsewhere.

    Raises:
        ParameterError: too many are given by place, or one twice.
    """
    given = dict(zip(slots, args, strict=False))
    twice = [name for name in given if name in kwargs]
    if len(args) > len(slots) or twice:
        told = f"`{twice[0]}` twice" if twice else f"{len(args)} by place"
        raise ParameterError(
            "parameters",
            f"{workflow}: expected at most {len(slots)} parameters ({', '.join(slots)}), each once; got {told}.",
            "Give parameters by name.",
            workflow=workflow,
            problems=[],
        )
    return {**given, **kwargs}
