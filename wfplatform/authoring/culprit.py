"""The innermost part of a value that cannot leave this process: what to name when the whole was refused.

Refuses to search for ever: after a bounded number of tries it names the part it has come to.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType, MethodType, ModuleType
from typing import Any, Final

from wfplatform.authoring.bytecode import global_names
from wfplatform.authoring.output import Reference

__all__ = ["culprit", "unwrapped"]

MAX_TRIES: Final = 2_000
MAX_DEPTH: Final = 12


def culprit(value: object, travels: Callable[[object], bool]) -> tuple[tuple[str, ...], object]:
    """Find it.

    Args:
        value: what was refused.
        travels: whether a part would be taken.

    Returns:
        the way to it, a label a step (`[3]`, `.name`, or words such as `global 'lock'`), and the part; no steps and the
        value itself where no part of it is to blame.
    """
    way: list[str] = []
    seen = {id(value)}
    tries = 0
    while len(way) < MAX_DEPTH:
        for label, part in _parts(value):
            if id(part) in seen:
                continue
            tries += 1
            if tries > MAX_TRIES:
                return tuple(way), value
            if not travels(part):
                seen.add(id(part))
                way.append(label)
                value = part
                break
        else:
            break
    return tuple(way), value


def unwrapped(function: Any) -> Any:
    """The function that a node wraps; anything else is itself."""
    inner = getattr(function, "function", None)
    return inner if type(function).__module__.startswith("wfplatform.") and callable(inner) else function


def _parts(value: Any) -> Iterator[tuple[str, object]]:
    if isinstance(value, Reference):
        return  # it answers to any name
    value = unwrapped(value)
    match value:
        case FunctionType():
            yield from _parts_of_function(value)
        case type():
            yield from ((f".{name}", item) for name, item in vars(value).items() if not name.startswith("__"))
            yield from ((f".{name}", item) for name, item in vars(value).items() if isinstance(item, FunctionType))
            return
        case Mapping():
            for key, item in list(value.items()):
                yield f"[{key!r:.60}]", item
                yield f"key {key!r:.60}", key
        case list() | tuple():
            yield from ((f"[{index}]", item) for index, item in enumerate(value))
        case set() | frozenset():
            yield from ((f"element {item!r:.60}", item) for item in list(value))
        case functools.partial():
            yield from ((".func", value.func), (".args", value.args), (".keywords", value.keywords))
        case _:
            owner = getattr(value, "__self__", None)
            if owner is not None and not isinstance(owner, ModuleType):
                yield ".__self__", owner
    if not isinstance(value, MethodType):
        yield from _attributes(value)


def _parts_of_function(function: FunctionType) -> Iterator[tuple[str, object]]:
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield f"closure variable {name!r}", cell.cell_contents
        except ValueError:  # never assigned
            continue
    for name in global_names(code):
        if name in function.__globals__:
            yield f"global {name!r}", function.__globals__[name]
    names, defaults = code.co_varnames[: code.co_argcount], function.__defaults__ or ()
    pairs = zip(names[len(names) - len(defaults) :], defaults, strict=True)
    for name, default in [*pairs, *(function.__kwdefaults__ or {}).items()]:
        yield f"default of {name!r}", default


def _attributes(value: object) -> Iterator[tuple[str, object]]:
    yield from ((f".{name}", item) for name, item in list(getattr(value, "__dict__", {}).items()))
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            if hasattr(value, name):
                yield f".{name}", getattr(value, name)
