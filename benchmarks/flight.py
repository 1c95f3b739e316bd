"""The example `flights` twice: as a workflow without its result cache, and the same functions handed to Dask by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from distributed import Client

from wfplatform import unmapped, workflow
from wfplatform.examples import flights as example
from wfplatform.examples import flights_analysis as analysis
from wfplatform.examples import flights_data as data
from wfplatform.examples import flights_tables as tables
from wfplatform.examples.flights_chart import delay_chart

__all__ = ["MONTHS", "by_hand", "same_results", "uncached_flights"]

MONTHS = range(1, 13)

# What the example reads is the same every time: with its cache only the first execution would compute it.
year_flights = example.year_flights.options(cache=False)
year_weather = example.year_weather.options(cache=False)
planes = example.planes.options(cache=False)
airlines = example.airlines.options(cache=False)
airports = example.airports.options(cache=False)


@workflow(name="flights, uncached", description="")
def uncached_flights(year: int = 2013, min_route_flights: int = 365) -> dict[str, Any]:
    """What `wfplatform.examples.flights.flights` does."""
    months = example.month_flights.map(unmapped(year_flights(year, None)), MONTHS)
    joined = example.joined_month.map(months, unmapped(year_weather(year)), unmapped(planes()))
    sums = example.tally(example.month_tally.map(joined))
    counts = example.delay_counts(example.month_delay_counts.map(joined))
    by_month = example.delays_by(sums, counts, "month")
    by_hour = example.delays_by(sums, counts, "hour")
    by_condition = example.delays_by(sums, counts, "condition")
    by_carrier = example.carrier_delays(sums, counts, airlines())
    return {
        "carriers": by_carrier,
        "origins": example.delays_by(sums, counts, "origin"),
        "months": by_month,
        "hours": by_hour,
        "conditions": by_condition,
        "aircraft": example.delays_by(sums, counts, "aircraft_age"),
        "routes": example.worst_routes(sums, airports(), min_route_flights),
        "chart": example.delay_chart(by_month, by_hour, by_carrier, by_condition, year),
        "files": example.written_files(example.month_file.map(joined, year, MONTHS, None)),
    }


def classified_weather(year: int) -> pd.DataFrame:
    """The weather with its conditions named."""
    return analysis.classified_weather(data.read_weather(year))


def by_hand(client: Client, year: int = 2013, min_route_flights: int = 365) -> dict[str, Any]:
    """The same on bare Dask."""

    def submit(function: Any, *args: Any) -> Any:
        return client.submit(function, *args, pure=False)

    def each(function: Any, *collections: Any) -> Any:
        return client.map(function, *collections, pure=False)

    frame, aircraft = submit(data.read_flights, year, None), submit(data.read_planes)
    weather = submit(classified_weather, year)
    count = len(MONTHS)
    months = each(analysis.month_flights, [frame] * count, MONTHS)
    joined = each(analysis.joined_month, months, [weather] * count, [aircraft] * count)
    sums = submit(analysis.combined_tally, each(analysis.month_tally, joined))
    counts = submit(analysis.combined_delay_counts, each(analysis.month_delay_counts, joined))
    by = {
        name: submit(tables.delays_by, sums, counts, name)
        for name in ("month", "hour", "condition", "origin", "aircraft_age")
    }
    by_carrier = submit(tables.carrier_delays, sums, counts, submit(data.read_airlines))
    title = f"Delays of flights from New York City, {year}"
    files = each(data.write_month, joined, [year] * count, MONTHS, [None] * count)
    wanted = {
        "carriers": by_carrier,
        "origins": by["origin"],
        "months": by["month"],
        "hours": by["hour"],
        "conditions": by["condition"],
        "aircraft": by["aircraft_age"],
        "routes": submit(tables.worst_routes, sums, submit(data.read_airports), min_route_flights),
        "chart": submit(delay_chart, by["month"], by["hour"], by_carrier, by["condition"], title),
        "files": files,
    }
    results: dict[str, Any] = client.gather(wanted)
    results["files"] = [one for one in results["files"] if one is not None]
    return results


def same_results(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two results of `flights` are equal; of the charts, whether both are pages of about the same length."""
    if one.keys() != other.keys() or one["files"] != other["files"]:
        return False
    # A chart holds identifiers that are drawn anew each time.
    length, length_other = len(one["chart"]), len(other["chart"])
    frames = one.keys() - {"chart", "files"}
    return abs(length - length_other) < 0.01 * length and all(one[name].equals(other[name]) for name in frames)
