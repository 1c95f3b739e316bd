"""Packs the functions of a workflow so that they run elsewhere: by reference with their sources, or by value.

Refuses at once, and by name, what cannot leave this process: locks, open files, connections, generators.
"""

from __future__ import annotations

import functools
import inspect
import io
import pickletools
import platform
import socket
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, Final

import cloudpickle

from wfplatform.authoring.bytecode import imported_names
from wfplatform.authoring.code import ByReference, ByValue, Code, FunctionEntry, Listing
from wfplatform.authoring.culprit import culprit, unwrapped
from wfplatform.authoring.function_digest import (
    FunctionDigest,
    Unanalysable,
    fingerprint,
    function_digest,
)
from wfplatform.authoring.key import is_importable
from wfplatform.authoring.output import Reference
from wfplatform.authoring.sources import Origin, Sources, collect, origin_of, users_name
from wfplatform.authoring.stale import CHANGED_ON_DISK, stale_modules
from wfplatform.core.canonical import canonical_json, digest
from wfplatform.core.requirement import PYTHON, distribution_name
from wfplatform.errors import TravelError

__all__ = ["MAX_CODE_BYTES", "Code", "FunctionDigest", "dump_constant", "function_digest", "pack"]

MAX_CODE_BYTES: Final = 64 * 1024 * 1024

_PROTOCOL: Final = 5


def pack(
    functions: Mapping[str, Callable[..., Any]],
    constants: Mapping[str, bytes] | None = None,
    parameter_types: Mapping[str, object] | None = None,
    names: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Code:
    """Everything a worker needs to run these functions.

    A function that others can import travels by reference: nothing of it when its module is installed, with
    its whole project package when it is not. Others (of a script, a notebook, a closure) go by value.

    Args:
        functions: function key -> function, or the `NodeFunction` that wraps it.
        constants: digest -> bytes of cloudpickle, as `dump_constant` makes them.
        parameter_types: parameter -> its annotation.
        names: function key -> what errors call the function; default: its own name. A lambda has none.
        environment: what nodes declare of their environment, as `declared_environment` tells it.

    Returns:
        the code; its digest is the same in every process and on every machine with the same packages.

    Raises:
        TravelError: a function or type cannot travel (the message names the culprit), or it is too large.
    """
    entries: dict[str, FunctionEntry] = {}
    freight = _Freight()
    for key, function in functions.items():
        entries[key] = _entry(key, unwrapped(function), freight, (names or {}).get(key))
    types = {
        name: _dump(annotation, f"The type of parameter {name!r}", freight)
        for name, annotation in (parameter_types or {}).items()
    }
    for content in (constants or {}).values():
        freight.modules.update(_modules_in(content))
    sources = collect(freight.modules)
    code = _code(entries, sources, dict(constants or {}), types, parameter_types or {}, freight, environment or {})
    _check_size(code)
    stale = stale_modules(code.sources, {path.partition("/")[0].partition(".")[0] for path in code.sources})
    return _without_digests(code, stale) if stale else code


def dump_constant(value: object, name: str = "The value") -> bytes:
    """A value as bytes that travel.

    Args:
        value: anything that can be pickled.
        name: how an error calls it, as the beginning of a sentence.

    Returns:
        bytes of cloudpickle.

    Raises:
        TravelError: `cannot_travel`, naming the part of the value that is to blame.
    """
    return _dump(value, name, _Freight())


@dataclass(slots=True)
class _Freight:
    """What comes along with pickles: modules they refer to, and the lines of functions within."""

    modules: set[str] = field(default_factory=set)
    lines: dict[str, dict[int, str]] = field(default_factory=dict)


class _RefusedError(TypeError):
    """An object that cloudpickle would take, but that would not be the same elsewhere."""


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle is not typed
    def __init__(self, file: io.BytesIO, freight: _Freight) -> None:
        super().__init__(file, protocol=_PROTOCOL)
        self._freight = freight

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, ModuleType):
            self._freight.modules.add(obj.__name__)
        elif isinstance(obj, FunctionType | BuiltinFunctionType | type):
            module: Any = obj.__module__  # None where code was made by hand
            if isinstance(module, str) and not module.startswith("cloudpickle."):
                self._freight.modules.add(module)
            if isinstance(obj, FunctionType) and not _is_referable(obj):
                package = obj.__globals__.get("__package__")
                self._freight.modules.update(imported_names(obj.__code__, package))
                _list_lines(obj, self._freight)
        elif _is_bound_to_process(obj):
            raise _RefusedError(f"cannot travel: {_type_name(obj)}")
        return super().reducer_override(obj)


