"""What a function does, as a digest: its own code and whatever of the user's project it reaches.

Comments, docstrings, layout, file names and line numbers do not count; installed packages count by name and version.
Refuses to guess: what cannot be told apart by its content (a lock, a connection) gives the reason instead.
"""

from __future__ import annotations

import builtins
import dis
import functools
import hashlib
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GenericAlias,
    MappingProxyType,
    MethodType,
    ModuleType,
    UnionType,
)
from typing import Any, Final, ForwardRef, NamedTuple, get_args, get_origin

from wfplatform.authoring.bytecode import GLOBAL_LOADS, absolute_name
from wfplatform.authoring.content import (
    Unanalysable,
    class_parts,
    function_place,
    home,
    is_followed,
    object_parts,
    overloads,
    source_parts,
)
from wfplatform.authoring.normal import (
    Doing,
    Effect,
    effects_of,
    imports_of,
    literals_of,
    normal_code,
    normal_steps,
    source_of,
)
from wfplatform.authoring.opaque import named_module, opaque_step, opaque_value, rebinds
from wfplatform.authoring.sources import Origin, origin_of
from wfplatform.core.canonical import canonical_json, digest

__all__ = ["FunctionDigest", "Unanalysable", "fingerprint", "function_digest"]

_MAX_VALUES: Final = 200_000

_PLAIN: Final = frozenset({type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented)})
_PLACES: Final = frozenset({"__file__", "__path__", "__spec__", "__loader__"})
_ATTRIBUTE_LOADS: Final = frozenset({"LOAD_ATTR", "LOAD_METHOD"})


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
    walk = _Walk([_MAX_VALUES])
    try:
        found = walk.of(value)
        imported = _imports(walk.modules)
    except RecursionError:
        raise Unanalysable("it is nested too deeply") from None
    return digest(canonical_json([platform.python_version_tuple()[:2], found, imported]))


