"""pandas frames and series: by Arrow when it brings them back identically, else by pickle; never changed."""

from __future__ import annotations

import datetime
from typing import Any
from zoneinfo import ZoneInfo

import hypothesis.extra.pandas as hpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from dateutil import tz  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from wfplatform.artifacts import Artifacts
from wfplatform.artifacts import frame as frame_codec


@pytest.fixture(params=[65536, -1], ids=["inline", "located"], scope="module")
def artifacts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    return Artifacts(str(tmp_path_factory.mktemp("artifacts")), inline_limit_bytes=request.param)


def there_and_back(artifacts: Artifacts, value: Any) -> tuple[str, Any]:
    """The codec, and what is loaded, which is identical."""
    stored = artifacts.store(value)
    stored.make_durable()
    back: Any = artifacts.load(stored.output)
    identical(back, value)
    return stored.output["codec"], back


def identical(back: Any, value: Any) -> None:
    """Assert that two frames or series cannot be told apart."""
    assert type(back) is type(value)
    if isinstance(value, pd.DataFrame):
        pd.testing.assert_frame_equal(back, value, check_exact=True, check_column_type="exact")
    else:
        pd.testing.assert_series_equal(back, value, check_exact=True)
    assert back.attrs == value.attrs
    axes = zip(back.axes, value.axes, strict=True)
    for left, right in axes:
        assert type(left) is type(right)
        assert left.identical(right)
        assert list(map(repr, left.names)) == list(map(repr, right.names))
        if isinstance(right, pd.RangeIndex):
            assert (left.start, left.stop, left.step) == (right.start, right.stop, right.step)
    if isinstance(value, pd.DataFrame):
        dtypes = zip(back.dtypes, value.dtypes, strict=True)
    else:
        assert repr(back.name) == repr(value.name)
        dtypes = zip([back.dtype], [value.dtype], strict=True)
    for left, right in dtypes:
        same_dtype(left, right)
    for left, right in zip(axes_of(back), axes_of(value), strict=True):
        same_dtype(left.dtype, right.dtype)
        assert list(map(told, left)) == list(map(told, right))
        assert getattr(left, "freq", None) == getattr(right, "freq", None)
    for column in range(value.shape[1] if value.ndim == 2 else 0):
        assert list(map(told, back.iloc[:, column])) == list(map(told, value.iloc[:, column]))
    if value.ndim == 1:
        assert list(map(told, back)) == list(map(told, value))


def told(cell: Any) -> tuple[type, str]:
    """A cell or label, so that NaN, NaT and NA are told apart, and 0.0 from -0.0."""
    return type(cell), repr(cell)


def axes_of(value: Any) -> list[Any]:
    """Indexes without levels."""
    return [
        level
        for axis in value.axes
        for level in ([axis.get_level_values(n) for n in range(axis.nlevels)] if axis.nlevels > 1 else [axis])
    ]


def same_dtype(left: Any, right: Any) -> None:
    """Assert that two dtypes cannot be told apart."""
    assert (type(left), left, repr(left)) == (type(right), right, repr(right))
    if isinstance(right, pd.DatetimeTZDtype):
        assert (type(left.tz), str(left.tz)) == (type(right.tz), str(right.tz))
    if isinstance(right, pd.IntervalDtype):
        same_dtype(left.subtype, right.subtype)
    if isinstance(right, pd.StringDtype):
        assert (left.storage, repr(left.na_value)) == (right.storage, repr(right.na_value))
    if isinstance(right, pd.CategoricalDtype):
        assert left.ordered == right.ordered
        assert list(map(told, left.categories)) == list(map(told, right.categories))
        same_dtype(left.categories.dtype, right.categories.dtype)
    if isinstance(right, pd.ArrowDtype):
        assert left.pyarrow_dtype.equals(right.pyarrow_dtype, check_metadata=True)


def days(zone: Any = None, **options: Any) -> pd.DatetimeIndex:
    """Three days."""
    return pd.date_range("2013-01-01", periods=3, tz=zone, **options)


