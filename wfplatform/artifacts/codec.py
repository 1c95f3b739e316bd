"""Which form a value is stored in: JSON, Arrow for frames and tables, npy for arrays, bytes, at last pickle.

A value takes the first form that brings it back identically. Refuses to import pandas, pyarrow or numpy to
find out.
"""

from __future__ import annotations

from typing import Any, Final

from wfplatform.artifacts import plain
from wfplatform.artifacts.sink import Sink
from wfplatform.authoring import pickled
from wfplatform.errors import StorageError

__all__ = ["CODECS", "decode", "encode"]

CODECS: Final = frozenset({"arrow", "bytes", "json", "npy", "pickle"})


def encode(value: object, sink: Sink, compression: str | None) -> tuple[str, str | None]:
    """Write a value that is not plain data.

    Args:
        value: anything.
        sink: where the bytes go.
        compression: for Arrow: "lz4" or None.

    Returns:
        The codec, and the kind of value within it, None where the bytes tell.

    Raises:
        TravelError: the value cannot be stored at all.
        StorageError: the sink cannot write.
    """
    kind_of = type(value)
    if kind_of is bytes or kind_of is bytearray:
        sink.write(value)
        return "bytes", kind_of.__name__
    # An instance of a numpy, pandas or pyarrow class proves that the library is loaded already.
    package = kind_of.__module__.partition(".")[0]
    codec, kind = "", None
    if package == "numpy":
        from wfplatform.artifacts import array  # noqa: PLC0415

        codec, kind = "npy", array.encode(value, sink)
    elif package == "pandas":
        from wfplatform.artifacts import frame  # noqa: PLC0415

        codec, kind = "arrow", frame.encode(value, sink, compression)
    elif package == "pyarrow":
        from wfplatform.artifacts import table  # noqa: PLC0415

        codec, kind = "arrow", table.encode(value, sink, compression)
    if kind is not None:
        return codec, kind
    sink.abandon()
    pickled.encode(value, sink)
    return "pickle", None


def decode(codec: str, kind: str | None, body: Any, *, allow_pickle: bool) -> object:
    """Read a value; the bytes are known to be the ones that were written.

    Args:
        codec: as `encode` returned it, or "json".
        kind: as `encode` returned it.
        body: bytes-like.
        allow_pickle: whether code of whoever wrote it may run here.

    Returns:
        The value.

    Raises:
        StorageError: pickled and not allowed, or an unknown codec.
    """
    match codec:
        case "json":
            return plain.decode(body)
        case "bytes":
            return bytearray(body) if kind == "bytearray" else bytes(body)
        case "npy":
            from wfplatform.artifacts import array  # noqa: PLC0415

            return array.decode(body, kind or array.ARRAY)
        case "arrow":
            return _arrow(body)
        case "pickle" if allow_pickle:
            return pickled.decode(body)
        case "pickle":
            raise StorageError(
                "artifact_pickled",
                "The artifact is pickled: opened only on workers or in your own process.",
                "Load it in a notebook, or let the node return plain data, a frame or an array.",
                codec=codec,
            )
        case _:
            raise StorageError(
                "artifact_codec",
                f"The artifact is stored as {codec!r}; this release knows {', '.join(sorted(CODECS))}.",
                "It was written by another release: upgrade this one.",
                codec=codec,
            )


def _arrow(body: Any) -> object:
    from wfplatform.artifacts import table  # noqa: PLC0415

    data, mark = table.read(body)
    if mark["kind"].startswith("pyarrow."):
        return table.decode(data, mark)
    from wfplatform.artifacts import frame  # noqa: PLC0415

    return frame.decode(data, mark)
