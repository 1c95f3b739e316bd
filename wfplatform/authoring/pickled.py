"""The last resort for a value that is to be kept: cloudpickle, protocol 5. Workers store with it, `.local()` tries.

Refuses what would come back as something else (an open file as its text, a memoryview as bytes) or can be read only once
(a generator, a map object), and names the part of a value that cannot leave the process.
"""

from __future__ import annotations

import functools
import io
import itertools
import pickle
import types
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any, ClassVar, Final, NoReturn, Protocol

import cloudpickle

from wfplatform.errors import TravelError, WfError

__all__ = ["Storable", "decode", "encode"]

MAX_DEPTH: Final = 12
MAX_TRIES: Final = 2_000

_ATOMS: Final = frozenset({type(None), bool, int, float, str, bytes})
_LISTINGS: Final[tuple[Iterable[Any], ...]] = (
    *([], (), "", b"", bytearray(), set(), {}, {}.values(), {}.items()),
    *(range(0), range(1 << 64), reversed([]), reversed({})),
)
_ITERTOOLS: Final = {kind for kind in vars(itertools).values() if isinstance(kind, type)}
_ONE_SHOT: Final[frozenset[Any]] = frozenset(
    {types.GeneratorType, map, filter, zip, enumerate, reversed, *(type(iter(one)) for one in _LISTINGS), *_ITERTOOLS}
) - {itertools.count, itertools.repeat}
"""Python's own iterators. Of two nodes that read one, the second would find it empty; that some can be pickled helps nobody.
The two that only count are left out: they are no data, but part of objects that number things."""


class Writable(Protocol):
    """Takes bytes."""

    def write(self, data: Any, /) -> int:
        """Take bytes; returns how many."""
        ...


class _Nowhere:
    """Takes bytes to see whether they can be made at all."""

    def write(self, data: Any, /) -> int:
        return memoryview(data).nbytes


def _refuse(value: object) -> NoReturn:
    raise pickle.PicklingError(f"cannot pickle {_name(type(value))!r} object")


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    # cloudpickle would write a file opened for reading as its content, and a memoryview as bytes.
    dispatch_table: ClassVar[Mapping[type, Any]] = ChainMap(
        dict.fromkeys({io.TextIOWrapper, memoryview, *_ONE_SHOT}, _refuse), cloudpickle.Pickler.dispatch_table
    )


class _Trial(_Pickler):
    """Writes nothing, and classes that are known to travel not even in thought: by value they cost a millisecond each."""

    def __init__(self, known: Set[type]) -> None:
        super().__init__(_Nowhere(), protocol=5)
        self._known = known
        self.met: set[type] = set()

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type):
            if obj in self._known:
                return len, ()  # Anything that is not itself a class.
            self.met.add(obj)
        return super().reducer_override(obj)


class Storable:
    """Asks whether values could be stored; remembers the classes that could."""

    def __init__(self) -> None:
        self._known: set[type] = set()

    def check(self, value: object) -> None:
        """Return if a worker could store a value.

        Raises:
            TravelError: as `encode`.
        """
        if type(value) in _ATOMS:
            return
        trial = _Trial(self._known)
        _dump(trial, value)
        self._known |= trial.met


def encode(value: object, sink: Writable) -> None:
    """Pickle a value.

    Args:
        value: anything.
        sink: where the bytes go.

    Raises:
        TravelError: code `value_cannot_travel`, naming the type, the part and what to do.
        StorageError: the sink cannot write.
    """
    _dump(_Pickler(sink, protocol=5), value)


def decode(body: Any) -> object:
    """Unpickle; runs code of whoever wrote it.

    Args:
        body: bytes-like.
    """
    return pickle.loads(body)


def _dump(pickler: _Pickler, value: object) -> None:
    try:
        pickler.dump(value)
    except (WfError, MemoryError):
        raise
    # The value's own methods are called: they may raise anything.
    except Exception as error:
        raise _travel_error(value, error) from error


def _travel_error(value: object, error: Exception) -> TravelError:
    whole = _name(type(value))
    # cloudpickle wraps it.
    if isinstance(error, RecursionError) or isinstance(error.__cause__, RecursionError):
        return TravelError(
            "value_cannot_travel",
            f"The value of type {whole} is nested too deep to be stored.",
            "Return it flatter: a list of rows, a frame, or keys that refer to each other.",
            type=whole,
            reason=str(error),
        )
    place, part = _Search().culprit(value, "value", 0)
    kind = _name(type(part))
    named = f"The value of type {whole} cannot be stored"
    if part is not value:
        named += f": {place} is of type {kind}, which cannot leave its process"
    return TravelError(
        "value_cannot_travel",
        f"{named} ({error}).",
        _hint(part),
        type=whole,
        part=place,
        part_type=kind,
        reason=f"{type(error).__name__}: {error}",
    )


def _hint(part: object) -> str:
    if type(part) in _ONE_SHOT:
        return "It can be run through only once: return list(...) of it."
    if isinstance(part, types.CoroutineType | types.AsyncGeneratorType):
        return "It has not run yet: await it, and return what it gives."
    if isinstance(part, io.IOBase):
        return "Return the file's path or its content, and open it where it is used."
    if isinstance(part, memoryview):
        return "Return bytes(...) of it."
    if type(part).__module__ in {"_thread", "threading", "socket", "asyncio", "multiprocessing"}:
        return "Make it inside the node that uses it, and return only data."
    return (
        "Return plain data, a frame or an array; or give the class a __getstate__ that leaves the part out "
        "and a __setstate__ that makes it again."
    )


class _Search:
    """Looks for the innermost part that fails, with a bounded number of tries."""

    def __init__(self) -> None:
        self._tries = 0
        self._seen: set[int] = set()

    def culprit(self, value: object, place: str, depth: int) -> tuple[str, object]:
        """Where the offending part stands, and the part."""
        self._seen.add(id(value))
        if depth < MAX_DEPTH:
            for at, part in _parts(value):
                if id(part) in self._seen:
                    continue
                if self._tries >= MAX_TRIES:
                    break
                self._tries += 1
                if not _travels(part):
                    return self.culprit(part, place + at, depth + 1)
        return place, value


def _travels(value: object) -> bool:
    try:
        _Pickler(_Nowhere(), protocol=5).dump(value)
    except Exception:  # noqa: BLE001 - the value's own methods may raise anything, and that is the answer
        return False
    return True


def _parts(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, item in list(value.items()):
            yield f"[{key!r:.60}]", item
            yield f" key {key!r:.60}", key
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield f"[{index}]", item
    elif isinstance(value, set | frozenset):
        for item in list(value):
            yield f" element {item!r:.60}", item
    elif isinstance(value, functools.partial):
        yield ".func", value.func
        yield ".args", value.args
        yield ".keywords", value.keywords
    elif isinstance(value, types.MethodType):
        yield ".__self__", value.__self__
    elif isinstance(value, types.FunctionType):
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=False):
            if cell != types.CellType():  # an empty cell holds nothing
                yield f" closure variable {name!r}", cell.cell_contents
        yield ".__defaults__", value.__defaults__
        for name in value.__code__.co_names:
            if name in value.__globals__:
                yield f" global {name!r}", value.__globals__[name]
    if not isinstance(value, type):
        for name, item in list(getattr(value, "__dict__", {}).items()):
            yield f".{name}", item
        for kind in type(value).__mro__:
            slots = getattr(kind, "__slots__", ())
            for name in [slots] if isinstance(slots, str) else slots:
                if hasattr(value, name):
                    yield f".{name}", getattr(value, name)


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
