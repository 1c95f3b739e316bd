"""The functions of the `flights` example on small frames, and all of it on the real data."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from tests.flights_reference import reference_tables
from wfplatform.errors import NotFoundError, ParameterError
from wfplatform.examples import flights_analysis as analysis
from wfplatform.examples import flights_data as data
from wfplatform.examples import flights_tables as tables
from wfplatform.examples.flights_chart import delay_chart

NAN = float("nan")


def made_flights(*rows: Mapping[str, object]) -> pd.DataFrame:
    """Flights with the columns and types of the real ones; what a row does not say is ordinary."""
    ordinary: dict[str, object] = {
        "year": 2013,
        "month": 1,
        "day": 1,
        "hour": 5,
        "hour_at": pd.Timestamp("2013-01-01T10:00Z"),
        "carrier": "UA",
        "flight": 1,
        "tailnum": "N1",
        "origin": "EWR",
        "dest": "ORD",
        "departure_delay_min": 0.0,
        "arrival_delay_min": 0.0,
        "air_time_min": 100.0,
        "distance_miles": 700,
    }
    frame = pd.DataFrame(
        [ordinary | {"flight": number} | dict(row) for number, row in enumerate(rows)], columns=list(ordinary)
    )
    kinds = {"year": "int16", "month": "int8", "day": "int8", "hour": "int8", "flight": "int16"}
    kinds |= {"distance_miles": "int16", "hour_at": "datetime64[ms, UTC]"}
    kinds |= dict.fromkeys(["departure_delay_min", "arrival_delay_min", "air_time_min"], "float64")
    kinds |= dict.fromkeys(["carrier", "tailnum", "origin", "dest"], "str")
    return frame.astype(kinds)


def made_weather(*rows: Mapping[str, object]) -> pd.DataFrame:
    """Hours of weather, one after the other; what a row does not say is fine weather."""
    fine: dict[str, object] = {
        "year": 2013,
        "origin": "EWR",
        "temperature_f": 60.0,
        "wind_mph": 5.0,
        "gust_mph": NAN,
        "precipitation_in": 0.0,
        "visibility_miles": 10.0,
    }
    start = pd.Timestamp("2013-01-01T10:00Z")
    hours = [fine | {"hour_at": start + pd.Timedelta(hours=number)} | dict(row) for number, row in enumerate(rows)]
    frame = pd.DataFrame(hours, columns=[*fine, "hour_at"])
    return frame.astype({"origin": "str", "hour_at": "datetime64[ms, UTC]"})


def made_planes(**built: float) -> pd.DataFrame:
    """Aircraft by tail number, with the year they were built in."""
    frame = pd.DataFrame({"tailnum": list(built), "built_year": list(built.values())})
    frame = frame.assign(manufacturer="BOEING", model="737", seats=150.0)
    return frame.astype({"tailnum": "str", "built_year": "float64", "manufacturer": "str", "model": "str"})


def joined(*rows: Mapping[str, object]) -> pd.DataFrame:
    """January's flights, joined with one fine hour and one aircraft of 2010."""
    weather = analysis.classified_weather(made_weather({}))
    return analysis.joined_month(analysis.month_flights(made_flights(*rows), 1), weather, made_planes(N1=2010))


