"""What a workflow returned, on the screen and as JSON."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from wfplatform.cli.outcome import ROWS, pictures, value_document

FRAME = pd.DataFrame({"name": [f"n{i}" for i in range(50)], "share": [0.5] * 49 + [float("nan")], "n": range(50)})


@dataclass
class Point:
    x: int


def drawn(value: Any, width: int = 80) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width)
    for one in pictures(value, width=width):
        console.print(one)
    return stream.getvalue()


def test_a_frame_is_cut_and_says_so() -> None:
    text = drawn(FRAME)
    assert "50 rows x 3 columns" in text
    assert f"n{ROWS - 1}" in text
    assert f"n{ROWS}" not in text
    assert "30 more rows" in text


def test_a_frame_is_no_wider_than_the_line() -> None:
    wide = pd.DataFrame({f"a_rather_long_name_of_column_{i}": [1] for i in range(30)})
    text = drawn(wide, width=60)
    assert max(map(len, text.splitlines())) <= 60
    assert "more columns" in text
    assert "column_29" not in text.split("more columns")[0]


@pytest.mark.parametrize("frame", [FRAME.head(0), pd.DataFrame(), pd.DataFrame(index=range(3))])
def test_frames_without_rows_or_columns(frame: pd.DataFrame) -> None:
    assert "rows x" in drawn(frame)
    assert value_document(frame)["rowsTotal"] == len(frame)


LABELS = pd.Index(["UA", "AA"], name="carrier")
PAIRS = pd.MultiIndex.from_tuples([("UA", 1), ("AA", 2)], names=["carrier", None])


@pytest.mark.parametrize(
    ("value", "columns", "first"),
    [
        (pd.DataFrame({"n": [3, 4]}, index=LABELS), ["carrier", "n"], ["UA", 3]),
        (pd.DataFrame({"n": [3, 4]}, index=LABELS.rename(None)), ["index", "n"], ["UA", 3]),
        (pd.DataFrame({"carrier": [3, 4]}, index=LABELS), ["carrier", "carrier"], ["UA", 3]),
        (pd.DataFrame({"n": [3, 4]}, index=PAIRS), ["carrier", "level 1", "n"], ["UA", 1, 3]),
        (pd.Series([3, 4], index=LABELS, name="n"), ["carrier", "n"], ["UA", 3]),
        (pd.Series([3, 4]), ["value"], [3]),
    ],
)
def test_labels_of_rows_are_shown_unless_they_only_count(value: Any, columns: list[str], first: list[Any]) -> None:
    document = value_document(value)
    assert document["columns"] == columns
    assert document["rows"][0] == first
    text = drawn({"found": value})
    assert "found  2 rows x 1 column\n" in text
    assert all(str(word) in text for word in [*columns, *first])


def test_each_part_of_a_dict_with_tables_has_its_name() -> None:
    text = drawn({"sales": FRAME, "count": 3, "page": "<p>\n" + "x" * 5000})
    assert "sales  50 rows" in text
    assert "count: 3" in text
    assert "5,004 characters" in text


def test_a_text_cannot_steer_the_terminal() -> None:
    assert "\x1b" not in drawn("\x1b[2Jgone")


@pytest.mark.parametrize("value", [None, True, 3, "text", [1, [2, {"a": None}]], {"a": {"b": [1.5]}}])
def test_plain_data_are_themselves(value: Any) -> None:
    assert value_document(value) == value


def test_what_json_cannot_say_is_told_in_words() -> None:
    found = value_document({"p": Point(3), "nan": float("nan"), "t": (1, 2), "a": np.arange(3), 4: 5} | {})
    assert found["kind"] == "other"
    found = value_document({"p": Point(3), "nan": float("nan"), "t": (1, 2), "a": np.arange(3)})
    assert found["p"]["type"].endswith("Point")
    assert found["nan"] == {"kind": "float", "text": "nan"}
    assert found["t"] == [1, 2]
    assert found["a"]["text"] == "array([0, 1, 2])"
    json.dumps(found, allow_nan=False)


def test_a_frame_as_json_is_its_first_rows() -> None:
    mixed = FRAME.assign(day=pd.Timestamp("2013-01-01"), whole=pd.array([None] * 50, dtype="Int64"))
    found = value_document(mixed.tail(21))
    assert found["columns"] == ["name", "share", "n", "day", "whole"]
    assert (found["rowsTotal"], len(found["rows"])) == (21, ROWS)
    assert found["rows"][0][:3] == ["n29", 0.5, 29]
    assert value_document(FRAME.tail(1))["rows"] == [["n49", None, 49]]
    json.dumps(found, allow_nan=False)
