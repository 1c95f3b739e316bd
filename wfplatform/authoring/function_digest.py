"""What a function does, as a digest: its own code and whatever of the user's project it reaches.

Comments, docstrings, file names and line numbers do not count; installed packages count by name and version.
Refuses to guess: what cannot be told apart by its content (a lock, a connection) gives the reason instead.
"""

from __future__ import annotations

import builtins
import copyreg
import dis
import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final, NamedTuple

from wfplatform.authoring.bytecode import GLOBAL_LOADS, absolute_name, steps
from wfplatform.authoring.sources import Origin, collect, distribution_of, origin_of
from wfplatform.core.canonical import canonical_json, digest
from wfplatform.errors import TravelError

__all__ = ["FunctionDigest", "Unanalysable", "fingerprint", "function_digest"]

_EXAMPLES: Final = "wfplatform.examples"
_MAX_VALUES: Final = 200_000

# What a class has from its decorator, its metaclass or its place in the file, not from its author.
_MADE: Final = frozenset(
    [
        "__abstractmethods__",
        "__annotate__",
        "__annotate_func__",
        "__annotations_cache__",
        "__dataclass_fields__",
        "__dataclass_params__",
        "__dict__",
        "__doc__",
        "__firstlineno__",
        "__module__",
        "__qualname__",
        "__signature__",
        "__static_attributes__",
        "__weakref__",
        "_abc_impl",
    ]
)
_PLAIN: Final = frozenset({type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented)})
_PLACE_NAMES: Final = frozenset({"__doc__", "__firstlineno__", "__qualname__", "__static_attributes__"})
_ATTRIBUTE_LOADS: Final = frozenset({"LOAD_ATTR", "LOAD_METHOD"})


class Unanalysable(Exception):  # noqa: N818 - a verdict, not an error of anyone
    """A value has no digest; the text says why."""


class FunctionDigest(NamedTuple):
    """`value` is 64 hexadecimal digits, or None with the `reason`."""

    value: str | None
    reason: str = ""


def function_digest(function: Callable[..., Any]) -> FunctionDigest:
    """The part of a cache key that stands for the code.

    Args:
        function: a function, a `NodeFunction`, or anything callable.

    Returns:
        the digest, equal in every process of the same Python version as long as the function and what it
        reaches (helpers of the project, globals it reads, defaults, closure) do the same; or None and the
        reason why it cannot be told.
    """
    try:
        return FunctionDigest(fingerprint(function))
    except Unanalysable as error:
        return FunctionDigest(None, str(error))


def fingerprint(value: object) -> str:
    """A digest of any value, by content.

    Args:
        value: functions are followed into the project's code; other objects are taken apart as pickle would.

    Returns:
        64 hexadecimal digits.

    Raises:
        Unanalysable: the value holds something that has no content.
    """
    try:
        return _Walk().of(value)
    except RecursionError:
        raise Unanalysable("it is nested too deeply") from None