THREE = [1.5, np.nan, -0.0]
FRAMES: dict[str, pd.DataFrame] = {
    "empty": pd.DataFrame({"a": pd.Series([], dtype="int8"), "s": pd.Series([], dtype="str")}),
    "numbers": pd.DataFrame({t: np.array([1, 0, 1]).astype(t) for t in ["bool", "i1", "u2", "i4", "u8", "f4", "f8"]}),
    "half": pd.DataFrame({"a": np.array(THREE, dtype="f2")}),
    "text": pd.DataFrame({"a": ["x", None, "ü"], "b": pd.array(["x", None, "\0"], dtype="string")}),
    "categories": pd.DataFrame({
        "a": pd.Categorical(["x", None, "y"], categories=["y", "unused", "x"]),
        "b": pd.Categorical([3, 1, 3], categories=[3, 2, 1], ordered=True),
    }),
    "instants": pd.DataFrame({
        "naive": days(), "utc": days("UTC"), "zone": days(ZoneInfo("UTC")), "berlin": days("Europe/Berlin"),
        "offset": days(datetime.timezone(datetime.timedelta(hours=2))),
        "s": days(unit="s"), "none": [pd.NaT] * 3,
    }),
    "durations": pd.DataFrame({"a": pd.to_timedelta([1, None, 3], unit="s")}),
    "periods": pd.DataFrame({"a": pd.period_range("2013-01", periods=3, freq="M")}),
    "intervals": pd.DataFrame({"a": pd.interval_range(0, 3, closed="left")}),
    "nullable": pd.DataFrame({
        t: pd.array([1, None, 0], dtype=t) for t in ["Int8", "Int64", "UInt16", "Float32", "Float64", "boolean"]
    }),
    "arrow": pd.DataFrame({"a": pd.array([1, None, 3], dtype="int64[pyarrow]")}),
    "range": pd.DataFrame({"a": THREE}, index=pd.RangeIndex(10, 4, -2, name="n")),
    "named": pd.DataFrame({"a": THREE}, index=pd.Index(["x", "y", "y"], name="key")),
    "by day": pd.DataFrame({"a": THREE}, index=days()),
    "by utc day": pd.DataFrame({"a": THREE}, index=days("UTC", name="at")),
    "by week": pd.DataFrame({"a": THREE}, index=days("Europe/Berlin", freq="W-MON")),
    "by duration": pd.DataFrame({"a": THREE}, index=pd.timedelta_range("1h", periods=3, freq="90min")),
    "by category": pd.DataFrame({"a": THREE}, index=pd.CategoricalIndex(["a", "b", "a"], name="c")),
    "two levels": pd.DataFrame(
        {"a": range(4)}, index=pd.MultiIndex.from_product([["x", "y"], [1, 2]], names=["k", None])
    ),
    "columns in levels": pd.DataFrame(
        [[1, 2.5]], columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")], names=["k", "l"])
    ),
    "columns by number": pd.DataFrame(np.arange(6.0).reshape(3, 2)),
    "some columns by number": pd.DataFrame({0: [1], 2: [2]}),
    "columns with a name": pd.DataFrame({"a": [1]}).rename_axis(columns="what"),
    "index named as a column": pd.DataFrame({"a": [1, 2]}, index=pd.Index([3, 4], name="a")),
    "slice": pd.DataFrame({"a": range(100), "s": ["t"] * 100}).iloc[10:90:3],
    "turned": pd.DataFrame({"a": [1, 2], "b": [3, 4]}).T,
}  # fmt: skip


@pytest.mark.parametrize("frame", FRAMES.values(), ids=list(FRAMES))
def test_frames_by_arrow(artifacts: Artifacts, frame: pd.DataFrame) -> None:
    assert there_and_back(artifacts, frame)[0] == "arrow"
    for column in frame:
        assert there_and_back(artifacts, frame[column])[0] in {"arrow", "pickle"}


def test_attrs(artifacts: Artifacts) -> None:
    frame = pd.DataFrame({"a": [1]})
    frame.attrs = {"source": "flights", "years": [2013]}
    assert there_and_back(artifacts, frame)[0] == "arrow"
    series = frame["a"].copy()
    series.attrs = {"unit": "min"}
    assert there_and_back(artifacts, series)[0] == "arrow"
    frame.attrs = {"years": (2013,)}
    assert there_and_back(artifacts, frame)[0] == "pickle"


@pytest.mark.parametrize("name", [None, "delay", 0, 1.5, True], ids=repr)
def test_names_of_series(artifacts: Artifacts, name: Any) -> None:
    assert there_and_back(artifacts, pd.Series([1, 2], name=name))[0] == "arrow"


