"""The name by which a function is known in a definition: `module:qualname`, or a name with a digest if it
cannot be imported.

Refuses anything but functions: classes, partials and callable objects have no lasting name.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

__all__ = ["are_the_same", "code_digest", "function_key", "is_importable"]

_DIGEST_LENGTH: Final = 12


def function_key(function: Callable[..., Any]) -> str:
    """The key of a function, the same whenever the same code is traced, in any process.

    Args:
        function: the plain function, not its `NodeFunction`.

    Returns:
        `package.module:qualname` for a function others can import; `__main__:name@digest` for one of a
        notebook, of a script, and for a lambda or a function made inside another, where the digest is over
        its code and what it closes over.
    """
    if is_importable(function):
        return f"{function.__module__}:{function.__qualname__}"
    name = function.__name__.strip("<>")
    return f"__main__:{name}@{code_digest(function)[:_DIGEST_LENGTH]}"


def is_importable(function: Callable[..., Any]) -> bool:
    """Whether importing the function's module and following its qualified name leads back to it."""
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    # Modules made by hand, and __main__ of a script or notebook, have no spec: nobody else can import them.
    if module is None or module.__name__ in ("__main__", "__mp_main__") or module.__spec__ is None:
        return False
    found: Any = module
    for part in function.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is function or getattr(found, "function", None) is function


def code_digest(function: Callable[..., Any]) -> str:
    """SHA-256, in hex, over a function's code, defaults and closure; not over line numbers and file names."""
    digest = hashlib.sha256()
    for piece in _describe(function, set()):
        digest.update(piece.encode("utf-8", "surrogatepass"))
        digest.update(b"\0")
    return digest.hexdigest()


def are_the_same(one: Callable[..., Any], other: Callable[..., Any]) -> bool:
    """Whether two functions of one key surely do the same: they are one, or made from one by the same objects."""
    if one is other:
        return True
    if not isinstance(one, FunctionType) or not isinstance(other, FunctionType):
        return False
    return one.__globals__ is other.__globals__ and _held(one) == _held(other)


def _held(function: FunctionType) -> list[int]:
    """The identities of what a function carries along."""
    held = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    for cell in function.__closure__ or ():
        try:
            held.append(cell.cell_contents)
        except ValueError:  # assigned later
            held.append(cell)
    return [id(value) for value in held]


def _describe(value: Any, seen: set[int]) -> Iterator[str]:
    # Sets are sorted by their description: their own order differs between processes.
    match value:
        case None | bool() | int() | float() | complex() | str() | bytes() if not isinstance(value, Enum):
            yield f"{type(value).__name__} {value!r}"
        case CodeType():
            yield f"code {value.co_name} {value.co_flags} {value.co_argcount} {value.co_kwonlyargcount}"
            yield value.co_code.hex()
            names = (value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars)
            yield from map(repr, names)
            for constant in value.co_consts:
                yield from _describe(constant, seen)
        case set() | frozenset():
            yield type(value).__name__
            yield from sorted("\1".join(_describe(item, seen)) for item in value)
        case ModuleType():
            yield f"module {value.__name__}"
        case type():
            yield f"class {value.__module__}.{value.__qualname__}"
        case _ if id(value) in seen:
            yield "again"
        case tuple() | list():
            seen.add(id(value))
            yield f"{type(value).__name__} {len(value)}"
            for item in value:
                yield from _describe(item, seen)
        case dict():
            seen.add(id(value))
            yield f"dict {len(value)}"
            for key, item in value.items():
                yield from _describe(key, seen)
                yield from _describe(item, seen)
        case FunctionType():
            seen.add(id(value))
            yield from _describe(value.__code__, seen)
            yield from _describe(value.__defaults__, seen)
            yield from _describe(value.__kwdefaults__, seen)
            for cell in value.__closure__ or ():
                try:
                    content = cell.cell_contents
                except ValueError:  # a name that is assigned later
                    yield "empty"
                else:
                    yield from _describe(content, seen)
        case _ if isinstance(inner := getattr(value, "function", None), FunctionType):
            yield from _describe(inner, seen)
        case _:
            seen.add(id(value))
            yield f"object {type(value).__module__}.{type(value).__qualname__}"
            yield from _describe_state(value, seen)


def _describe_state(value: Any, seen: set[int]) -> Iterator[str]:
    try:
        reduced = value.__reduce_ex__(4)
    except Exception as error:  # noqa: BLE001  # a foreign class may raise anything; travel refuses it, with the reason
        yield f"{type(error).__name__} {id(value)}"
        return
    if isinstance(reduced, str):
        yield reduced
        return
    _, arguments, *rest = reduced
    yield from _describe(arguments, seen)
    yield from _describe(rest[0] if rest else None, seen)
