"""How things are said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from wfplatform.cli import words

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "-"),
        (0.0, "0 ms"),
        (0.000123, "0.12 ms"),
        (0.0842, "84 ms"),
        (0.9996, "1.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3720, "1 h 02 min"),
        (3 * 86_400 + 4 * 3600 + 59, "3 d 4 h"),
    ],
)
def test_a_duration_has_the_unit_that_fits(seconds: float | None, said: str) -> None:
    assert words.duration(seconds) == said


@pytest.mark.parametrize(
    ("size_bytes", "said"),
    [(None, "-"), (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 * 2**20, "5.0 MiB"), (2**50, "1024.0 TiB")],
)
def test_a_size_has_the_unit_that_fits(size_bytes: int | None, said: str) -> None:
    assert words.size(size_bytes) == said


def test_a_span_that_has_not_ended_goes_up_to_now() -> None:
    began = NOW - timedelta(seconds=5)
    assert words.span_s(began, None, NOW) == 5
    assert words.span_s(began, began + timedelta(seconds=1), NOW) == 1
    assert words.span_s(None, None, NOW) is None
    assert words.span_s(began, None) is None


def test_an_instant_of_another_day_has_its_date() -> None:
    assert len(words.instant(NOW, now=NOW)) == len("12:00:00")
    assert words.instant(NOW - timedelta(days=400), now=NOW).startswith("2025-01-2")
    assert words.instant(None) == "-"


def test_due_is_told_from_now() -> None:
    assert words.due(NOW + timedelta(seconds=12), NOW) == "in 12.0 s"
    assert words.due(NOW - timedelta(seconds=1), NOW) == "now"
    assert words.due(None, NOW) == ""


def test_places() -> None:
    assert words.place("load", ()) == "load"
    assert words.place("pair", (2, 0)) == "pair[2, 0]"


def test_what_a_program_wrote_cannot_steer_the_terminal() -> None:
    assert words.printable("a\x1b[31mred\x1b[0m\x07\tb\nc\r\nd") == "ared\tb\nc\nd"
    assert words.printable("\x1b]0;title\x07é") == "]0;titleé"


def test_short_ids_tell_executions_apart() -> None:
    first = UUID("01a2088c-11db-7792-8c49-e5a8341811d0")
    later = UUID("01a2088d-11db-7792-8c49-e5a8341811d0")
    near = UUID("01a2088c-11db-7792-8c49-e5a8341811d1")
    assert words.short_ids([first, later]) == {first: "01a2088c-11db", later: "01a2088d-11db"}
    assert words.short_ids([first, near]) == {first: str(first), near: str(near)}
    assert words.short_ids([]) == {}


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://ann:secret@db:5432/x", "postgresql://ann:***@db:5432/x"),
        ("postgresql://wfplatform@/x?host=%2Frun&port=1", "postgresql://wfplatform@/x?host=%2Frun&port=1"),
        ("postgresql://db/x?user=ann&password=secret&port=1", "postgresql://db/x?user=ann&password=***&port=1"),
        ("host=db password=secret dbname=x", "host=db password=*** dbname=x"),
    ],
)
def test_a_password_is_never_shown(address: str, shown: str) -> None:
    assert words.masked(address) == shown


def test_a_file_url_is_shown_as_a_path() -> None:
    assert words.plain_place("file:///data/my%20home/artifacts") == "/data/my home/artifacts"
    assert words.plain_place("s3://bucket/x") == "s3://bucket/x"