class Flights(pd.DataFrame):  # type: ignore[misc]
    @property
    def _constructor(self) -> type[Flights]:
        return Flights


def without_duplicates() -> pd.DataFrame:
    """A frame that watches its labels."""
    return pd.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False)


ODD: dict[str, Any] = {
    "mixed": pd.DataFrame({"a": [1, "x", None]}),
    "objects": pd.DataFrame({"a": pd.Series(["x", None], dtype=object)}),
    "lists": pd.DataFrame({"a": [[1], [2, 3]]}),
    "same names": pd.DataFrame([[1, 2]], columns=["a", "a"]),
    "mixed names": pd.DataFrame([[1, 2]], columns=["a", 1]),
    "subclass": Flights({"a": [1]}),
    "complex": pd.DataFrame({"a": [1j]}),
    "sparse": pd.DataFrame({"a": pd.arrays.SparseArray([0, 0, 1])}),
    "no columns": pd.DataFrame(index=range(5)),
    "nothing": pd.DataFrame(),
    "python text": pd.DataFrame({"a": pd.array(["x"], dtype=pd.StringDtype("python", na_value=pd.NA))}),
    "index of objects": pd.DataFrame({"a": [1, 2]}, index=pd.Index([1, "x"], dtype=object)),
    "index with an odd name": pd.DataFrame({"a": [1]}, index=pd.Index([1], name=("a", 1))),
    "watched labels": without_duplicates(),
    "series of objects": pd.Series([1, "a"]),
    "series with an odd name": pd.Series([1], name=("a", "b")),
    "categories of objects": pd.Series(pd.Categorical([(1, 2), None])),
}


@pytest.mark.parametrize("value", ODD.values(), ids=list(ODD))
def test_odd_ones_by_pickle(artifacts: Artifacts, value: Any) -> None:
    name, back = there_and_back(artifacts, value)
    assert name == "pickle"
    assert back.flags.allows_duplicate_labels == value.flags.allows_duplicate_labels


def test_an_index_of_its_own_is_kept(artifacts: Artifacts) -> None:
    index = days("UTC")
    stored = artifacts.store(index)
    stored.make_durable()
    back: Any = artifacts.load(stored.output)
    assert back.identical(index)


COLUMNS = [
    hpd.column("i", dtype="int64"),
    hpd.column("f", dtype="float64"),
    hpd.column("b", dtype="bool"),
    hpd.column("t", elements=st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]))), dtype=object),
]


@given(frame=hpd.data_frames(COLUMNS, index=hpd.range_indexes()), data=st.data())
def test_any_frame_comes_back(artifacts: Artifacts, frame: pd.DataFrame, data: st.DataObject) -> None:
    frame = frame.astype({"t": data.draw(st.sampled_from(["str", "string", "category", "object"]))})
    if data.draw(st.booleans()):
        frame = frame.set_index(data.draw(st.sampled_from([["i"], ["b", "i"], ["t"]])))
    there_and_back(artifacts, frame)


