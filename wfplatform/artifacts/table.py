"""Arrow tables and record batches as Arrow IPC files, and what frames share with them.

The schema carries a mark of its own under the key `wfplatform`, so that a file says what it is. Refuses (by
None) tables whose metadata or types would not come back identically.
"""

from __future__ import annotations

import json
from typing import Any, Final

import pyarrow as pa
from pyarrow import ipc

from wfplatform.artifacts.sink import Sink

__all__ = ["MARK", "NOT_CARRIED", "decode", "encode", "read", "write"]

EXTENSION: Final = b"ARROW:extension:name"
MARK: Final = b"wfplatform"
TABLE: Final = "pyarrow.Table"
BATCH: Final = "pyarrow.RecordBatch"

NOT_CARRIED: Final = (pa.ArrowException, ValueError, TypeError, NotImplementedError, OverflowError, KeyError)
"""What Arrow raises for values it has no form for."""


def encode(value: Any, sink: Sink, compression: str | None) -> str | None:
    """Write a table or record batch.

    Args:
        value: something whose type belongs to pyarrow.
        sink: where the bytes go.
        compression: "lz4", or None for bytes that can be mapped into memory.

    Returns:
        The kind, None = not writable in this format (the sink may hold part of it).
    """
    if type(value) is pa.Table:
        table, kind = value, TABLE
    elif type(value) is pa.RecordBatch:
        table, kind = pa.Table.from_batches([value]), BATCH
        if table.num_columns == 0:
            return None
    else:
        return None
    metadata = table.schema.metadata
    # An empty mapping would come back as none.
    if metadata == {} or (metadata is not None and MARK in metadata):
        return None
    try:
        # Without columns the number of rows has no other place.
        write(table, {"kind": kind, "rows": table.num_rows}, sink, compression)
    except NOT_CARRIED:
        return None
    return kind


def decode(table: Any, mark: dict[str, Any]) -> Any:
    """Give back what `encode` was given.

    Args:
        table: as `read` returned it.
        mark: as `read` returned it.
    """
    metadata = {key: text for key, text in table.schema.metadata.items() if key != MARK}
    if table.num_columns == 0:
        # Replacing metadata forgets the rows of a table without columns; selecting no columns does not.
        rows = pa.table({"": pa.nulls(mark["rows"])})
        return rows.replace_schema_metadata(metadata or None).select([])
    table = table.replace_schema_metadata(metadata or None)
    if mark["kind"] == TABLE:
        return table
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def write(table: Any, mark: dict[str, Any], sink: Sink, compression: str | None) -> None:
    """Write a table with a mark in its schema; buffers go out as they are, without a copy.

    Args:
        table: any table.
        mark: plain JSON.
        sink: where the bytes go.
        compression: "lz4" or None.
    """
    metadata = {**(table.schema.metadata or {}), MARK: json.dumps(mark).encode()}
    table = table.replace_schema_metadata(metadata)
    # A file holds one dictionary a column; a common one would be another table than was given.
    options = ipc.IpcWriteOptions(compression=compression, unify_dictionaries=False, use_threads=False)
    with ipc.new_file(pa.PythonFile(sink, "w"), table.schema, options=options) as writer:
        writer.write_table(table)


def read(body: Any) -> tuple[Any, dict[str, Any]]:
    """Read a table, without a copy when it was written uncompressed.

    Args:
        body: bytes-like, kept alive by the table.

    Returns:
        The table and its mark.
    """
    buffer = pa.py_buffer(body)
    with ipc.open_file(pa.BufferReader(buffer)) as reader:
        table = None if _has_unknown_types(reader.schema) else reader.read_all()
    if table is None:
        _make_types_known()
        with ipc.open_file(pa.BufferReader(buffer)) as reader:
            table = reader.read_all()
    return table, json.loads(table.schema.metadata[MARK])


def _has_unknown_types(schema: Any) -> bool:
    """Whether there are periods or intervals of pandas' in it that would be read as the numbers they are made of."""
    names = ((field.metadata or {}).get(EXTENSION, b"") for field in schema)
    return any(name.startswith(b"pandas.") for name in names)


def _make_types_known() -> None:
    """Pandas tells Arrow of its types when it first writes one, which a process that only reads never does."""
    import pandas as pd  # noqa: PLC0415  # who reads such a table needs it anyway, others do not

    pa.array(pd.PeriodIndex([], freq="D"))