class _Walk:
    """One walk over a value. Every object is looked at once, and known by its number afterwards.

    Args:
        left: how many values may still be looked at, by this walk and those within it.
        sets: those whose items are being looked at; each item is walked on its own, since the order of a set is nobody's.
    """

    def __init__(self, left: list[int], sets: tuple[int, ...] = (), modules: set[str] | None = None) -> None:
        self.modules = set() if modules is None else modules
        self._left = left
        self._sets = sets
        self._numbers: dict[int, int] = {}
        self._kept: list[object] = []  # ids stay unique only as long as the objects live

    def of(self, value: object) -> str:
        return digest(canonical_json(self.token(value)))

    def effects(self, code: CodeType, scope: dict[str, Any]) -> str:
        return digest(canonical_json(self._code(code, scope)))

    def token(self, value: Any) -> list[Any]:
        self._left[0] -= 1
        if self._left[0] < 0:
            raise Unanalysable(f"it reaches more than {_MAX_VALUES} values")
        match value:
            case _ if type(value) in _PLAIN:
                return [type(value).__name__, repr(value)]
            case tuple() if type(value) is tuple:
                return ["tuple", *map(self.token, value)]
            case frozenset() if type(value) is frozenset:
                return ["frozenset", *self._unordered(value)]
            case ForwardRef():
                return ["type", "name", value.__forward_arg__]
            case GenericAlias() | UnionType():
                return ["type", self.token(get_origin(value)), *map(self.token, get_args(value))]
            case _ if type(value).__module__ == "typing" and get_origin(value) is not None:
                return ["type", type(value).__name__, self.token(get_origin(value)), *map(self.token, get_args(value))]
            case _:
                return self._once(value)

    def _unordered(self, values: Iterable[Any]) -> list[Any]:
        if id(values) in self._sets:
            return ["around", self._sets.index(id(values))]
        inside = (*self._sets, id(values))
        found = [
            self.token(item) if type(item) in _PLAIN else _Walk(self._left, inside, self.modules).token(item)
            for item in values
        ]
        return sorted(found, key=canonical_json)

    def _once(self, value: Any) -> list[Any]:
        number = self._numbers.get(id(value))
        if number is not None:
            return ["seen", number]
        self._numbers[id(value)] = len(self._numbers)
        self._kept.append(value)
        why = opaque_value(value)
        if why:
            raise Unanalysable(f"{getattr(value, '__name__', 'it')} {why}")
        return ["digest", digest(canonical_json(list(self._parts(value))))]

    def _parts(self, value: Any) -> Iterator[Any]:
        match value:
            case list() if type(value) is list:
                yield "list"
                yield from map(self.token, value)
            case dict() if type(value) is dict:
                yield "dict"
                for key, item in value.items():
                    yield self.token(key)
                    yield self.token(item)
            case set() if type(value) is set:
                yield "set"
                yield from self._unordered(value)
            case bytearray() | memoryview():
                yield type(value).__name__
                yield hashlib.sha256(value).hexdigest()
            case MappingProxyType():
                yield "view"
                yield self.token(dict(value))
            case CodeType():
                raise Unanalysable("it holds code that is no function")
            case ModuleType():
                yield from self._module(value)
            case FunctionType():
                yield from self._function(value)
            case MethodType():
                yield "method"
                yield self.token(value.__func__)
                yield self.token(value.__self__)
            case BuiltinFunctionType() if value.__self__ is None or isinstance(value.__self__, ModuleType):
                yield from ["builtin", value.__qualname__, home(value.__module__)]
            case type():
                if is_followed(value.__module__):
                    self.modules.add(value.__module__)
                yield from class_parts(value, self.token)
            case functools.partial() if type(value) is functools.partial:
                yield "partial"
                yield from map(self.token, (value.func, value.args, value.keywords, vars(value)))
            case functools._lru_cache_wrapper():
                yield "remembered"
                yield self.token(value.__wrapped__)
                yield sorted(value.cache_parameters().items())
            case property():
                yield "property"
                yield from map(self.token, (value.fget, value.fset, value.fdel))
            case staticmethod() | classmethod():
                yield type(value).__name__
                yield self.token(value.__func__)
            case _ if _is_wrapper(value):
                yield from self._function(value.function)
            case _:
                yield from object_parts(value, self.token)

    # -- modules

    def _module(self, module: ModuleType | str) -> Iterator[Any]:
        name = module if isinstance(module, str) else module.__name__
        match origin_of(name):
            case Origin.PROJECT:
                yield from source_parts(name)
            case Origin.DYNAMIC if isinstance(module, ModuleType):
                yield "module"
                yield [self.token(item) for key, item in sorted(vars(module).items()) if not key.startswith("__")]
            case _:
                if why := opaque_value(ModuleType(name)):
                    raise Unanalysable(f"{name} {why}")
                yield "module"
                yield home(name)

    # -- functions

    def _function(self, function: FunctionType) -> Iterator[Any]:
        yield "function"
        place = function_place(function)
        if place is not None:
            yield place
            if function.__closure__ is None:
                return
            found = overloads(function)
            if found is not None:
                yield self.token(found)
                return
        else:
            module = function.__globals__.get("__name__")
            if isinstance(module, str):
                self.modules.add(module)
            yield self._code(
                normal_code(function.__code__), function.__globals__, frozenset(function.__code__.co_freevars)
            )
        yield self.token(function.__defaults__)
        yield self.token(function.__kwdefaults__)
        yield [[name, self.token(item)] for name, item in vars(function).items() if name != "__doc__"]
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
            try:
                content = cell.cell_contents
            except ValueError:  # assigned later
                yield [name]
            else:
                yield [name, self._named(f"closed-over {name!r}", content)]

    def _code(self, code: CodeType, scope: dict[str, Any], closed: frozenset[str] = frozenset()) -> list[Any]:
        steps, handlers = normal_steps(code)
        why = rebinds(code, closed, steps)
        if why:
            raise Unanalysable(f"{code.co_name} {why}")
        parts: list[Any] = [
            code.co_name,
            [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & 0x3FF],
            list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]),
            handlers,
        ]
        for at, step in enumerate(steps):
            why = opaque_step(steps, at, scope)
            if why:
                raise Unanalysable(f"{code.co_name} {why}")
            named = named_module(steps, at)
            if named:
                parts.append([step.opname, list(self._module(named))])
            elif isinstance(step.value, CodeType):
                parts.append([step.opname, self._code(step.value, scope, closed)])
            elif step.opcode in dis.hasconst:
                parts.append([step.opname, self.token(step.value)])
            elif step.opname == "IMPORT_NAME":
                name = absolute_name(step.value, [one.value for one in steps[:at]], scope.get("__package__"))
                parts.append([step.opname, step.value, list(self._module(name))])
            elif step.opname in GLOBAL_LOADS:
                parts.append([step.opname, step.value, self._global(step.value, steps[at + 1 :], scope)])
            else:
                parts.append([step.opname, repr(step.value)])
        return parts

    def _global(self, name: str, following: Sequence[Doing], scope: dict[str, Any]) -> Any:
        if name not in scope:
            return "builtin" if hasattr(builtins, name) else "unbound"
        module = scope.get("__name__")
        if name in _PLACES and isinstance(module, str):
            return list(self._module(module))
        value = scope[name]
        _refuse_changed(name, value, scope)
        # Of a module of the project only what is taken from it counts.
        for item in following:
            if not (isinstance(value, ModuleType) and is_followed(value.__name__) and item.opname in _ATTRIBUTE_LOADS):
                break
            if item.value in _PLACES or not hasattr(value, item.value):
                break
            within, value = vars(value), getattr(value, item.value)
            name = f"{name}.{item.value}"
            _refuse_changed(item.value, value, within)
        return self._named(f"global {name!r}", value)

    def _named(self, called: str, value: Any) -> list[Any]:
        try:
            return self.token(value)
        except Unanalysable as error:
            raise Unanalysable(f"{called}: {error}") from None