ZONES: list[datetime.tzinfo] = [
    datetime.UTC, ZoneInfo("UTC"), ZoneInfo("Etc/UTC"), ZoneInfo("GMT"), ZoneInfo("Europe/Berlin"),
    datetime.timezone(datetime.timedelta(0), "UTC"), datetime.timezone(datetime.timedelta(0), "Z"),
    datetime.timezone(datetime.timedelta(hours=1)), datetime.timezone(datetime.timedelta(hours=1), "UTC+01:00"),
    datetime.timezone(datetime.timedelta(hours=1), "UTC"), tz.tzutc(), tz.tzoffset(None, 3600), tz.tzoffset("UTC", 3600),
]  # fmt: skip
ARROW_TYPES = [
    pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.binary(2), pa.int8(), pa.int64(),
    pa.bool_(), pa.null(), pa.float64(), pa.timestamp("us"), pa.timestamp("us", "UTC"), pa.timestamp("us", "+01:00"),
    pa.timestamp("ns"), pa.date32(), pa.date64(), pa.duration("us"), pa.decimal128(10, 2), pa.decimal128(10, 3),
    pa.list_(pa.int64()), pa.large_list(pa.int64()), pa.list_(pa.field("x", pa.int64())),
    pa.list_(pa.field("item", pa.int64(), nullable=False)), pa.list_(pa.field("item", pa.int64(), metadata={"a": "b"})),
    pa.struct([("a", pa.int64())]), pa.struct([pa.field("a", pa.int64(), metadata={"a": "b"})]),
    pa.map_(pa.string(), pa.int64()), pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.int32(), pa.string()),
]  # fmt: skip
ALIKE: list[pd.Series] = [
    *(pd.Series(days("UTC", unit=unit).tz_convert(zone)) for zone in ZONES for unit in ("s", "ns")),
    *(pd.Series(days(zone)).astype("category") for zone in ZONES[:5]),
    *(
        pd.Series(pd.arrays.IntervalArray.from_arrays(days(zone), days(zone) + pd.Timedelta("1h"), closed=closed))
        for zone in (None, *ZONES[:5])
        for closed in ("left", "right", "both", "neither")
    ),
    *(
        pd.Series(["x", None, "y"], dtype=pd.StringDtype(storage, na_value=missing))
        for storage in ("python", "pyarrow")
        for missing in (pd.NA, np.nan)
    ),
    *(pd.Series([None] * 3, dtype=pd.ArrowDtype(kind)) for kind in ARROW_TYPES),
    *(pd.Series(pd.period_range("2013", periods=3, freq=freq)) for freq in ("M", "2M", "Q-DEC", "Q-NOV", "W-SUN", "h", "60min")),
    *(pd.Series(pd.interval_range(0, 3, closed=closed)) for closed in ("left", "right", "both", "neither")),
    pd.Series(pd.interval_range(0.0, 3.0)),
    *(pd.Series([1, 0, 1]).astype(kind) for kind in (
        "bool", "boolean", "int8", "Int8", "int64", "Int64", "UInt64", "uint64", "float32", "Float32", "float64", "Float64",
        "float16", "object", "datetime64[s]", "datetime64[ns]", "timedelta64[ns]", "category",
    )),
    pd.Series([1.5, None, -0.0], dtype="Float64"),
    pd.Series(pd.arrays.FloatingArray(np.array(THREE), np.array([False, False, True]))),
    pd.Series(pd.arrays.ArrowExtensionArray(pa.array([1.0, float("nan"), None]))),
    pd.Series(["x", None, "y"], dtype=object), pd.Series([True, None, False], dtype=object),
    pd.Series(["x", "y", "x"], dtype="category"), pd.Series(["x", "y", "x"], dtype=pd.CategoricalDtype(["y", "x"], ordered=True)),
    pd.Series(["x", "y", "x"], dtype=object).astype("category"),
]  # fmt: skip
LABELS: list[Any] = [
    pd.Index(["0", "1"]), pd.Index(["0", "1"], dtype=object), pd.Index(["0", "1"], dtype="string"),
    pd.Index(["0", "1"], dtype=pd.StringDtype("python", na_value=np.nan)), pd.Index([0, 2]), pd.Index([0, 2], dtype="int32"),
    pd.Index([0, 2], dtype=object), pd.Index([0, 2], dtype="Int64"), pd.Index([0.0, 2.0]), pd.Index([False, True]),
    pd.Index([0, 1]), pd.RangeIndex(2), pd.RangeIndex(0, 4, 2), pd.CategoricalIndex(["0", "1"]), pd.Index([b"0", b"1"]),
    pd.Index(["0", 1], dtype=object), pd.Index([False, True], dtype=object), pd.MultiIndex.from_product([["0"], ["1", "2"]]),
]  # fmt: skip
ROWS: list[Any] = [
    pd.RangeIndex(3), pd.RangeIndex(3, 0, -1), pd.Index([0, 1, 2]), pd.Index(["x", "y", "z"]),
    pd.Index(["x", "y", "z"], dtype="string"), pd.Index([1, None, 2], dtype="Int64"),
    pd.MultiIndex.from_arrays([["x", "y", "y"], [1, 2, 3]]), days("UTC"), days(ZoneInfo("UTC"), freq="D"),
]  # fmt: skip
NAMES: list[Any] = [None, "n", "0", "value", "None", 0, ("a", 1), True]


