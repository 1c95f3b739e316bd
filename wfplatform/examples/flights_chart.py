"""The chart of the `flights` example: one HTML page that shows when, with whom and in what weather flights
are late.

The page carries Bokeh's scripts within itself. Refuses: to load anything from a network, now or when it is
opened.
"""

from __future__ import annotations

from typing import Final

import pandas as pd
from bokeh.embed import file_html
from bokeh.models import ColumnDataSource, DataRange1d, FactorRange, Range
from bokeh.plotting import figure
from bokeh.resources import INLINE

from wfplatform.examples.flights_analysis import LATE_AFTER_MIN

__all__ = ["delay_chart"]

# Blue and orange of Okabe and Ito's palette: told apart with every kind of colour vision, and in grey.
_BLUE: Final = "#0072B2"
_ORANGE: Final = "#E69F00"
_HEIGHT_PX: Final = 340

_LOOK: Final = """
{% block postamble %}
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
  :root { color-scheme: light dark; }
  body {
    display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr));
    align-content: start; gap: 16px; padding: 12px; background: #fff;
  }
  @media (prefers-color-scheme: dark) {
    body { background: #121212; }
    [data-root-id] > * { filter: invert(0.93) hue-rotate(180deg); }
  }
</style>
{% endblock %}
"""
"""Charts are drawn for light pages; on dark ones they are inverted, which the rotation keeps from changing hues."""

_MEANS: Final = (
    ("mean_departure_delay_min", "departure", _ORANGE),
    ("mean_arrival_delay_min", "arrival", _BLUE),
)


def delay_chart(
    months: pd.DataFrame, hours: pd.DataFrame, carriers: pd.DataFrame, conditions: pd.DataFrame, title: str
) -> str:
    """Draw the delays by month, hour, carrier and weather.

    Args:
        months: as `flights_tables.delays_by` gives it for "month".
        hours: as for "hour".
        carriers: as `flights_tables.carrier_delays` gives it.
        conditions: as for "condition".
        title: of the page.

    Returns:
        A complete HTML document of about 1.3 MB, to be written to a file or shown in a frame: as many panels side by
        side as there is room for. Its element ids are drawn afresh each time, so that two charts can stand on one page.
    """
    panels = [
        _lines(months, "month", "Mean delay by month"),
        _lines(hours, "hour", "Mean delay by hour of departure"),
        _carrier_bars(carriers),
        _condition_bars(conditions),
    ]
    return file_html(panels, INLINE, title=title, template=_LOOK)


def _lines(table: pd.DataFrame, by: str, title: str) -> figure:
    label = {"month": "month", "hour": "scheduled hour, local time"}[by]
    chart = _figure(title, by, x_label=label, y_label="minutes")
    source = ColumnDataSource(_plain(table))
    for column, name, colour in _MEANS:
        chart.line(by, column, source=source, legend_label=name, line_color=colour, line_width=2)
        chart.scatter(by, column, source=source, legend_label=name, color=colour, size=7)
    chart.legend.location = "top_left"
    return chart


def _carrier_bars(table: pd.DataFrame) -> figure:
    # The first factor stands at the bottom; the worst carrier, first in the table, belongs on top.
    names = FactorRange(factors=list(table["airline"])[::-1])
    chart = _figure("Mean arrival delay by carrier", "airline", x_label="minutes", y_range=names)
    chart.hbar(y="airline", right="mean_arrival_delay_min", height=0.7, source=_plain(table), color=_BLUE)
    return chart


def _condition_bars(table: pd.DataFrame) -> figure:
    chart = _figure(
        "Late arrivals by weather at departure",
        "condition",
        y_label=f"share more than {LATE_AFTER_MIN} min late",
        x_range=FactorRange(factors=list(table["condition"])),
        y_range=DataRange1d(start=0),
    )
    chart.vbar(x="condition", top="share_late", width=0.7, source=_plain(table), color=_BLUE)
    return chart


def _figure(
    title: str,
    by: str,
    *,
    x_label: str = "",
    y_label: str = "",
    x_range: Range | None = None,
    y_range: Range | None = None,
) -> figure:
    return figure(
        title=title,
        x_axis_label=x_label,
        y_axis_label=y_label,
        x_range=x_range or DataRange1d(),
        y_range=y_range or DataRange1d(),
        height=_HEIGHT_PX,
        sizing_mode="stretch_width",
        tools="hover",
        toolbar_location=None,
        tooltips=_tooltips(by),
    )


def _tooltips(by: str) -> list[tuple[str, str]]:
    return [
        (by, f"@{by}"),
        ("flights", "@flights{0,0}"),
        ("mean departure delay", "@mean_departure_delay_min{0.0} min"),
        ("mean arrival delay", "@mean_arrival_delay_min{0.0} min"),
        ("late", "@share_late{0.0 %}"),
        ("cancelled", "@share_cancelled{0.0 %}"),
    ]


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    # Bokeh knows NaN, but not pandas' own missing integers.
    return table.astype({name: "float64" for name, kind in table.dtypes.items() if str(kind) == "Int64"})