def _entry(key: str, function: Callable[..., Any], freight: _Freight, called: str | None) -> FunctionEntry:
    found = function_digest(function)
    if _is_referable(function):
        freight.modules.add(function.__module__)
        return ByReference(
            module=function.__module__,
            qualname=function.__qualname__,
            digest=found.value,
            reason=found.reason,
        )
    name = called or getattr(function, "__qualname__", None) or key
    return ByValue(pickle=_dump(function, f"Function {name!r}", freight), digest=found.value, reason=found.reason)


def _code(
    entries: dict[str, FunctionEntry],
    sources: Sources,
    constants: dict[str, bytes],
    types: dict[str, bytes],
    annotations: Mapping[str, object],
    freight: _Freight,
    environment: Mapping[str, str],
) -> Code:
    python = ".".join(platform.python_version_tuple()[:2])
    requirements = dict(sources.requirements)
    requirements |= {distribution_name(name): said for name, said in environment.items() if not name.startswith("$")}
    if constants or types or any(isinstance(entry, ByValue) for entry in entries.values()):
        requirements[PYTHON] = python
    sources_digest = digest(canonical_json({path: digest(content) for path, content in sources.files.items()}))
    content = {
        "python": python,
        # Pickles of one function differ between processes; what they do does not.
        "functions": {
            key: ["reference", entry.module, entry.qualname]
            if isinstance(entry, ByReference)
            else ["value", entry.digest or digest(entry.pickle)]
            for key, entry in entries.items()
        },
        "sources": sources_digest,
        "constants": sorted(constants),
        "types": {name: _fingerprint(annotations[name], dumped) for name, dumped in types.items()},
        "requirements": requirements,
    }
    if environment:
        content["environment"] = dict(environment)
    return Code(
        digest=digest(canonical_json(content)),
        python=python,
        functions=entries,
        sources=sources.files,
        sources_digest=sources_digest if sources.files else "",
        constants=constants,
        parameter_types=types,
        requirements=requirements,
        listings=tuple(
            Listing(file=file, blocks=tuple(sorted(blocks.items())), shown=users_name(file))
            for file, blocks in sorted(freight.lines.items())
        ),
        origins=sources.origins,
        environment=environment,
    )


def _without_digests(code: Code, stale: list[str]) -> Code:
    """The same, its functions without digests: what would be cached under them is not what the workers run."""
    names = ", ".join(stale)
    reason = f"{CHANGED_ON_DISK}: {names}"
    warnings.warn(
        f"Workers will run the files as they are now; {reason}. Reload, or start Python anew, so that both agree; "
        "until then no result of this workflow is taken from the cache.",
        stacklevel=3,
    )
    functions = {key: replace(entry, digest=None, reason=reason) for key, entry in code.functions.items()}
    return replace(code, functions=functions)


def _fingerprint(value: object, dumped: bytes) -> str:
    try:
        return fingerprint(value)
    except Unanalysable:
        return digest(dumped)


def _check_size(code: Code) -> None:
    sizes = {
        f"function {key!r}": len(entry.pickle) for key, entry in code.functions.items() if isinstance(entry, ByValue)
    }
    sizes |= {f"constant {name[:12]}": len(content) for name, content in code.constants.items()}
    total_bytes = sum(sizes.values()) + sum(map(len, code.sources.values()))
    if total_bytes > MAX_CODE_BYTES:
        largest = max(sizes, key=lambda name: sizes[name])
        raise TravelError(
            "code_too_large",
            f"The code would travel with {total_bytes} bytes, at most {MAX_CODE_BYTES} are allowed; "
            f"the largest part is {largest} with {sizes[largest]} bytes.",
            "Load large data inside a node, or pass its path as a parameter.",
            size_bytes=total_bytes,
        )