@st.composite
def alike(draw: st.DrawFn) -> Any:
    """A frame or series that differs from others in things that are easily overlooked."""
    columns = draw(st.lists(st.sampled_from(ALIKE), min_size=2, max_size=2))
    frame = pd.concat(columns, axis=1)
    frame.columns = draw(st.sampled_from(LABELS))
    frame.index = draw(st.sampled_from(ROWS))
    if draw(st.integers(0, 3)) == 0:
        for axis in (frame.columns, frame.index):
            axis.names = [draw(st.sampled_from(NAMES)) for _ in axis.names]
    if draw(st.integers(0, 9)) == 0:
        frame.attrs = draw(st.sampled_from([{"a": 1}, {"a": True}, {"a": 1.0}, {"a": [1]}, {"a": (1,)}]))
    return frame if draw(st.booleans()) else frame.iloc[:, 0]


@given(first=alike(), second=alike())
@settings(max_examples=200, deadline=None)
def test_what_was_stored_before_changes_nothing(first: Any, second: Any) -> None:
    """How a frame is stored follows from the frame alone, whatever is remembered of others."""
    artifacts = Artifacts("memory://frames")
    cold = []
    for value in (first, second):
        frame_codec._known.cache_clear()
        cold.append(there_and_back(artifacts, value)[0])
    warm = [there_and_back(artifacts, value)[0] for value in (first, second, first)]
    assert warm == [*cold, cold[0]]


@pytest.mark.parametrize("step", [1, -1], ids=["after those before it", "after those behind it"])
def test_a_column_of_any_type_comes_back_when_all_others_are_remembered(artifacts: Artifacts, step: int) -> None:
    frame_codec._known.cache_clear()
    for column in ALIKE[::step]:
        there_and_back(artifacts, pd.DataFrame({"a": column}))
        there_and_back(artifacts, pd.DataFrame({"a": column, "b": column}))


@pytest.mark.parametrize("values", [
    pd.DataFrame({"a": pd.Series(["x", None], dtype="str"), "b": pd.Series(["x", None], dtype="string")}),
    pd.DataFrame({"a": pd.Categorical(["x", "y"], categories=["y", "x"], ordered=True)}),
    pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="i")),
    pd.DataFrame({"a": [1, 2]}, index=pd.CategoricalIndex(["x", "y"], name="i")),
    pd.DataFrame({"a": [1, 2]}, index=pd.MultiIndex.from_arrays([["x", "y"], [1, 2]], names=["i", None])),
    pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_arrays([["x", "x"], ["y", "z"]])),
    pd.Series(["x", None], name="s"),
], ids=["columns", "categories", "index", "category index", "levels", "label levels", "series"])  # fmt: skip
def test_a_reader_that_prefers_other_strings_gets_what_was_stored(artifacts: Artifacts, values: Any) -> None:
    stored = artifacts.store(values)
    stored.make_durable()
    assert stored.output["codec"] == "arrow"
    with pd.option_context("mode.string_storage", "python"):
        back = artifacts.load(stored.output)
        for cleared in (True, False):
            if cleared:
                frame_codec._known.cache_clear()
            there_and_back(artifacts, values)
    identical(back, values)


def test_a_nan_that_is_not_missing_does_not_become_missing(artifacts: Artifacts) -> None:
    nan = pd.arrays.FloatingArray(np.array(THREE), np.array([False, False, True]))
    assert there_and_back(artifacts, pd.DataFrame({"a": nan}))[0] == "pickle"
    assert there_and_back(artifacts, pd.Series(nan))[0] == "pickle"
    assert there_and_back(artifacts, pd.DataFrame({"a": range(3)}, index=pd.Index(nan)))[0] == "pickle"
    assert there_and_back(artifacts, pd.Series([1.5, None], dtype="Float64"))[0] == "arrow"


def test_a_loaded_frame_can_be_changed_without_changing_what_is_stored(artifacts: Artifacts) -> None:
    frame = pd.DataFrame({"a": range(3), "b": [0.5, 1.5, 2.5], "s": ["x", "y", "z"]})
    stored = artifacts.store(frame)
    stored.make_durable()
    first: Any = artifacts.load(stored.output)
    first.loc[0, "a"] = 9
    first.loc[1, "s"] = "changed"
    first["b"] *= 2
    identical(artifacts.load(stored.output), frame)


def test_the_same_frame_has_the_same_digest(artifacts: Artifacts) -> None:
    digests = {artifacts.store(pd.DataFrame({"a": [1, 2], "s": ["x", None]})).output["digest"] for _ in range(3)}
    assert len(digests) == 1