def partials(*months: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The combined tally and delay counts of some joined months."""
    return (
        analysis.combined_tally([analysis.month_tally(month) for month in months]),
        analysis.combined_delay_counts([analysis.month_delay_counts(month) for month in months]),
    )


class TestWeather:
    @pytest.mark.parametrize(
        ("hour", "condition"),
        [
            ({}, "clear"),
            ({"precipitation_in": 0.01}, "rain"),
            ({"precipitation_in": 0.01, "temperature_f": 32.0}, "snow"),
            ({"precipitation_in": 0.01, "temperature_f": NAN}, "rain"),
            ({"precipitation_in": 0.01, "visibility_miles": 0.5}, "rain"),
            ({"visibility_miles": 0.99}, "fog"),
            ({"visibility_miles": 1.0}, "haze"),
            ({"visibility_miles": 5.99, "wind_mph": 40.0}, "haze"),
            ({"visibility_miles": 6.0}, "clear"),
            ({"wind_mph": 20.0}, "wind"),
            ({"wind_mph": 19.99}, "clear"),
            ({"gust_mph": 30.0}, "wind"),
            ({"wind_mph": NAN}, "clear"),
            ({"precipitation_in": NAN, "visibility_miles": NAN}, "unknown"),
            ({"precipitation_in": NAN}, "clear"),
        ],
    )
    def test_conditions(self, hour: dict[str, object], condition: str) -> None:
        assert list(analysis.classified_weather(made_weather(hour))["condition"]) == [condition]

    def test_an_impossible_wind_is_missing(self) -> None:
        cleaned = analysis.classified_weather(
            made_weather({"wind_mph": 1048.36, "gust_mph": 300.0}, {"wind_mph": 60.0})
        )
        assert cleaned["wind_mph"].isna().tolist() == [True, False]
        assert cleaned["gust_mph"].isna().all()
        assert list(cleaned["condition"]) == ["clear", "wind"]

    def test_an_hour_told_twice_is_kept_once(self) -> None:
        at = {"hour_at": pd.Timestamp("2013-11-03T06:00Z")}
        cleaned = analysis.classified_weather(made_weather(at | {"wind_mph": 1.0}, at | {"wind_mph": 2.0}))
        assert list(cleaned["wind_mph"]) == [1.0]

    def test_what_came_is_left_as_it_was(self) -> None:
        weather = made_weather({"wind_mph": 1048.36})
        before = weather.copy()
        analysis.classified_weather(weather)
        assert_frame_equal(weather, before)


class TestMonthFlights:
    def test_selects_the_month(self) -> None:
        flights = made_flights({"month": 1}, {"month": 2}, {"month": 1})
        selected = analysis.month_flights(flights, 1)
        assert list(selected["flight"]) == [0, 2]
        assert list(selected.index) == [0, 1]

    def test_a_flight_listed_twice_is_kept_once(self) -> None:
        assert len(analysis.month_flights(made_flights({"flight": 7}, {"flight": 7}, {"flight": 8}), 1)) == 2

    @pytest.mark.parametrize(
        ("departure", "arrival", "flags"),
        [
            (0.0, 15.0, (False, False, False)),
            (0.0, 16.0, (False, False, True)),
            (NAN, NAN, (True, False, False)),
            (NAN, 99.0, (True, False, False)),
            (5.0, NAN, (False, True, False)),
        ],
    )
    def test_cancelled_diverted_late(self, departure: float, arrival: float, flags: tuple[bool, ...]) -> None:
        flights = made_flights({"departure_delay_min": departure, "arrival_delay_min": arrival})
        flight = analysis.month_flights(flights, 1).iloc[0]
        assert (flight["cancelled"], flight["diverted"], flight["late"]) == flags
        assert not (flight["cancelled"] and flight["arrival_delay_min"] == 99.0)

    @pytest.mark.parametrize("month", [0, 13, -1])
    def test_refuses_what_is_no_month(self, month: int) -> None:
        with pytest.raises(ParameterError, match=f"from 1 to 12, got {month}") as caught:
            analysis.month_flights(made_flights({}), month)
        assert caught.value.code == "flights_month_invalid"


class TestJoinedMonth:
    def test_weather_is_that_of_the_origin_and_hour(self) -> None:
        weather = analysis.classified_weather(
            made_weather({}, {"precipitation_in": 1.0}, {"origin": "JFK", "visibility_miles": 0.0})
        )
        flights = made_flights(
            {"hour_at": pd.Timestamp("2013-01-01T11:00Z")},
            {"origin": "JFK", "hour_at": pd.Timestamp("2013-01-01T12:00Z")},
            {"hour_at": pd.Timestamp("2013-01-01T10:00Z")},
            {"origin": "LGA"},
        )
        month = analysis.joined_month(analysis.month_flights(flights, 1), weather, made_planes())
        assert list(month["condition"]) == ["rain", "fog", "clear", "unknown"]
        assert list(month["flight"]) == [0, 1, 2, 3]

    def test_aircraft_ages(self) -> None:
        built = {
            "a": 2013,
            "b": 2009,
            "c": 2008,
            "d": 1999,
            "e": 1998,
            "f": 1993,
            "g": 1956,
            "h": NAN,
            "i": 2014,
        }
        flights = made_flights(*({"tailnum": tailnum} for tailnum in [*built, "missing", None]))
        month = analysis.joined_month(
            analysis.month_flights(flights, 1),
            analysis.classified_weather(made_weather({})),
            made_planes(**built),
        )
        first, second, third, fourth, fifth, unknown = analysis.AGE_BANDS
        assert list(month["aircraft_age"]) == [
            first,
            first,
            second,
            third,
            fourth,
            fifth,
            fifth,
            *[unknown] * 4,
        ]


class TestTallies:
    def test_counts_and_sums(self) -> None:
        tally = analysis.month_tally(
            joined(
                {"departure_delay_min": 10.0, "arrival_delay_min": 20.0},
                {"departure_delay_min": -2.0, "arrival_delay_min": -7.0},
                {"departure_delay_min": 3.0, "arrival_delay_min": NAN},
                {"departure_delay_min": NAN, "arrival_delay_min": NAN},
            )
        )
        row = tally[(tally["grouping"] == "carrier") & (tally["group"] == "UA")].iloc[0].to_dict()
        assert row == {
            "grouping": "carrier",
            "group": "UA",
            "flights": 4,
            "cancelled": 1,
            "diverted": 1,
            "departed": 3,
            "arrived": 2,
            "late": 1,
            "departure_delay_sum_min": 11,
            "arrival_delay_sum_min": 13,
            "arrival_delay_max_min": 20.0,
        }
        assert set(tally["grouping"]) == set(analysis.GROUPINGS)

    def test_combining_parts_gives_the_whole(self) -> None:
        random = np.random.default_rng(13)
        rows = [
            {
                "carrier": str(random.choice(["AA", "UA", "DL"])),
                "origin": str(random.choice(["EWR", "JFK", "LGA"])),
                "hour": int(random.integers(5, 23)),
                "departure_delay_min": float(random.integers(-20, 300)),
                "arrival_delay_min": float(random.choice([NAN, *range(-60, 300)])),
            }
            for _ in range(500)
        ]
        whole = joined(*rows)
        parts = [whole.iloc[:100], whole.iloc[100:101], whole.iloc[101:101], whole.iloc[101:]]
        for split, at_once in zip(partials(*parts), partials(whole), strict=True):
            assert_frame_equal(split, at_once)

    def test_months_without_flights(self) -> None:
        empty = joined({"month": 2})
        assert len(empty) == 0
        full = joined({"arrival_delay_min": 3.0})
        for with_empty, alone in zip(partials(empty, full, empty), partials(full), strict=True):
            assert_frame_equal(with_empty, alone)

    def test_nothing_at_all_gives_tables_without_rows(self) -> None:
        tally, counts = partials(joined({"month": 2}))
        some_tally, some_counts = partials(joined({}))
        for grouping in ("month", "carrier", "origin", "hour", "condition", "aircraft_age"):
            empty = tables.delays_by(tally, counts, grouping)
            assert_frame_equal(empty, tables.delays_by(some_tally, some_counts, grouping).iloc[:0])
        routes = tables.worst_routes(tally, data.read_airports(), 1)
        assert_frame_equal(routes, tables.worst_routes(some_tally, data.read_airports(), 1).iloc[:0])


class TestTables:
    @pytest.mark.parametrize("number", [1, 2, 3, 9, 10, 11, 20, 101, 1000])
    def test_order_statistics_are_those_of_the_sorted_delays(self, number: int) -> None:
        delays = np.random.default_rng(number).integers(-60, 200, number)
        month = joined(*({"arrival_delay_min": float(delay)} for delay in delays))
        row = tables.delays_by(*partials(month), "origin").iloc[0]
        assert row["median_arrival_delay_min"] == np.median(delays)
        assert row["p90_arrival_delay_min"] == sorted(delays)[-(-9 * number // 10) - 1]
        assert row["longest_arrival_delay_min"] == max(delays)
        assert row["mean_arrival_delay_min"] == delays.sum() / number

    def test_a_group_without_arrivals_has_no_delays(self) -> None:
        month = joined({"departure_delay_min": NAN, "arrival_delay_min": NAN}, {"carrier": "AA"})
        table = tables.delays_by(*partials(month), "carrier").set_index("carrier")
        assert list(table.index) == ["AA", "UA"]
        assert table.loc["UA", "share_cancelled"] == 1
        assert table.loc["UA"].drop(["flights", "share_cancelled", "share_diverted"]).isna().all()

    def test_hours_and_months_are_ordered_by_number(self) -> None:
        month = joined({"hour": 10}, {"hour": 5}, {"hour": 23})
        assert list(tables.delays_by(*partials(month), "hour")["hour"]) == [5, 10, 23]

    def test_carriers_stand_the_worst_first_and_have_names(self) -> None:
        rows = [("UA", 1.0), ("AA", 1.0), ("DL", 9.0), ("ZZ", 5.0)]
        month = joined(*({"carrier": carrier, "arrival_delay_min": delay} for carrier, delay in rows))
        table = tables.carrier_delays(*partials(month), data.read_airlines())
        assert list(table["carrier"]) == ["DL", "ZZ", "AA", "UA"]
        assert list(table["airline"]) == [
            "Delta Air Lines Inc.",
            "ZZ",
            "American Airlines Inc.",
            "United Air Lines Inc.",
        ]

    def test_worst_routes(self) -> None:
        rows = [
            ("ORD", 5.0),
            ("ORD", 7.0),
            ("SJU", 90.0),
            ("ATL", 1.0),
            ("ATL", 2.0),
            ("BQN", 3.0),
            ("BQN", 9.0),
        ]
        tally, _ = partials(joined(*({"dest": dest, "arrival_delay_min": delay} for dest, delay in rows)))
        airports = data.read_airports()
        table = tables.worst_routes(tally, airports, 2)
        assert list(table["route"]) == ["EWR-BQN", "EWR-ORD", "EWR-ATL"]
        assert list(table["destination"]) == ["BQN", "Chicago Ohare Intl", "Hartsfield Jackson Atlanta Intl"]
        assert list(tables.worst_routes(tally, airports, 1, rows=1)["route"]) == ["EWR-SJU"]
        assert len(tables.worst_routes(tally, airports, 3)) == 0

    def test_refuses_unknown_groupings_and_thresholds(self) -> None:
        tally, counts = partials(joined({}))
        for grouping in ("route", "weekday"):
            with pytest.raises(ParameterError, match=r"expected one of month, carrier, .*, got"):
                tables.delays_by(tally, counts, grouping)
        with pytest.raises(ParameterError, match="at least 1, got 0"):
            tables.worst_routes(tally, data.read_airports(), 0)

    def test_printable_rounds_only(self) -> None:
        month = joined({"arrival_delay_min": 1.0}, {"arrival_delay_min": 1.0}, {"arrival_delay_min": 0.0})
        table = tables.delays_by(*partials(month), "hour")
        printable = tables.printable(table)
        assert printable["mean_arrival_delay_min"].tolist() == [0.7]
        assert list(printable.columns) == list(table.columns)
        assert table["mean_arrival_delay_min"].tolist() == [2 / 3]


class TestData:
    def test_another_year_names_those_there_are(self) -> None:
        for read in (data.read_flights, data.read_weather):
            with pytest.raises(ParameterError, match=r"of 2013, not of 2014\.") as caught:
                read(2014)
            assert caught.value.facts["known"] == [2013]

    @pytest.mark.parametrize("carriers", [["UA", "XX"], ["ua"], [""]])
    def test_an_unknown_carrier_lists_the_known(self, carriers: list[str]) -> None:
        with pytest.raises(ParameterError, match="no carrier has the code") as caught:
            data.read_flights(2013, carriers)
        assert "9E, AA, AS, B6" in caught.value.hint
        assert len(caught.value.facts["known"]) == 16

    @pytest.mark.parametrize("carriers", [[], "UA"])
    def test_carriers_that_are_no_list_of_codes(self, carriers: list[str]) -> None:
        with pytest.raises(ParameterError, match="at least one carrier code, got"):
            data.read_flights(2013, carriers)

    def test_carriers_are_selected(self) -> None:
        flights = data.read_flights(2013, ["OO", "HA", "OO"])
        assert flights["carrier"].value_counts().to_dict() == {"HA": 342, "OO": 32}
        assert flights.index.equals(pd.RangeIndex(374))

    def test_a_missing_package_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(data, "PACKAGE", "nycflights_that_is_not_there")
        with pytest.raises(NotFoundError, match="nycflights_that_is_not_there, which is not installed") as caught:
            data.read_planes()
        assert "pip install" in caught.value.hint

    def test_a_missing_file_is_named(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        package = tmp_path / "flights_without_planes"
        package.mkdir()
        (package / "__init__.py").touch()
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setattr(data, "PACKAGE", package.name)
        with pytest.raises(NotFoundError, match="installed here without its folder 'data'"):
            data.read_planes()
        (package / "data").mkdir()
        with pytest.raises(NotFoundError, match=r"without its data file planes\.csv; expected it at"):
            data.read_planes()


class TestWriteMonth:
    def test_months_make_one_data_set(self, tmp_path: Path) -> None:
        january = joined({"arrival_delay_min": 3.0}, {})
        february = joined({"month": 2})
        files = [
            data.write_month(january, 2013, 1, str(tmp_path)),
            data.write_month(february, 2013, 2, str(tmp_path)),
        ]
        assert [file and file["flights"] for file in files] == [2, 0]
        whole = pd.read_parquet(tmp_path)
        assert len(whole) == 2
        assert whole["arrival_delay_min"].tolist() == [3.0, 0.0]
        assert set(whole.columns) == set(january.columns)

    def test_writing_again_changes_nothing(self, tmp_path: Path) -> None:
        first = data.write_month(joined({}), 2013, 1, str(tmp_path))
        assert first is not None
        file = Path(str(first["file"]))
        before = file.read_bytes()
        assert data.write_month(joined({}), 2013, 1, str(tmp_path)) == first
        assert file.read_bytes() == before
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]
        assert first["size_bytes"] == len(before)

    def test_a_failed_write_leaves_the_file_before(self, tmp_path: Path) -> None:
        first = data.write_month(joined({}), 2013, 1, str(tmp_path))
        assert first is not None
        before = Path(str(first["file"])).read_bytes()
        with pytest.raises(Exception, match="object"):
            data.write_month(joined({}).assign(model=object()), 2013, 1, str(tmp_path))
        assert [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()] == [before]

    def test_no_folder_writes_nothing(self) -> None:
        assert data.write_month(joined({}), 2013, 1, None) is None

    def test_refuses_a_relative_folder(self) -> None:
        with pytest.raises(ParameterError, match="expected an absolute path, got 'here'"):
            data.write_month(joined({}), 2013, 1, "here")


class Elements(HTMLParser):
    """Every address that the elements of a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]


