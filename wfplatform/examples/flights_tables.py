"""The tables of the `flights` example, made of the tallies and counts of `flights_analysis`.

Every number is exact: quotients of whole numbers, and order statistics of whole minutes. Refuses: rounding,
which is left to whoever prints a table (`printable`).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from wfplatform.errors import ParameterError
from wfplatform.examples.flights_analysis import AGE_BANDS, CONDITIONS, GROUPINGS

__all__ = ["carrier_delays", "delays_by", "printable", "worst_routes"]

_DIGITS: Final = {"share": 3, "mean": 1, "median": 1}


def delays_by(tally: pd.DataFrame, delay_counts: pd.DataFrame, grouping: str) -> pd.DataFrame:
    """The table of delays by month, carrier, origin, hour, condition or aircraft age.

    Args:
        tally: as `combined_tally` gives it.
        delay_counts: as `combined_delay_counts` gives it.
        grouping: one of `GROUPINGS`, not "route".

    Returns:
        One row a group, named by the first column: flights, share_cancelled, share_diverted (of all flights,
        0 to 1), mean_departure_delay_min, mean_arrival_delay_min, median_arrival_delay_min,
        p90_arrival_delay_min (nine flights in ten arrive no later), longest_arrival_delay_min, share_late (of
        those that arrived). Carriers and origins are ordered by mean arrival delay, the worst first, the
        others by their nature.

    Raises:
        ParameterError: there is no such grouping.
    """
    known = [one for one in GROUPINGS if one != "route"]
    if grouping not in known:
        raise ParameterError(
            "flights_grouping_unknown",
            f"Parameter grouping: expected one of {', '.join(known)}, got {grouping!r}.",
            parameter="grouping",
            got=grouping,
            known=known,
        )
    table = _statistics(tally[tally["grouping"] == grouping])
    orders = _order_statistics(delay_counts[delay_counts["grouping"] == grouping])
    table = table.merge(orders, on="group", how="left", validate="one_to_one").rename(columns={"group": grouping})
    if grouping in ("month", "hour"):
        table[grouping] = table[grouping].astype("int64")
        table = table.sort_values(grouping)
    elif grouping in ("condition", "aircraft_age"):
        names = CONDITIONS if grouping == "condition" else AGE_BANDS
        table = table.sort_values(grouping, key=lambda column: column.map(names.index))
    else:
        table = _worst_first(table, grouping)
    columns = [grouping, "flights", "share_cancelled", "share_diverted", "mean_departure_delay_min"]
    columns += ["mean_arrival_delay_min", *orders.columns[1:], "longest_arrival_delay_min", "share_late"]
    return table[columns].reset_index(drop=True)


def carrier_delays(tally: pd.DataFrame, delay_counts: pd.DataFrame, airlines: pd.DataFrame) -> pd.DataFrame:
    """The table of delays by carrier, with the airlines' names.

    Args:
        tally: as `combined_tally` gives it.
        delay_counts: as `combined_delay_counts` gives it.
        airlines: as `flights_data.read_airlines` gives it.

    Returns:
        As `delays_by`, with `airline` (name) as second column.
    """
    table = delays_by(tally, delay_counts, "carrier")
    named = table.merge(airlines, on="carrier", how="left", validate="one_to_one")
    named.insert(1, "airline", named.pop("airline").fillna(named["carrier"]))
    return named


def worst_routes(tally: pd.DataFrame, airports: pd.DataFrame, min_flights: int, rows: int = 15) -> pd.DataFrame:
    """The routes with the highest mean arrival delay.

    Args:
        tally: as `combined_tally` gives it.
        airports: as `flights_data.read_airports` gives it.
        min_flights: routes with fewer flights are left out; at least 1.
        rows: how many routes to give at most.

    Returns:
        At most `rows` rows, the worst first: route, destination (name, or its code where the name is not
        known), flights, share_cancelled, mean_departure_delay_min, mean_arrival_delay_min,
        longest_arrival_delay_min, share_late.

    Raises:
        ParameterError: `min_flights` is below 1.
    """
    if min_flights < 1:
        raise ParameterError(
            "flights_min_flights_invalid",
            f"Parameter min_flights: expected a number of flights of at least 1, got {min_flights!r}.",
            parameter="min_flights",
            got=min_flights,
        )
    routes = tally[(tally["grouping"] == "route") & (tally["flights"] >= min_flights)]
    table = _worst_first(_statistics(routes).rename(columns={"group": "route"}), "route").head(rows)
    code = table["route"].str.partition("-")[2] if len(table) else table["route"]
    names = airports.set_index("airport")["airport_name"]
    table = table.assign(destination=code.map(names).fillna(code).astype("str"))
    columns = ["route", "destination", "flights", "share_cancelled", "mean_departure_delay_min"]
    columns += ["mean_arrival_delay_min", "longest_arrival_delay_min", "share_late"]
    return table[columns].reset_index(drop=True)


def printable(table: pd.DataFrame) -> pd.DataFrame:
    """Round a table for reading: shares to three digits, minutes to one.

    Args:
        table: as another function of this module gives it.

    Returns:
        A table with the same columns and rows.
    """
    digits = {name: _DIGITS.get(name.partition("_")[0]) for name in table.columns}
    return table.round({name: number for name, number in digits.items() if number is not None})


def _statistics(tally: pd.DataFrame) -> pd.DataFrame:
    # Whole numbers divided by whole numbers: where nothing departed or arrived the quotient is NaN.
    return tally.assign(
        share_cancelled=tally["cancelled"] / tally["flights"],
        share_diverted=tally["diverted"] / tally["flights"],
        mean_departure_delay_min=tally["departure_delay_sum_min"] / tally["departed"],
        mean_arrival_delay_min=tally["arrival_delay_sum_min"] / tally["arrived"],
        longest_arrival_delay_min=tally["arrival_delay_max_min"].astype("Int64"),
        share_late=tally["late"] / tally["arrived"],
    )


def _order_statistics(delay_counts: pd.DataFrame) -> pd.DataFrame:
    names, medians, p90s = [], [], []
    for name, rows in delay_counts.groupby("group"):
        minutes, flights = rows["arrival_delay_min"].to_numpy(), rows["flights"].to_numpy().cumsum()
        number = int(flights[-1])
        # The k-th of the sorted delays (k from 0) is the first minute up to which more than k flights
        # arrived; the rank of the ninth decile is rounded up in whole numbers, as 0.9 is no binary fraction.
        ranks = np.array([(number - 1) // 2, number // 2, -(-9 * number // 10) - 1])
        low, high, p90 = minutes[np.searchsorted(flights, ranks, side="right")]
        names.append(name)
        medians.append((low + high) / 2)
        p90s.append(p90)
    return pd.DataFrame(
        {
            "group": pd.Series(names, dtype="str"),
            "median_arrival_delay_min": pd.Series(medians, dtype="float64"),
            "p90_arrival_delay_min": pd.Series(p90s, dtype="Int64"),
        }
    )


def _worst_first(table: pd.DataFrame, name: str) -> pd.DataFrame:
    # By name first, then stably by delay: equal delays, and those without any, stand in the order of their
    # names.
    return table.sort_values(name).sort_values("mean_arrival_delay_min", ascending=False, kind="stable")
