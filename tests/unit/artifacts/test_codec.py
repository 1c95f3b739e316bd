"""Every form: what comes back is what went in, of exactly its type."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import subprocess
import sys
import uuid
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfplatform.artifacts import Artifacts, codec
from wfplatform.errors import StorageError

EVERYTHING_LOCATED = -1


@pytest.fixture(params=[65536, EVERYTHING_LOCATED], ids=["inline", "located"], scope="module")
def artifacts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    return Artifacts(str(tmp_path_factory.mktemp("artifacts")), inline_limit_bytes=request.param)


def there_and_back(artifacts: Artifacts, value: object) -> tuple[str, Any]:
    """The codec, and what is loaded."""
    stored = artifacts.store(value)
    stored.make_durable()
    return stored.output["codec"], artifacts.load(stored.output)


@given(value=st.binary())
def test_bytes(artifacts: Artifacts, value: bytes) -> None:
    assert there_and_back(artifacts, value) == ("bytes", value)
    name, back = there_and_back(artifacts, bytearray(value))
    assert (name, type(back), back) == ("bytes", bytearray, value)


DTYPES = st.one_of(
    hnp.boolean_dtypes(), hnp.integer_dtypes(endianness="?"), hnp.floating_dtypes(endianness="?"),
    hnp.complex_number_dtypes(), hnp.datetime64_dtypes(), hnp.timedelta64_dtypes(),
    hnp.unicode_string_dtypes(), hnp.byte_string_dtypes(),
)  # fmt: skip


@given(data=st.data())
def test_arrays(artifacts: Artifacts, data: st.DataObject) -> None:
    array = data.draw(hnp.arrays(data.draw(DTYPES), hnp.array_shapes(min_dims=0, min_side=0, max_side=4)))
    for value in (array, np.asfortranarray(array), array[..., ::-1] if array.ndim else array):
        name, back = there_and_back(artifacts, value)
        assert name == "npy"
        assert type(back) is np.ndarray
        assert (back.dtype, back.shape) == (value.dtype, value.shape)
        assert back.dtype.char == value.dtype.char
        assert back.tobytes() == value.tobytes()
        assert back.flags.writeable


@given(data=st.data())
def test_scalars_stay_scalars(artifacts: Artifacts, data: st.DataObject) -> None:
    scalar = data.draw(hnp.arrays(data.draw(DTYPES), ()))[()]
    name, back = there_and_back(artifacts, scalar)
    assert type(back) is type(scalar)
    assert back.dtype == scalar.dtype
    assert back.tobytes() == scalar.tobytes()
    assert name == "npy" or type(scalar) in {np.str_, np.bytes_, np.longlong, np.ulonglong}


def test_a_loaded_array_can_be_changed_without_changing_what_is_stored(artifacts: Artifacts) -> None:
    stored = artifacts.store(np.arange(1000))
    stored.make_durable()
    first: Any = artifacts.load(stored.output)
    first[:] = 0
    second: Any = artifacts.load(stored.output)
    assert second.sum() == 499_500


class Matrix(np.ndarray[Any, Any]):
    pass


NOT_FOR_NPY = {
    "object": np.array([1, "a", None], dtype=object),
    "subclass": np.arange(3).view(Matrix),
    "masked": np.ma.masked_array([1, 2], [True, False]),
    "text of any length": np.array(["a", "bcd"], dtype=np.dtypes.StringDType()),
    "annotated": np.zeros(2, dtype=np.dtype("i4", metadata={"unit": "m"})),
    "aligned": np.zeros(2, dtype=np.dtype([("a", "i1"), ("b", "i8")], align=True)),
}


@pytest.mark.parametrize("value", NOT_FOR_NPY.values(), ids=list(NOT_FOR_NPY))
def test_odd_arrays_are_pickled_and_stay_what_they_are(artifacts: Artifacts, value: Any) -> None:
    name, back = there_and_back(artifacts, value)
    assert name == "pickle"
    assert type(back) is type(value)
    assert repr(back) == repr(value)
    assert back.dtype == value.dtype
    assert back.dtype.metadata == value.dtype.metadata


def test_structured_arrays(artifacts: Artifacts) -> None:
    value = np.array([(1, 2.5, "ü")], dtype=[("a", "i4"), ("b", "f8"), ("ü", "U3")])
    name, back = there_and_back(artifacts, value)
    assert (name, back.dtype, back.tolist()) == ("npy", value.dtype, value.tolist())


TABLES = {
    "types": pa.table({"a": [1, None], "b": ["x", None], "c": [[1], []], "d": [{"e": 1.5}, None]}),
    "metadata": pa.table({"a": [1]}).replace_schema_metadata({"owner": "me"}),
    "empty": pa.table({"a": pa.array([], pa.int8())}),
    "chunks": pa.table({"a": pa.chunked_array([[1, 2], [3]])}),
    "dictionary": pa.table({"a": pa.array(["x", "y", "x"]).dictionary_encode()}),
    "no columns": pa.table({"a": [1, 2, 3]}).select([]),
    "twice the same name": pa.table([[1], [2]], names=["a", "a"]),
    "slice": pa.table({"a": list(range(100)), "b": ["t"] * 100}).slice(13, 20),
}


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_tables(artifacts: Artifacts, table: pa.Table) -> None:
    name, back = there_and_back(artifacts, table)
    assert name == "arrow"
    assert type(back) is pa.Table
    assert back.schema.equals(table.schema, check_metadata=True)
    assert back.schema.metadata == table.schema.metadata
    assert back.equals(table)
    assert back.num_rows == table.num_rows


@pytest.mark.parametrize("rows", [0, 3])
def test_record_batches(artifacts: Artifacts, rows: int) -> None:
    batch = pa.record_batch({"a": pa.array(range(rows), pa.int16()), "b": pa.array(["x"] * rows, pa.string())})
    name, back = there_and_back(artifacts, batch)
    assert name == "arrow"
    assert type(back) is pa.RecordBatch
    assert back.equals(batch, check_metadata=True)


def test_tables_arrow_files_cannot_hold(artifacts: Artifacts) -> None:
    chunks = [pa.array([letter]).dictionary_encode() for letter in "xy"]
    for table in (
        pa.table({"a": pa.chunked_array(chunks)}),
        pa.table({"a": [1]}).replace_schema_metadata({}),
    ):
        name, back = there_and_back(artifacts, table)
        assert name == "pickle"
        assert back.equals(table)


@dataclasses.dataclass
class Point:
    x: int
    y: object


PICKLED = [
    (1, "a"), {1, 2}, frozenset({1}), 1j, float("inf"), datetime.datetime(2013, 1, 1, tzinfo=datetime.UTC),
    datetime.date(2013, 1, 1), datetime.timedelta(1), decimal.Decimal("1.10"), uuid.UUID(int=5),
    Point(1, [2]), {1: "a"}, [(1, 2)], 10**5000, range(3), slice(1, 2), Ellipsis, int, "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("value", PICKLED, ids=lambda value: type(value).__name__)
def test_the_rest_is_pickled(artifacts: Artifacts, value: object) -> None:
    name, back = there_and_back(artifacts, value)
    assert name == "pickle"
    assert type(back) is type(value)
    assert back == value


@pytest.mark.parametrize("value", ["x" * 70_000, list(range(20_000)), {"a": ["ü"] * 30_000}], ids=type)
def test_large_plain_data_stays_json(artifacts: Artifacts, value: object) -> None:
    stored = artifacts.store(value)
    stored.make_durable()
    assert stored.output["location"].endswith(".json")
    assert artifacts.load(stored.output) == value


def test_pickles_are_not_opened_where_they_must_not_be(tmp_path: Any) -> None:
    stored = Artifacts(str(tmp_path)).store((1, 2))
    server = Artifacts(str(tmp_path), allow_pickle=False)
    with pytest.raises(StorageError, match="opened only on workers or in your own process"):
        server.load(stored.output)
    # An output that lies about itself opens no pickle either.
    for name in codec.CODECS - {"pickle"}:
        with pytest.raises(StorageError) as caught:
            server.load({**stored.output, "codec": name, "kind": None} | ({"codec": "npy"} if name == "bytes" else {}))
        assert caught.value.code == "artifact_unreadable"


def test_a_codec_of_another_release_is_named(artifacts: Artifacts) -> None:
    with pytest.raises(StorageError, match="'zarr'"):
        codec.decode("zarr", None, b"", allow_pickle=True)


def test_plain_values_load_no_library() -> None:
    program = (
        "import sys, tempfile\n"
        "from wfplatform.artifacts import Artifacts\n"
        "artifacts = Artifacts(tempfile.mkdtemp())\n"
        "for value in (1, 'a', [1.5], {'a': None}, b'x', (1, 2), object):\n"
        "    artifacts.load(artifacts.store(value).output)\n"
        "print(*{'pandas', 'pyarrow', 'numpy', 'fsspec', 'dask'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
