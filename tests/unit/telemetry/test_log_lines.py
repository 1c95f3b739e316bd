"""A line of a log says all that was given with it."""

from __future__ import annotations

import logging

from wfplatform.telemetry.log_lines import FieldFormatter


def line(**more: object) -> str:
    record = logging.makeLogRecord({"msg": "segment lost", "levelname": "INFO", "name": "wfplatform.engine", **more})
    return FieldFormatter("%(levelname)s %(name)s: %(message)s").format(record)


def test_fields_stand_behind_the_message() -> None:
    assert line(worker="tcp://w", count=2) == "INFO wfplatform.engine: segment lost worker=tcp://w count=2"
    assert line() == "INFO wfplatform.engine: segment lost"


def test_a_traceback_stands_behind_the_fields() -> None:
    error = ValueError("bad")
    first, second = line(count=2, exc_info=(ValueError, error, None)).splitlines()
    assert first == "INFO wfplatform.engine: segment lost count=2"
    assert second == "ValueError: bad"