def _imports(modules: Iterable[str]) -> list[Any]:
    """What modules of the project do when they are imported, other than to define: of these, and of those they import."""
    found: list[Any] = []
    todo, done = list(modules), set[str]()
    while todo:
        name = todo.pop()
        parent = name.rpartition(".")[0]
        if name in done or not name or origin_of(name) is not Origin.PROJECT:
            continue
        done.add(name)
        module = sys.modules.get(name)
        text = source_of(str(getattr(module, "__file__", None) or "")) if module is not None else ""
        todo += [parent, *imports_of(text, str(getattr(module, "__package__", "") or ""))]
        effects = [effect for effect in effects_of(text) if module is not None and _matters(effect, vars(module))]
        if not effects or module is None:
            continue
        walk = _Walk([_MAX_VALUES])
        try:
            found.append([name, *(walk.effects(effect.code, vars(module)) for effect in effects)])
        except Unanalysable:  # then everything that it may mean counts
            found.append([name, list(source_parts(name))])
        todo += walk.modules
    return sorted(found)


def _matters(effect: Effect, scope: dict[str, Any]) -> bool:
    """Whether a statement calls code of the user's; what installed packages return is looked at where it is used."""
    return effect.callees is None or any(_is_users(callee, scope) for callee in effect.callees)


def _is_users(callee: str, scope: dict[str, Any]) -> bool:
    first, *rest = callee.split(".")
    if not callee or first not in scope:
        return not hasattr(builtins, first)
    value = scope[first]
    for part in rest:
        value = getattr(value, part, None)
    if isinstance(value, FunctionType):
        return is_followed(value.__globals__.get("__name__"))
    return is_followed(getattr(value if isinstance(value, type) else type(value), "__module__", None))


def _refuse_changed(name: str, value: Any, scope: dict[str, Any]) -> None:
    """Workers run the file of a module: what this process has put in place of a plain value is not there."""
    module = scope.get("__name__")
    if not isinstance(module, str) or origin_of(module) is not Origin.PROJECT:
        return
    literals = literals_of(source_of(str(scope.get("__file__") or "")))
    if name in literals and _differs(literals[name], value):
        raise Unanalysable(
            f"{module}.{name} was changed in this process: workers have it as the file {scope.get('__file__')} says"
        )


def _differs(written: Any, value: Any) -> bool:
    if type(written) is not type(value):
        return True
    return type(written) in _PLAIN and repr(written) != repr(value)


def _is_wrapper(value: object) -> bool:
    return type(value).__module__.startswith("wfplatform.") and isinstance(
        getattr(value, "function", None), FunctionType
    )
