"""What classes and objects consist of, for the digest of code that reaches them.

Refuses objects without content that could be compared: locks, connections, iterators.
"""

from __future__ import annotations

import copyreg
import sys
from _abc import _get_dump  # type: ignore[import-not-found]  # the only way to what was registered
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field
from enum import Enum
from types import FunctionType
from typing import Any, Final

from wfplatform.authoring.normal import source_digest
from wfplatform.authoring.sources import Origin, collect, distribution_of, origin_of
from wfplatform.core.canonical import digest
from wfplatform.errors import TravelError

__all__ = [
    "Unanalysable",
    "class_parts",
    "function_place",
    "home",
    "is_followed",
    "object_parts",
    "overloads",
    "source_parts",
]

type Token = Callable[[Any], list[Any]]

_EXAMPLES: Final = "wfplatform.examples"

# What a class has from its decorator, its metaclass or its place in the file, not from its author.
_MADE: Final = frozenset(
    [
        "__abstractmethods__", "__annotate__", "__annotate_func__", "__annotations_cache__", "__dataclass_fields__",
        "__dataclass_params__", "__dict__", "__doc__", "__firstlineno__", "__module__", "__qualname__", "__signature__",
        "__static_attributes__", "__weakref__", "_abc_impl",
    ]
)  # fmt: skip
_MADE_BY_ENUM: Final = frozenset(
    [
        "_hashable_values_", "_member_map_", "_member_names_", "_unhashable_values_", "_unhashable_values_map_",
        "_value2member_map_", "_value_repr_",
    ]
)  # fmt: skip
_PICKLING: Final = ("__reduce__", "__reduce_ex__", "__getstate__", "__getnewargs__", "__getnewargs_ex__")
_DESCRIPTORS: Final = ("member_descriptor", "getset_descriptor")


class Unanalysable(Exception):  # noqa: N818 - a verdict, not an error of anyone
    """A value has no digest; the text says why."""


def is_followed(module: object) -> bool:
    """Whether code of a module is looked into: that of the user's project, and what was made while running."""
    if not isinstance(module, str):
        return True
    if module == _EXAMPLES or module.startswith(_EXAMPLES + "."):
        return True  # code of users, so to say, that comes with the platform
    return origin_of(module) not in (Origin.STANDARD, Origin.INSTALLED)


def home(module: str | None) -> list[str]:
    """A module that does not travel, as name and version."""
    name = module or "builtins"
    provided = distribution_of(name) if origin_of(name) is Origin.INSTALLED else None
    return [name, *(provided or ())]


def function_place(function: FunctionType) -> list[Any] | None:
    """Of a function of an installed package, where it stands there; None of one that is to be looked into.

    Only what it closes over may then be the project's, unless it is known by its name.
    """
    module = function.__globals__.get("__name__")
    if is_followed(module):
        return None
    return [function.__code__.co_qualname, home(module)]


def overloads(function: FunctionType) -> Mapping[Any, Any] | None:
    """Of an installed function that closes over something, what that comes to; None = all it closes over.

    A function that its own module knows by name is that one; `functools.singledispatch` keeps more than what it does.
    """
    if not is_followed(function.__module__):
        found: Any = sys.modules.get(function.__module__)
        for part in function.__qualname__.split("."):
            found = getattr(found, part, None)
        if found is function:
            return {}
    registry = getattr(function, "registry", None)
    if function.__code__.co_qualname == "singledispatch.<locals>.wrapper" and registry is not None:
        return dict(registry)
    return None


def source_parts(name: str) -> Iterator[Any]:
    """What a module of the project is as a whole: all files that come along with it."""
    try:
        sources = collect([name])
    except TravelError as error:
        raise Unanalysable(error.message) from None
    yield "sources"
    yield [
        [path, source_digest(content) if path.endswith(".py") else digest(content)]
        for path, content in sources.files.items()
    ]
    yield dict(sources.requirements)


