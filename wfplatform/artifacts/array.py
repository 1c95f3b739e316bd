"""NumPy arrays and scalars in NumPy's own `npy` format.

Refuses (by None) what the format does not bring back identically: objects, subclasses, foreign and annotated
dtypes.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.lib import format as npy

from wfplatform.artifacts.sink import Sink

__all__ = ["decode", "encode"]

ARRAY: Final = "numpy.ndarray"
SCALAR: Final = "numpy.generic"

_SCALAR_KINDS: Final = frozenset("biufcmMUS")


def encode(value: Any, sink: Sink) -> str | None:
    """Write an array or scalar.

    Args:
        value: something whose type belongs to numpy.
        sink: where the bytes go.

    Returns:
        The kind, to be given to `decode`; None = not writable in this format, nothing was written.
    """
    if type(value) is np.ndarray:
        if not _kept(value.dtype):
            return None
        npy.write_array(sink, value, allow_pickle=False)
        return ARRAY
    if isinstance(value, np.generic):
        dtype = value.dtype
        if dtype.kind not in _SCALAR_KINDS or dtype.type is not type(value) or not _kept(dtype):
            return None
        sink.write(_scalar_head(dtype) + np.asarray(value).tobytes())
        return SCALAR
    return None


def decode(body: Any, kind: str) -> Any:
    """Read an array or scalar.

    Args:
        body: bytes-like; a writable buffer becomes the array's memory, any other is copied.
        kind: what `encode` returned.

    Returns:
        The array, writable, or the scalar.
    """
    if kind != SCALAR:
        return _array(body)
    end = 10 + int.from_bytes(body[8:10], "little")
    dtype = _scalar_dtype(bytes(body[:end]))
    return np.frombuffer(body, dtype=dtype, count=1, offset=end)[0] if dtype.itemsize else dtype.type()


def _array(body: Any) -> Any:
    view = memoryview(body)
    head = io.BytesIO(view[: 64 * 1024 + 16])
    version = npy.read_magic(head)
    if version in {(1, 0), (2, 0)}:
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran_order, dtype = read(head)
        count = int(np.prod(shape, dtype=np.int64))
        if count and dtype.itemsize and not dtype.hasobject and head.tell() < head.getbuffer().nbytes:
            flat = np.frombuffer(body, dtype=dtype, count=count, offset=head.tell())
            array = flat.reshape(shape, order="F" if fortran_order else "C")
            return array.copy(order="K") if view.readonly else array
    return npy.read_array(io.BytesIO(view), allow_pickle=False)


def _kept(dtype: Any) -> bool:
    """Whether a dtype reads back as the very same."""
    if dtype.hasobject or dtype.metadata is not None:
        return False
    if dtype.names is not None:
        # Equal dtypes may still differ in alignment and titles.
        back = npy.descr_to_dtype(npy.dtype_to_descr(dtype))
        same = back == dtype and repr(back) == repr(dtype)
        return same and all(_kept(dtype[name].base) for name in dtype.names)
    # Also by its letter: `longlong` equals `int64`, and is another type.
    return _kept_atom(dtype, dtype.char)


@lru_cache(maxsize=256)
def _kept_atom(dtype: Any, char: str) -> bool:
    try:
        back = npy.descr_to_dtype(npy.dtype_to_descr(dtype))
    except (TypeError, ValueError):
        return False
    return bool(back == dtype) and back.char == char and type(back) is type(dtype)


@lru_cache(maxsize=256)
def _scalar_head(dtype: Any) -> bytes:
    head = io.BytesIO()
    npy.write_array_header_1_0(head, {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": ()})
    return head.getvalue()


@lru_cache(maxsize=256)
def _scalar_dtype(head: bytes) -> Any:
    file = io.BytesIO(head)
    npy.read_magic(file)
    return npy.read_array_header_1_0(file)[2]
