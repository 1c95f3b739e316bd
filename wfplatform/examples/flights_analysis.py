"""How the `flights` example cleans, joins and counts: plain functions from frames to frames.

What is counted month by month can be added up and loses nothing: delays are whole minutes, so sums are exact,
and counts of flights per minute of delay give exact medians. Refuses: reading and writing (`flights_data`);
statistics that cannot be put together from parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from wfplatform.errors import ParameterError

__all__ = [
    "AGE_BANDS",
    "CONDITIONS",
    "GROUPINGS",
    "LATE_AFTER_MIN",
    "classified_weather",
    "combined_delay_counts",
    "combined_tally",
    "joined_month",
    "month_delay_counts",
    "month_flights",
    "month_tally",
]

LATE_AFTER_MIN: Final = 15
"""A flight is late when it arrives more than this many minutes after its scheduled time."""

CONDITIONS: Final = ("clear", "wind", "haze", "fog", "rain", "snow", "unknown")
AGE_BANDS: Final = ("0-4 years", "5-9 years", "10-14 years", "15-19 years", "20 years and more", "unknown")
GROUPINGS: Final = ("month", "carrier", "origin", "hour", "condition", "aircraft_age", "route")

_FREEZING_F: Final = 32.0
_FOG_BELOW_MILES: Final = 1.0
_HAZE_BELOW_MILES: Final = 6.0
_WINDY_FROM_MPH: Final = 20.0
_GUSTY_FROM_MPH: Final = 30.0
# The file holds one wind of 1,048 mph. The strongest ever measured at the ground was 253 mph.
_WIND_IMPOSSIBLE_MPH: Final = 254.0

_FLIGHT_KEY: Final = ["year", "month", "day", "carrier", "flight", "origin"]
_COUNTS: Final = ["flights", "cancelled", "diverted", "departed", "arrived", "late"]
_SUMS: Final = [*_COUNTS, "departure_delay_sum_min", "arrival_delay_sum_min"]
_LONGEST: Final = "arrival_delay_max_min"


def classified_weather(weather: pd.DataFrame) -> pd.DataFrame:
    """Clean hourly weather and name the condition of each hour.

    The first that fits: snow (precipitation at or below 32 F), rain (precipitation), fog (visibility under 1
    mile), haze (under 6 miles), wind (20 mph or more, or gusts of 30 mph or more), else clear; unknown where
    neither precipitation nor visibility was recorded.

    Args:
        weather: as `flights_data.read_weather` gives it.

    Returns:
        The same columns but year, and `condition`; impossible winds are missing; one row an origin and hour.
    """
    cleaned = weather.drop(columns="year").drop_duplicates(["origin", "hour_at"], ignore_index=True)
    for wind in ("wind_mph", "gust_mph"):
        cleaned[wind] = cleaned[wind].where(cleaned[wind] < _WIND_IMPOSSIBLE_MPH)
    wet = cleaned["precipitation_in"] > 0
    visibility = cleaned["visibility_miles"]
    condition = np.select(
        [
            cleaned["precipitation_in"].isna() & visibility.isna(),
            wet & (cleaned["temperature_f"] <= _FREEZING_F),
            wet,
            visibility < _FOG_BELOW_MILES,
            visibility < _HAZE_BELOW_MILES,
            (cleaned["wind_mph"] >= _WINDY_FROM_MPH) | (cleaned["gust_mph"] >= _GUSTY_FROM_MPH),
        ],
        ["unknown", "snow", "rain", "fog", "haze", "wind"],
        "clear",
    )
    return cleaned.assign(condition=pd.Series(condition, index=cleaned.index, dtype="str"))


def month_flights(flights: pd.DataFrame, month: int) -> pd.DataFrame:
    """Select one month and clean it.

    A flight listed twice is kept once. A flight that never departed cannot have arrived: it is cancelled,
    whatever its arrival says. One that departed and has no arrival delay was diverted.

    Args:
        flights: as `flights_data.read_flights` gives it.
        month: 1 to 12.

    Returns:
        The month's flights, possibly none, with cancelled, diverted, late (booleans) and route ("EWR-ORD")
        added.

    Raises:
        ParameterError: `month` is not a month.
    """
    if month not in range(1, 13):
        raise ParameterError(
            "flights_month_invalid",
            f"Parameter month: expected a number from 1 to 12, got {month!r}.",
            parameter="month",
            got=month,
        )
    selected = flights[flights["month"] == month].drop_duplicates(_FLIGHT_KEY, ignore_index=True)
    cancelled = selected["departure_delay_min"].isna()
    arrival = selected["arrival_delay_min"].mask(cancelled)
    return selected.assign(
        arrival_delay_min=arrival,
        cancelled=cancelled,
        diverted=~cancelled & arrival.isna(),
        late=arrival > LATE_AFTER_MIN,
        route=selected["origin"] + "-" + selected["dest"],
    )


def joined_month(flights: pd.DataFrame, weather: pd.DataFrame, planes: pd.DataFrame) -> pd.DataFrame:
    """Join flights with the weather at their airport and hour of departure, and with their aircraft.

    Args:
        flights: a month, as `month_flights` gives it.
        weather: as `classified_weather` gives it.
        planes: as `flights_data.read_planes` gives it.

    Returns:
        As many rows as flights, in their order, with the columns of weather, manufacturer, model, seats,
        aircraft_age_years and aircraft_age (one of `AGE_BANDS`) added; condition and aircraft_age are
        "unknown" where nothing is recorded.
    """
    joined = flights.merge(weather, on=["origin", "hour_at"], how="left", validate="many_to_one")
    joined = joined.merge(planes, on="tailnum", how="left", validate="many_to_one")
    age = joined["year"] - joined.pop("built_year")
    age = age.where(age >= 0)
    band = np.select([age < 5, age < 10, age < 15, age < 20, age >= 20], AGE_BANDS[:-1], AGE_BANDS[-1])
    return joined.assign(
        condition=joined["condition"].fillna("unknown"),
        aircraft_age_years=age,
        aircraft_age=pd.Series(band, index=joined.index, dtype="str"),
    )


def month_tally(joined: pd.DataFrame) -> pd.DataFrame:
    """Count a month's flights and add up their delays, by each of `GROUPINGS`.

    Args:
        joined: a month, as `joined_month` gives it.

    Returns:
        One row a grouping and group (both text; none for a month without flights): flights, cancelled,
        diverted, departed, arrived, late, departure_delay_sum_min, arrival_delay_sum_min (integers),
        arrival_delay_max_min (NaN where none arrived).
    """
    measured = joined[list(GROUPINGS)].assign(
        flights=1,
        cancelled=joined["cancelled"],
        diverted=joined["diverted"],
        departed=joined["departure_delay_min"].notna(),
        arrived=joined["arrival_delay_min"].notna(),
        late=joined["late"],
        departure_delay_sum_min=joined["departure_delay_min"],
        arrival_delay_sum_min=joined["arrival_delay_min"],
    )
    tallies = []
    for grouping in GROUPINGS:
        groups = measured.groupby(grouping)
        tally = groups[_SUMS].sum().astype("int64")
        tally[_LONGEST] = groups["arrival_delay_sum_min"].max()
        tallies.append(_labelled(tally, grouping))
    return pd.concat(tallies, ignore_index=True)


def month_delay_counts(joined: pd.DataFrame) -> pd.DataFrame:
    """Count a month's flights per minute of arrival delay, by each of `GROUPINGS` but the route.

    By route there would be as many rows as flights.

    Args:
        joined: a month, as `joined_month` gives it.

    Returns:
        One row a grouping, group (both text) and arrival_delay_min: flights. Integers; only flights that
        arrived.
    """
    arrived = joined[joined["arrival_delay_min"].notna()]
    arrived = arrived.assign(arrival_delay_min=arrived["arrival_delay_min"].astype("int64"))
    counts = [
        _labelled(arrived.groupby([grouping, "arrival_delay_min"]).size().to_frame("flights"), grouping)
        for grouping in GROUPINGS
        if grouping != "route"
    ]
    return pd.concat(counts, ignore_index=True)


def combined_tally(months: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Add up the tallies of some months.

    Args:
        months: at least one, as `month_tally` gives them.

    Returns:
        A tally with the same columns.
    """
    whole = pd.concat(list(months), ignore_index=True)
    groups = whole.groupby(["grouping", "group"])
    return groups[_SUMS].sum().join(groups[[_LONGEST]].max()).reset_index()


def combined_delay_counts(months: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Add up the delay counts of some months.

    Args:
        months: at least one, as `month_delay_counts` gives them.

    Returns:
        Delay counts with the same columns, in ascending order of delay within each group.
    """
    whole = pd.concat(list(months), ignore_index=True)
    return whole.groupby(["grouping", "group", "arrival_delay_min"], as_index=False)["flights"].sum()


def _labelled(partial: pd.DataFrame, grouping: str) -> pd.DataFrame:
    partial = partial.reset_index().rename(columns={grouping: "group"})
    partial["group"] = partial["group"].astype("str")
    partial.insert(0, "grouping", pd.Series(grouping, index=partial.index, dtype="str"))
    return partial
