"""pandas frames and series as Arrow IPC files, with index, dtypes, attrs and labels.

Refuses (by None) whatever Arrow would not bring back identically: object columns, repeated or mixed labels,
odd indexes, subclasses. Types are judged by a list, and each frame's header makes the whole way there and
back first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from wfplatform.artifacts import plain, table
from wfplatform.artifacts.sink import Sink

__all__ = ["decode", "encode"]

FRAME: Final = "pandas.DataFrame"
SERIES: Final = "pandas.Series"

_COLUMN: Final = "value"
_INDEXES: Final = frozenset({
    pd.Index, pd.RangeIndex, pd.DatetimeIndex, pd.TimedeltaIndex, pd.PeriodIndex, pd.CategoricalIndex,
    pd.IntervalIndex,
})  # fmt: skip
_EXTENSIONS: Final = (
    pd.StringDtype, pd.DatetimeTZDtype, pd.BooleanDtype, pd.PeriodDtype, pd.IntervalDtype, pd.ArrowDtype,
    pd.Int8Dtype, pd.Int16Dtype, pd.Int32Dtype, pd.Int64Dtype, pd.UInt8Dtype, pd.UInt16Dtype, pd.UInt32Dtype,
    pd.UInt64Dtype, pd.Float32Dtype, pd.Float64Dtype,
)  # fmt: skip
_FLOATS: Final = (pd.Float32Dtype, pd.Float64Dtype)


def encode(value: Any, sink: Sink, compression: str | None) -> str | None:
    """Write a frame or series.

    Args:
        value: something whose type belongs to pandas.
        sink: where the bytes go.
        compression: "lz4", or None for bytes that can be mapped into memory.

    Returns:
        The kind, None = not writable in this format (the sink may hold part of it).
    """
    mark: dict[str, Any]
    if type(value) is pd.DataFrame:
        frame, mark = value, {"kind": FRAME}
    elif type(value) is pd.Series and plain.encode(value.name) is not None and not isinstance(value.name, list | dict):
        frame, mark = value.to_frame(_COLUMN), {"kind": SERIES, "name": value.name}
        frame.attrs = value.attrs
    else:
        return None
    if not _fits(value, frame):
        return None
    _note(frame, mark)
    try:
        data = pa.Table.from_pandas(frame, nthreads=1)
        if data.num_columns == 0 or not _comes_back(frame, data, mark):
            return None
        table.write(data, mark, sink, compression)
    except table.NOT_CARRIED:
        return None
    return str(mark["kind"])


def decode(data: Any, mark: dict[str, Any]) -> Any:
    """Give back what `encode` was given.

    Args:
        data: the Arrow table.
        mark: the mark in its schema.

    Returns:
        The frame or series, writable.
    """
    frame = _frame(data, mark)
    if mark["kind"] == FRAME:
        return frame
    series = frame[_COLUMN]
    series.name = mark["name"]
    series.attrs = frame.attrs
    return series


def _frame(data: Any, mark: dict[str, Any]) -> Any:
    frame = data.to_pandas()
    if pd.get_option("mode.string_storage") == "python":
        # What was stored does not hang on the options of the process that reads it.
        frame = _with_arrow_strings(frame)
    # What Arrow and pandas forget between them: ranges as labels, frequencies, and which UTC it was.
    if "columns" in mark:
        start, stop, step = mark["columns"]
        frame.columns = pd.RangeIndex(start, stop, step, name=frame.columns.name)
    if "index" in mark:
        start, stop, step, name = mark["index"]
        labels = pd.RangeIndex(start, stop, step, name=name)
        frame.index = labels if len(frame) == len(labels) else labels[: len(frame)]
    for position in mark.get("utc", ()):
        frame.isetitem(position, frame.iloc[:, position].dt.tz_convert(UTC))
    if "utc_index" in mark:
        frame.index = frame.index.tz_convert(UTC)
    if "freq" in mark:
        frame.index.freq = mark["freq"]
    return frame


def _with_arrow_strings(frame: Any) -> Any:
    """All strings by Arrow, which are the only ones that are written in this format."""
    for position, dtype in enumerate(frame.dtypes):
        if isinstance(dtype, pd.StringDtype):
            frame.isetitem(position, frame.iloc[:, position].astype(_arrow_string(dtype)))
        elif isinstance(dtype, pd.CategoricalDtype):
            categories = _with_arrow_labels(dtype.categories)
            frame.isetitem(position, frame.iloc[:, position].cat.rename_categories(categories))
    for axis in ("index", "columns"):
        setattr(frame, axis, _with_arrow_labels(getattr(frame, axis)))
    return frame


def _with_arrow_labels(labels: Any) -> Any:
    if isinstance(labels, pd.MultiIndex):
        return labels.set_levels([_with_arrow_labels(level) for level in labels.levels], verify_integrity=False)
    if isinstance(labels, pd.CategoricalIndex):
        return labels.rename_categories(_with_arrow_labels(labels.categories))
    return labels.astype(_arrow_string(labels.dtype)) if isinstance(labels.dtype, pd.StringDtype) else labels


def _arrow_string(dtype: Any) -> Any:
    return pd.StringDtype("pyarrow", na_value=dtype.na_value)


def _comes_back(frame: Any, data: Any, mark: dict[str, Any]) -> bool:
    """Whether the header makes the whole way there and back. Nearly all that can go astray stands in it."""
    header = _header(frame, data, mark)
    known = _Known() if header is None else _known(header)
    if not known.comes_back:
        known.comes_back = _same_header(frame.iloc[:0], _frame(data.slice(0, 0), mark))
    return known.comes_back


@dataclass(slots=True)
class _Known:
    """Whether a header came back the same: finding that out takes longer than to write a small frame."""

    comes_back: bool = False


@lru_cache(maxsize=1_000)
def _known(header: tuple[object, ...]) -> _Known:
    """What is known of a header by now; of a new one, nothing."""
    del header
    return _Known()


def _header(frame: Any, data: Any, mark: dict[str, Any]) -> tuple[object, ...] | None:
    """What decides whether a frame comes back the same, but for its rows; None if it cannot be told at little cost.

    The categories of a categorical stand beside its rows, and what is the same attribute is only known by comparing.
    """
    index = frame.index
    if frame.attrs or type(frame.columns) is not pd.Index or type(index) is not pd.RangeIndex:
        return None
    dtypes = tuple(frame.dtypes)
    if any(isinstance(dtype, pd.CategoricalDtype) for dtype in dtypes):
        return None
    kinds = tuple((type(dtype), str(dtype), str(getattr(dtype, "na_value", ""))) for dtype in dtypes)
    zones = tuple(type(getattr(dtype, "tz", None)) for dtype in dtypes)
    labels = (tuple(frame.columns), frame.columns.dtype, frame.columns.name, index.name)
    return (labels, kinds, zones, tuple(data.schema.types), mark["kind"], repr(mark.get("utc")))


def _note(frame: Any, mark: dict[str, Any]) -> None:
    columns, index = frame.columns, frame.index
    if type(columns) is pd.RangeIndex:
        mark["columns"] = [columns.start, columns.stop, columns.step]
    utc = [position for position, dtype in enumerate(frame.dtypes) if getattr(dtype, "tz", None) is UTC]
    if utc:
        mark["utc"] = utc
    if type(index) is pd.RangeIndex:
        mark["index"] = [index.start, index.stop, index.step, index.name]
    elif isinstance(index, pd.DatetimeIndex | pd.TimedeltaIndex):
        if index.freq is not None:
            mark["freq"] = index.freqstr
        if getattr(index, "tz", None) is UTC:
            mark["utc_index"] = True


def _fits(value: Any, frame: Any) -> bool:
    columns, index = frame.columns, frame.index
    if not value.flags.allows_duplicate_labels or (value.attrs and plain.encode(value.attrs) is None):
        return False
    if not columns.is_unique or not (_plain_labels(columns) or type(columns) is pd.RangeIndex):
        return False
    if not all(name is None or type(name) is str for name in (*index.names, *columns.names)):
        return False
    if type(index) is pd.MultiIndex:
        if not all(type(level) in _INDEXES and _carried(level.dtype) for level in index.levels):
            return False
    elif type(index) not in _INDEXES or not _carried(index.dtype):
        return False
    dtypes = set(frame.dtypes)
    return all(_carried(dtype) for dtype in dtypes) and not _nan_beside_na(frame, dtypes)


def _nan_beside_na(frame: Any, dtypes: Iterable[Any]) -> bool:
    """Whether a nullable column or index holds a NaN that is not missing: Arrow would bring it back as missing."""
    index = frame.index
    levels = index.levels if isinstance(index, pd.MultiIndex) else [index]
    found = [level.array for level in levels if isinstance(level.dtype, _FLOATS)]
    if any(isinstance(dtype, _FLOATS) for dtype in dtypes):
        found += [frame.iloc[:, n].array for n, dtype in enumerate(frame.dtypes) if isinstance(dtype, _FLOATS)]
    return any(np.isnan(values.to_numpy(dtype="float64", na_value=0.0)).any() for values in found)


def _plain_labels(columns: Any) -> bool:
    if isinstance(columns, pd.MultiIndex):
        kinds = {type(label) for row in columns for label in row}
    else:
        kinds = set(map(type, columns))
    return kinds <= {str} or (kinds <= {int} and not isinstance(columns, pd.MultiIndex))


def _carried(dtype: Any) -> bool:
    if isinstance(dtype, np.dtype):
        return dtype.isnative and (
            (dtype.kind in "biuf" and dtype.itemsize <= 8 and dtype == np.dtype(dtype.name))
            or (dtype.kind in "mM" and np.datetime_data(dtype) in {(unit, 1) for unit in ("s", "ms", "us", "ns")})
        )
    if isinstance(dtype, pd.CategoricalDtype):
        categories = dtype.categories
        return categories is not None and type(categories) in _INDEXES and _carried(categories.dtype)
    return isinstance(dtype, _EXTENSIONS)


def _same_header(left: Any, right: Any) -> bool:
    return (
        _same_index(left.columns, right.columns)
        and len(left.dtypes) == len(right.dtypes)
        and all(map(_same_dtype, left.dtypes, right.dtypes))
        and left.attrs == right.attrs
        and type(left.index) is type(right.index)
        and list(map(repr, left.index.names)) == list(map(repr, right.index.names))
        and all(map(_same_dtype, _level_dtypes(left.index), _level_dtypes(right.index)))
        and getattr(left.index, "freq", None) == getattr(right.index, "freq", None)
    )


def _level_dtypes(index: Any) -> list[Any]:
    return list(index.dtypes) if isinstance(index, pd.MultiIndex) else [index.dtype]


def _same_index(left: Any, right: Any) -> bool:
    return (
        type(left) is type(right)
        and left.identical(right)
        and list(map(repr, left.names)) == list(map(repr, right.names))
        and all(map(_same_dtype, _level_dtypes(left), _level_dtypes(right)))
    )


def _same_dtype(left: Any, right: Any) -> bool:
    if type(left) is not type(right) or left != right:
        return False
    if isinstance(left, pd.CategoricalDtype):
        # Dtypes of unordered categories are equal in any order of theirs.
        return left.ordered == right.ordered and _same_index(left.categories, right.categories)
    if isinstance(left, pd.DatetimeTZDtype):
        return type(left.tz) is type(right.tz) and str(left.tz) == str(right.tz)
    if isinstance(left, pd.StringDtype):
        return left.storage == right.storage and (left.na_value is pd.NA) == (right.na_value is pd.NA)
    return True