def class_parts(cls: type, token: Token) -> Iterator[Any]:
    """What a class is: by name if it is installed, else bases and members."""
    members = vars(cls)
    written = any(
        isinstance(one, FunctionType) and is_followed(one.__globals__.get("__name__")) for one in members.values()
    )
    if not written and not is_followed(cls.__module__):
        yield from ["class", cls.__qualname__, home(cls.__module__)]
        return
    yield from ["class", cls.__qualname__]
    yield [token(base) for base in cls.__bases__]
    yield token(type(cls))
    if issubclass(cls, Enum):
        yield [[name, token(member.value)] for name, member in cls.__members__.items()]
    for name, member in sorted(members.items()):
        if name in _MADE or (name.startswith("__pydantic_") and name != "__pydantic_fields__"):
            continue
        if issubclass(cls, Enum) and (name in _MADE_BY_ENUM or name in cls.__members__):
            continue
        if type(member).__name__ in _DESCRIPTORS:
            yield [name]
        elif name in ("__annotations__", "__pydantic_fields__"):
            yield [name, [[key, token(item)] for key, item in member.items()]]
        else:
            yield [name, token(member)]
    for field in members.get("__dataclass_fields__", {}).values():
        yield _field_parts(field, token)
    if "_abc_impl" in members:
        yield sorted(f"{one.__module__}.{one.__qualname__}" for one in _registered(cls))


def _field_parts(field: Field[Any], token: Token) -> list[Any]:
    said = (field.init, field.repr, field.hash, field.compare, field.kw_only)
    parts = (field.type, field.default, field.default_factory, field.metadata)
    return [field.name, repr(said), *map(token, parts)]


def _registered(cls: type) -> list[type]:
    """Classes that an abstract class takes for its own although they do not derive from it."""
    found = (reference() for reference in _get_dump(cls)[0])
    return [one for one in found if one is not None]


def object_parts(value: Any, token: Token) -> Iterator[Any]:
    """What an object is: what pickle would write of it, and of the project's own classes all that they hold."""
    kind = type(value)
    if hasattr(kind, "__next__"):
        raise Unanalysable(f"an object of type {_type_name(value)} gives other items each time it is asked")
    try:
        special = copyreg.dispatch_table.get(kind)
        reduced = special(value) if special else value.__reduce_ex__(4)
    except Exception as error:  # whatever a foreign class raises: it cannot be taken apart
        raise Unanalysable(f"an object of type {_type_name(value)} has no content that could be compared") from error
    if isinstance(reduced, str):
        module = getattr(value, "__module__", None)
        if is_followed(module) and kind.__module__ != "typing":
            raise Unanalysable(f"an object of type {_type_name(value)} is known by its name {reduced!r} only")
        yield from ["name", reduced, home(module), kind.__qualname__]
        return
    made_by, arguments, *rest = reduced
    state, items, pairs = [*rest, None, None, None][:3]
    yield "object"
    yield token(made_by)
    yield token(arguments)
    yield token(_undocumented(state))
    yield token(list(items) if items is not None else None)
    yield token([tuple(pair) for pair in pairs] if pairs is not None else None)
    if _hides(kind):
        yield token(_plainly(value))
        yield token(_undocumented(getattr(value, "__dict__", None)))
        names = [name for one in kind.__mro__ for name in _slots(one)]
        yield [[name, token(getattr(value, name))] for name in names if hasattr(value, name)]


def _slots(kind: type) -> tuple[str, ...]:
    named = vars(kind).get("__slots__", ())
    return (named,) if isinstance(named, str) else tuple(named)


def _hides(kind: type) -> bool:
    """Whether the project's own code decides what pickle sees of an object."""
    if kind in copyreg.dispatch_table and is_followed(kind.__module__):
        return True
    return any(is_followed(one.__module__) and any(name in vars(one) for name in _PICKLING) for one in kind.__mro__)


def _plainly(value: Any) -> Any:
    """What an object is as a number, a text or a collection, whatever its class makes of that."""
    match value:
        case list():
            return list(list.__iter__(value))
        case dict():
            return dict(dict.items(value))
        case tuple():
            return tuple(tuple.__iter__(value))
        case set():
            return frozenset(set.__iter__(value))
        case frozenset():
            return frozenset(frozenset.__iter__(value))
        case int() | float() | complex() | str() | bytes() | bytearray():
            plain = next(one for one in type(value).__mro__ if one.__module__ == "builtins")
            return plain.__repr__(value)  # type: ignore[call-arg]  # found as a class, it is taken for `type`'s own
        case _:
            return None


def _undocumented(state: Any) -> Any:
    if type(state) is dict and "__doc__" in state:
        return {name: item for name, item in state.items() if name != "__doc__"}
    return state


def _type_name(value: object) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