def _is_referable(function: Callable[..., Any]) -> bool:
    """Whether a worker can import it, given the sources."""
    if not isinstance(getattr(function, "__qualname__", None), str) or not is_importable(function):
        return False
    return origin_of(function.__module__) not in (Origin.DYNAMIC, Origin.MISSING)


def _dump(value: object, name: str, freight: _Freight) -> bytes:
    try:
        return _pickled(value, freight)
    except Exception as error:  # a foreign __reduce__ may raise anything
        way, part = culprit(value, _travels)
        path = functools.reduce(_joined, way, "")
        where = f"{path or 'it'} is of type {_type_name(part)}"
        raise TravelError(
            "cannot_travel",
            f"{name} cannot travel to a worker: {where}, which exists in this process only.",
            _hint(part),
            path=path,
            type=_type_name(part),
            cause=str(error),
        ) from error


def _pickled(value: object, freight: _Freight) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, freight).dump(value)
    return buffer.getvalue()


def _joined(path: str, label: str) -> str:
    if label.startswith(("[", ".")):
        return (path or "its content ") + label
    return f"{path}, there {label}" if path else f"its {label}"


def _travels(value: object) -> bool:
    try:
        _pickled(value, _Freight())
    except Exception:  # noqa: BLE001 - the question is whether, not why
        return False
    return True


def _is_bound_to_process(value: object) -> bool:
    """Open files (cloudpickle would copy what they hold), sockets, and clients of a cluster."""
    if isinstance(value, socket.socket):
        return True
    if isinstance(value, io.IOBase):
        return not isinstance(value, io.StringIO | io.BytesIO)
    return _type_name(value) in ("distributed.client.Client", "tempfile.TemporaryDirectory")


def _hint(part: object) -> str:
    if isinstance(part, Reference):
        return (
            "It is known only when the workflow runs: give it to the node as an argument, where the workflow calls it."
        )
    kind = _type_name(part).lower()
    if isinstance(part, io.IOBase):
        return "Pass the path and open the file inside the function."
    if "generator" in kind or "iterator" in kind:
        return "Make a list of it first, or make it inside the function."
    if any(word in kind for word in ("connection", "cursor", "engine", "session", "client", "socket")):
        return "Open it inside the function, from an address that is passed in."
    return "Create it inside the function, or pass in what it is made from."


def _modules_in(pickled: bytes) -> Iterator[str]:
    """Modules whose classes and functions a pickle names, read without opening it."""
    pushed: list[str | None] = []
    memo: list[str | None] = []
    try:
        opcodes = list(pickletools.genops(pickled))
    except ValueError as error:
        raise TravelError(
            "constant_not_pickled",
            f"Expected a constant as bytes of cloudpickle, got {len(pickled)} other bytes.",
            "Make them with dump_constant.",
        ) from error
    for opcode, argument, _ in opcodes:
        match opcode.name:
            case "SHORT_BINUNICODE" | "BINUNICODE" | "BINUNICODE8":
                pushed.append(argument)
            case "MEMOIZE":
                memo.append(pushed[-1] if pushed else None)
            case "BINGET" | "LONG_BINGET" if argument is not None:
                pushed.append(memo[argument] if argument < len(memo) else None)
            case "STACK_GLOBAL":
                if len(pushed) > 1 and pushed[-2] is not None:
                    yield pushed[-2]
                pushed = [None]
            case _:
                pushed = [None]


def _list_lines(function: FunctionType, freight: _Freight) -> None:
    try:
        lines, start = inspect.getsourcelines(function.__code__)
    except (OSError, TypeError, IndexError, SyntaxError):  # made by exec: it has no lines
        return
    freight.lines.setdefault(function.__code__.co_filename, {})[max(start, 1)] = "".join(lines)


def _type_name(value: object) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
