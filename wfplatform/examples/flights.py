"""The workflow `flights`: when, where, with whom and in what weather flights out of New York City are late.

A year is read once, its twelve months are cleaned, joined and counted in parallel, and the counts are put
together to tables, a chart and, if wanted, a data set of Parquet files. Only counts leave the month they
belong to; the months themselves stay on the worker that made them. Refuses: to compute anything itself (see
`flights_analysis` and `flights_tables`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from wfplatform import Retry, current_node, node, unmapped, workflow
from wfplatform.examples import flights_analysis as analysis
from wfplatform.examples import flights_data as data
from wfplatform.examples import flights_tables as tables

__all__ = ["TITLES", "flights", "printable_tables"]

MONTHS: Final = range(1, 13)

TITLES: Final[Mapping[str, str]] = {
    "carriers": "Delays by carrier",
    "origins": "Delays by airport of departure",
    "months": "Delays by month",
    "hours": "Delays by scheduled hour of departure",
    "conditions": "Delays by weather at departure",
    "aircraft": "Delays by age of the aircraft",
    "routes": "The worst routes",
}
"""Those outputs of the workflow that are tables, with what stands above them."""

# A disk may be busy for a moment; a parameter that is wrong, or a package that is not there, stays so.
_READING: Final = Retry(attempts=3, delay_s=1, backoff=2.0, jitter=0.1, never_on=("UserError",))


@node(retry=_READING, timeout_s=120, cache=True)
def year_flights(year: int, carriers: list[str] | None) -> pd.DataFrame:
    """All flights of the year; to find one month in the compressed file would take as long."""
    frame = data.read_flights(year, carriers)
    current_node().log.info("flights read", extra={"year": year, "flights": len(frame)})
    return frame


@node(retry=_READING, timeout_s=120, cache=True)
def year_weather(year: int) -> pd.DataFrame:
    """The weather of every hour, with the condition named."""
    return analysis.classified_weather(data.read_weather(year))


@node(retry=_READING, timeout_s=120, cache=True)
def planes() -> pd.DataFrame:
    """The aircraft."""
    return data.read_planes()


@node(retry=_READING, timeout_s=120, cache=True)
def airlines() -> pd.DataFrame:
    """The names of the carriers."""
    return data.read_airlines()


@node(retry=_READING, timeout_s=120, cache=True)
def airports() -> pd.DataFrame:
    """The names of the airports."""
    return data.read_airports()


@node(timeout_s=120)
def month_flights(frame: pd.DataFrame, month: int) -> pd.DataFrame:
    """One month of flights, cleaned."""
    selected = analysis.month_flights(frame, month)
    current_node().log.info("month selected", extra={"month": month, "flights": len(selected)})
    return selected


@node(timeout_s=120)
def joined_month(month: pd.DataFrame, weather: pd.DataFrame, aircraft: pd.DataFrame) -> pd.DataFrame:
    """One month of flights with weather and aircraft."""
    return analysis.joined_month(month, weather, aircraft)


@node(timeout_s=120)
def month_tally(joined: pd.DataFrame) -> pd.DataFrame:
    """Counts and sums of one month."""
    return analysis.month_tally(joined)


@node(timeout_s=120)
def month_delay_counts(joined: pd.DataFrame) -> pd.DataFrame:
    """Flights per minute of delay of one month."""
    return analysis.month_delay_counts(joined)


# Not marked as an effect: a file written again is the same file, so nothing need be committed before it.
@node(retry=_READING, timeout_s=120)
def month_file(joined: pd.DataFrame, year: int, month: int, folder: str | None) -> dict[str, str | int] | None:
    """One month as a Parquet file."""
    return data.write_month(joined, year, month, folder)


@node(timeout_s=120)
def tally(months: list[pd.DataFrame]) -> pd.DataFrame:
    """Counts and sums of the year."""
    return analysis.combined_tally(months)


@node(timeout_s=120)
def delay_counts(months: list[pd.DataFrame]) -> pd.DataFrame:
    """Flights per minute of delay of the year."""
    return analysis.combined_delay_counts(months)


@node(timeout_s=120)
def delays_by(sums: pd.DataFrame, counts: pd.DataFrame, grouping: str) -> pd.DataFrame:
    """The table of delays by something."""
    return tables.delays_by(sums, counts, grouping)


@node(timeout_s=120)
def carrier_delays(sums: pd.DataFrame, counts: pd.DataFrame, names: pd.DataFrame) -> pd.DataFrame:
    """The table of delays by carrier."""
    return tables.carrier_delays(sums, counts, names)


@node(timeout_s=120)
def worst_routes(sums: pd.DataFrame, names: pd.DataFrame, min_flights: int) -> pd.DataFrame:
    """The routes with the highest mean delay."""
    return tables.worst_routes(sums, names, min_flights)


@node(timeout_s=120)
def delay_chart(
    months: pd.DataFrame, hours: pd.DataFrame, carriers: pd.DataFrame, conditions: pd.DataFrame, year: int
) -> str:
    """An HTML page with the delays by month, hour, carrier and weather."""
    # Loading Bokeh takes longer than any other node runs: only the one worker that draws does it.
    from wfplatform.examples.flights_chart import delay_chart as draw  # noqa: PLC0415

    return draw(months, hours, carriers, conditions, f"Delays of flights from New York City, {year}")


@node(timeout_s=60)
def written_files(files: list[dict[str, str | int] | None]) -> list[dict[str, str | int]]:
    """The files that were written."""
    return [one for one in files if one is not None]


@workflow(name="flights")
def flights(
    year: int = 2013,
    carriers: list[str] | None = None,
    min_route_flights: int = 365,
    folder: str | None = None,
) -> dict[str, Any]:
    """Analyse the delays of a year of flights out of New York City.

    Args:
        year: calendar year; the data hold 2013.
        carriers: two-character codes such as "UA"; None takes every carrier.
        min_route_flights: routes with fewer flights are not among the worst; at least 1.
        folder: absolute path of a folder on the workers to write the joined flights to, as Parquet; None
        writes
            none.

    Returns:
        The tables of `TITLES`; `chart`, an HTML page; `files`, what was written (file, flights, size_bytes).
    """
    frame = year_flights(year, carriers)
    months = month_flights.map(unmapped(frame), MONTHS)
    joined = joined_month.map(months, unmapped(year_weather(year)), unmapped(planes()))
    sums = tally(month_tally.map(joined))
    counts = delay_counts(month_delay_counts.map(joined))
    by_month = delays_by(sums, counts, "month")
    by_hour = delays_by(sums, counts, "hour")
    by_condition = delays_by(sums, counts, "condition")
    by_carrier = carrier_delays(sums, counts, airlines())
    return {
        "carriers": by_carrier,
        "origins": delays_by(sums, counts, "origin"),
        "months": by_month,
        "hours": by_hour,
        "conditions": by_condition,
        "aircraft": delays_by(sums, counts, "aircraft_age"),
        "routes": worst_routes(sums, airports(), min_route_flights),
        "chart": delay_chart(by_month, by_hour, by_carrier, by_condition, year),
        "files": written_files(month_file.map(joined, year, MONTHS, folder)),
    }


def printable_tables(results: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """The tables among the results of the workflow, for printing.

    Args:
        results: what `flights` returned.

    Returns:
        Title -> table, rounded: shares to three digits, minutes to one.
    """
    return {title: tables.printable(results[name]) for name, title in TITLES.items()}