class _Walk:
    """One walk over a value; every mutable object is looked at once."""

    def __init__(self) -> None:
        self._done: dict[int, str] = {}
        self._open: dict[int, int] = {}
        self._kept: list[object] = []  # ids stay unique only as long as the objects live
        self._left = _MAX_VALUES

    def of(self, value: object) -> str:
        return digest(canonical_json(self._token(value)))

    def _token(self, value: Any) -> list[Any]:
        self._left -= 1
        if self._left < 0:
            raise Unanalysable(f"it reaches more than {_MAX_VALUES} values")
        match value:
            case _ if type(value) in _PLAIN:
                return [type(value).__name__, repr(value)]
            case tuple() if type(value) is tuple:
                return ["tuple", *map(self._token, value)]
            case frozenset() if type(value) is frozenset:
                return ["frozenset", *self._unordered(value)]
            case CodeType():
                return ["code", *self._code(value, None)]
            case _:
                return self._once(value)

    def _unordered(self, values: Iterable[Any]) -> list[Any]:
        # The order of a set differs between processes.
        return sorted((self._token(item) for item in values), key=canonical_json)

    def _once(self, value: Any) -> list[Any]:
        key = id(value)
        if key in self._done:
            return ["digest", self._done[key]]
        if key in self._open:
            return ["cycle", self._open[key]]
        self._open[key] = len(self._open)
        self._kept.append(value)
        try:
            self._done[key] = digest(canonical_json(list(self._parts(value))))
        finally:
            del self._open[key]
        return ["digest", self._done[key]]

    def _parts(self, value: Any) -> Iterator[Any]:
        match value:
            case list() if type(value) is list:
                yield "list"
                yield from map(self._token, value)
            case dict() if type(value) is dict:
                yield "dict"
                for key, item in value.items():
                    yield self._token(key)
                    yield self._token(item)
            case set() if type(value) is set:
                yield "set"
                yield from self._unordered(value)
            case bytearray() | memoryview():
                yield type(value).__name__
                yield hashlib.sha256(value).hexdigest()
            case ModuleType():
                yield from self._module(value)
            case FunctionType():
                yield from self._function(value)
            case MethodType():
                yield "method"
                yield self._token(value.__func__)
                yield self._token(value.__self__)
            case BuiltinFunctionType() if value.__self__ is None or isinstance(value.__self__, ModuleType):
                yield from ["builtin", value.__qualname__, self._home(value.__module__)]
            case type():
                yield from self._class(value)
            case functools.partial():
                yield "partial"
                yield self._token(value.func)
                yield self._token(value.args)
                yield self._token(value.keywords)
            case property():
                yield "property"
                yield from map(self._token, (value.fget, value.fset, value.fdel))
            case staticmethod() | classmethod():
                yield type(value).__name__
                yield self._token(value.__func__)
            case _ if _is_wrapper(value):
                yield from self._function(value.function)
            case _:
                yield from self._object(value)

    def _home(self, module: str | None) -> list[str]:
        """A module that does not travel, as name and version."""
        name = module or "builtins"
        provided = distribution_of(name) if origin_of(name) is Origin.INSTALLED else None
        return [name, *(provided or ())]

    def _module(self, module: ModuleType | str) -> Iterator[Any]:
        name = module if isinstance(module, str) else module.__name__
        match origin_of(name):
            case Origin.PROJECT:
                try:
                    sources = collect([name])
                except TravelError as error:
                    raise Unanalysable(error.message) from None
                yield "sources"
                yield [[path, digest(content)] for path, content in sources.files.items()]
                yield dict(sources.requirements)
            case Origin.DYNAMIC if isinstance(module, ModuleType):
                yield "module"
                yield [self._token(item) for key, item in sorted(vars(module).items()) if not key.startswith("__")]
            case _:
                yield "module"
                yield self._home(name)

    def _function(self, function: FunctionType) -> Iterator[Any]:
        if not _is_followed(function.__module__):
            yield from ["function", function.__qualname__, self._home(function.__module__)]
            return
        yield "function"
        yield self._code(function.__code__, function.__globals__)
        yield self._token(function.__defaults__)
        yield self._token(function.__kwdefaults__)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
            try:
                content = cell.cell_contents
            except ValueError:  # assigned later
                yield [name]
            else:
                yield [name, self._token(content)]

    def _code(self, code: CodeType, scope: dict[str, Any] | None) -> list[Any]:
        instructions = steps(code)
        parts: list[Any] = [
            code.co_name,
            [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & 0xFF],
            list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]),
            code.co_exceptiontable.hex(),
        ]
        for at, item in enumerate(instructions):
            following = instructions[at + 1] if at + 1 < len(instructions) else None
            if following is not None and following.opname == "STORE_NAME" and following.argval in _PLACE_NAMES:
                continue
            if isinstance(item.argval, CodeType):
                parts.append([item.opname, self._code(item.argval, scope)])
            elif item.opcode in dis.hasconst:
                parts.append([item.opname, self._token(item.argval)])
            elif item.opname == "IMPORT_NAME":
                parts.append([item.opname, item.argval, self._imported(item.argval, instructions[:at], scope)])
            elif item.opname in GLOBAL_LOADS and scope is not None:
                parts.append([item.opname, item.argval, self._global(item.argval, instructions[at + 1 :], scope)])
            else:
                parts.append([item.opname, repr(item.argval)])
        return parts

    def _global(self, name: str, following: list[dis.Instruction], scope: dict[str, Any]) -> Any:
        if name not in scope:
            return "builtin" if hasattr(builtins, name) else "unbound"
        value = scope[name]
        # Of a module of the project only what is taken from it counts.
        for item in following:
            if not (isinstance(value, ModuleType) and _is_followed(value.__name__) and item.opname in _ATTRIBUTE_LOADS):
                break
            if not hasattr(value, item.argval):
                break
            value = getattr(value, item.argval)
        try:
            return self._token(value)
        except Unanalysable as error:
            raise Unanalysable(f"global {name!r}: {error}") from None

    def _imported(self, name: str, before: list[dis.Instruction], scope: dict[str, Any] | None) -> Any:
        name = absolute_name(name, before, (scope or {}).get("__package__"))
        return list(self._module(name))

    def _class(self, cls: type) -> Iterator[Any]:
        if not _is_followed(cls.__module__):
            yield from ["class", cls.__qualname__, self._home(cls.__module__)]
            return
        yield from ["class", cls.__qualname__]
        yield [self._token(base) for base in cls.__bases__]
        yield self._token(type(cls))
        for name, member in sorted(vars(cls).items()):
            if name in _MADE or (name.startswith("__pydantic_") and name != "__pydantic_fields__"):
                continue
            if type(member).__name__ in ("member_descriptor", "getset_descriptor"):
                yield [name]
            elif name in ("__annotations__", "__pydantic_fields__"):
                yield [name, [[key, _described(item)] for key, item in member.items()]]
            elif isinstance(member, Enum):
                yield [name, self._token(member.value)]
            elif issubclass(cls, Enum) and name.startswith("_") and name != "_missing_":
                continue
            else:
                yield [name, self._token(member)]
        for field in vars(cls).get("__dataclass_fields__", {}).values():
            yield [
                field.name,
                _described(field.type),
                *map(self._token, (field.default, field.default_factory)),
            ]

    def _object(self, value: Any) -> Iterator[Any]:
        try:
            special = copyreg.dispatch_table.get(type(value))
            reduced = special(value) if special else value.__reduce_ex__(4)
        except Exception as error:  # whatever a foreign class raises: it cannot be taken apart
            raise Unanalysable(
                f"an object of type {_type_name(value)} has no content that could be compared"
            ) from error
        if isinstance(reduced, str):
            yield from ["name", reduced, self._home(getattr(value, "__module__", None))]
            return
        made_by, arguments, *rest = reduced
        state, items, pairs = [*rest, None, None, None][:3]
        yield "object"
        yield self._token(made_by)
        yield self._token(arguments)
        yield self._token(state)
        yield self._token(list(items) if items is not None else None)
        yield self._token([tuple(pair) for pair in pairs] if pairs is not None else None)


def _is_followed(module: str | None) -> bool:
    if module and (module == _EXAMPLES or module.startswith(_EXAMPLES + ".")):
        return True  # code of users, so to say, that comes with the platform
    return origin_of(module or "builtins") in (Origin.PROJECT, Origin.DYNAMIC)


def _is_wrapper(value: object) -> bool:
    return type(value).__module__.startswith("wfplatform.") and isinstance(
        getattr(value, "function", None), FunctionType
    )


def _described(value: Any) -> str:
    text = repr(value)
    if " at 0x" in text:
        raise Unanalysable(f"{text.partition(' at 0x')[0]}> is known by its address only")
    return text


def _type_name(value: object) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
