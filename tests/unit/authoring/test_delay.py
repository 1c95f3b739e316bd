"""Delays."""

# ruff: noqa: B018  # drawing is what is tested

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from wfplatform import DefinitionError, delay, node, workflow
from wfplatform.core.graph import Literal, OutputRef, ParameterRef


@node
def same(x: Any) -> Any:
    return x


def drawn(**arguments: Any) -> Any:
    return workflow(lambda: delay(**arguments)).graph.nodes[0]


@pytest.mark.parametrize(("given", "seconds"), [(5, 5), (0, 0), (1.5, 1.5), (timedelta(minutes=2), 120.0)])
def test_seconds(given: Any, seconds: float) -> None:
    assert drawn(seconds=given).inputs == {"seconds": Literal(seconds)}
    assert drawn(seconds=given).type == "delay"


def test_an_instant_is_written_in_utc() -> None:
    at = datetime(2026, 1, 31, 8, 0, tzinfo=timezone(timedelta(hours=1)))
    assert drawn(until=at).inputs == {"until": Literal("2026-01-31T07:00:00+00:00")}


def test_times_may_come_from_outputs_and_parameters() -> None:
    @workflow
    def waits(wait_s: float) -> Any:
        first = delay(seconds=wait_s, name="short wait")
        return delay(until=same("2026-01-31T07:00:00+00:00"), after=[first], value=same(3))

    short, *_, long = waits.graph.nodes
    assert (short.id, short.label, short.inputs) == ("short_wait", "short wait", {"seconds": ParameterRef("wait_s")})
    assert (long.id, long.after) == ("delay", ("short_wait",))
    assert long.inputs == {"until": OutputRef("same"), "value": OutputRef("same-2")}
    assert waits.local(wait_s=3600) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "got neither"),
        ({"seconds": 1, "until": datetime.now(UTC)}, "got both"),
        ({"seconds": -1}, "a number of 0 or more, or a timedelta; got -1"),
        ({"seconds": "5"}, r"got '5' \(str\)"),
        ({"seconds": True}, r"got True \(bool\)"),
        ({"seconds": float("nan")}, "got nan"),
        ({"seconds": timedelta(seconds=-1)}, "got datetime.timedelta"),
        ({"until": datetime(2026, 1, 1)}, "a datetime with a time zone"),  # noqa: DTZ001
        ({"until": "tomorrow"}, r"got 'tomorrow' \(str\)"),
    ],
)
def test_times_that_do_not_fit_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        drawn(**arguments)


def test_a_mapped_time_is_refused() -> None:
    with pytest.raises(DefinitionError, match="`seconds` is `same`, which is mapped"):
        workflow(lambda: delay(seconds=same.map([1, 2]))).graph
