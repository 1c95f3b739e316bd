"""The comparison of what `flights` returned with the plain pandas reference, to the last digit."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import pandas as pd
from pandas.testing import assert_frame_equal

from tests.flights_reference import reference_tables
from wfplatform.examples.flights import TITLES

__all__ = ["assert_is_reference"]


def assert_is_reference(results: Mapping[str, Any], carriers: list[str] | None = None) -> None:
    """Every table has the rows, the types and exactly the numbers of the reference; only columns may stand otherwise."""
    expected = _expected(None if carriers is None else tuple(carriers))
    assert set(expected) == set(TITLES)
    for name, table in expected.items():
        columns = list(results[name].columns)
        assert sorted(columns) == sorted(table.columns)
        assert_frame_equal(results[name], table[columns], check_exact=True)


@cache
def _expected(carriers: tuple[str, ...] | None) -> Mapping[str, pd.DataFrame]:
    # It takes its time on purpose: once is enough.
    return reference_tables(None if carriers is None else list(carriers))
