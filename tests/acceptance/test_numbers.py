"""What the platform computes is what plain pandas computes, to the last digit."""

from __future__ import annotations

import pytest

from tests.acceptance.analysis import assert_is_reference
from wfplatform import use_platform
from wfplatform.bootstrap.platform import EmbeddedPlatform
from wfplatform.examples.flights import flights

pytestmark = pytest.mark.xdist_group("acceptance")

READERS = {"airlines", "airports", "planes", "year_flights", "year_weather"}


def test_the_whole_year_is_the_reference_and_a_second_run_reuses_what_was_read(platform: EmbeddedPlatform) -> None:
    with use_platform(platform):
        first = flights.options(tags=("first",)).run()
        assert_is_reference(first.result(100))
        second = flights.run()
        assert_is_reference(second.result(100))
    nodes = platform.execution(first.id).nodes()
    assert len(nodes) == 76
    assert {str(one.state) for one in nodes} == {"completed"}
    reused = {one.node for one in platform.execution(second.id).nodes() if one.reused_from is not None}
    assert reused == READERS


def test_some_carriers_are_the_reference_too(platform: EmbeddedPlatform) -> None:
    carriers = ["AS", "HA"]
    with use_platform(platform):
        found = flights.run(carriers=carriers).result(100)
    assert_is_reference(found, carriers)
    assert [str(value) for value in found["carriers"]["carrier"]] == ["HA", "AS"]
