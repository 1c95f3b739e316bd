"""The last resort for a value that is to be kept: cloudpickle, protocol 5. Workers store with it, `.local()` tries.

Refuses what would come back as something else (an open file as its text, a memoryview as bytes) or can be read only once
(a generator, a map object), and names the part of a value that cannot leave the process.
"""

from __future__ import annotations

import io
import itertools
import pickle
import types
from collections import ChainMap
from collections.abc import Iterable, Mapping, Set
from typing import Any, ClassVar, Final, NoReturn, Protocol

import cloudpickle

from wfplatform.authoring.culprit import culprit
from wfplatform.errors import TravelError, WfError

__all__ = ["Storable", "decode", "encode"]

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
    way, part = culprit(value, _travels)
    place = "value" + "".join(label if label[0] in "[." else f" {label}" for label in way)
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


def _travels(value: object) -> bool:
    try:
        _Pickler(_Nowhere(), protocol=5).dump(value)
    except Exception:  # noqa: BLE001 - the value's own methods may raise anything, and that is the answer
        return False
    return True


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
