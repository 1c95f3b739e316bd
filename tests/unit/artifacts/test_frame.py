"""pandas frames and series: by Arrow when it brings them back identically, else by pickle; never changed."""

from __future__ import annotations

import datetime
from typing import Any
from zoneinfo import ZoneInfo

import hypothesis.extra.pandas as hpd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfplatform.artifacts import Artifacts


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
        assert (type(left), left, repr(left)) == (type(right), right, repr(right))
        if isinstance(right, pd.DatetimeTZDtype):
            assert type(left.tz) is type(right.tz)


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