class TestChart:
    @pytest.mark.parametrize(
        "rows", [[], [{}], [{}, {"departure_delay_min": NAN, "arrival_delay_min": NAN, "hour": 1}]]
    )
    def test_stands_alone(self, rows: list[dict[str, object]]) -> None:
        tally, counts = partials(joined(*rows, {"month": 2}))
        months, hours, conditions = (tables.delays_by(tally, counts, by) for by in ("month", "hour", "condition"))
        carriers = tables.carrier_delays(tally, counts, data.read_airlines())
        page = delay_chart(months, hours, carriers, conditions, "Delays & more")
        elements = Elements()
        elements.feed(page)
        assert elements.addresses == []
        assert "script" in elements.names
        # Bokeh fetches MathJax for texts between dollar signs: there must be none.
        model = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)
        assert len(model) == 1
        assert "$$" not in model[0]
        assert "<title>Delays &amp; more</title>" in page
        # It fits narrow screens and dark ones.
        assert "width=device-width" in page
        assert "prefers-color-scheme: dark" in page
        assert model[0].count('"sizing_mode":"stretch_width"') == 4
        assert ("United Air Lines Inc." in model[0]) is bool(rows)


def whole_analysis(
    carriers: list[str] | None, min_route_flights: int
) -> tuple[dict[str, pd.DataFrame], list[pd.DataFrame]]:
    """The tables of the real data, and every frame that came between."""
    flights = data.read_flights(2013, carriers)
    weather = analysis.classified_weather(data.read_weather(2013))
    planes = data.read_planes()
    months = [analysis.month_flights(flights, month) for month in range(1, 13)]
    joined_months = [analysis.joined_month(month, weather, planes) for month in months]
    tallies = [analysis.month_tally(month) for month in joined_months]
    counts_of_months = [analysis.month_delay_counts(month) for month in joined_months]
    tally, counts = analysis.combined_tally(tallies), analysis.combined_delay_counts(counts_of_months)
    found = {
        "carriers": tables.carrier_delays(tally, counts, data.read_airlines()),
        "origins": tables.delays_by(tally, counts, "origin"),
        "months": tables.delays_by(tally, counts, "month"),
        "hours": tables.delays_by(tally, counts, "hour"),
        "conditions": tables.delays_by(tally, counts, "condition"),
        "aircraft": tables.delays_by(tally, counts, "aircraft_age"),
        "routes": tables.worst_routes(tally, data.read_airports(), min_route_flights),
    }
    between = [flights, weather, planes, *months, *joined_months, *tallies, *counts_of_months, tally, counts]
    return found, between


class TestRealData:
    @pytest.mark.parametrize(("carriers", "min_route_flights"), [(None, 365), (["OO", "HA"], 1)])
    def test_equals_plain_pandas_to_the_last_digit(self, carriers: list[str] | None, min_route_flights: int) -> None:
        found, between = whole_analysis(carriers, min_route_flights)
        expected = reference_tables(carriers, min_route_flights)
        assert list(found) == list(expected)
        for name, table in expected.items():
            columns = list(found[name].columns)
            assert sorted(columns) == sorted(table.columns)
            assert_frame_equal(found[name], table[columns], check_exact=True)
        if carriers is None:
            assert {name: int(found[name]["flights"].sum()) for name in found if name != "routes"} == dict.fromkeys(
                ["carriers", "origins", "months", "hours", "conditions", "aircraft"], 336_776
            )
        # A value that is read back from storage must be the value that was computed.
        for frame in [*found.values(), *between]:
            stored = io.BytesIO()
            frame.to_parquet(stored)
            assert_frame_equal(pd.read_parquet(stored), frame, check_exact=True)
