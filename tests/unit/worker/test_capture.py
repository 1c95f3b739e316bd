"""What a node prints, logs and warns is its own, and cut where there is too much of it."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from wfplatform.worker import capture
from wfplatform.worker.capture import CURRENT_LOG, MAX_LINE_CHARS, MAX_LINES, NodeLog


@contextmanager
def captured() -> Iterator[NodeLog]:
    hooks = capture.install()
    made = NodeLog()
    token = CURRENT_LOG.set(made)
    try:
        yield made
    finally:
        CURRENT_LOG.reset(token)
        capture.uninstall(hooks)


def lines(log: NodeLog) -> list[tuple[int, str, str]]:
    return [(level, logger, message) for _, level, logger, message in log.lines]


def test_printed_text_is_split_into_lines() -> None:
    with captured() as log:
        sys.stdout.write("one\ntw")
        sys.stderr.write("other\n")
        sys.stdout.write("o\n\nrest")
    assert lines(log) == [(20, "stdout", "one"), (20, "stderr", "other"), (20, "stdout", "two"), (20, "stdout", "")]
    log.finish()
    assert lines(log)[4:] == [(20, "stdout", "rest")]
    assert log.partial is None


def test_log_records_come_with_their_arguments_and_tracebacks() -> None:
    logger = logging.getLogger("mine")
    with captured() as log:
        logger.info("%d of %s", 1, "many")
        try:
            raise ValueError("no")
        except ValueError:
            logger.exception("failed")
    assert lines(log)[0] == (20, "mine", "1 of many")
    assert lines(log)[1][2].startswith("failed\nTraceback")
    assert lines(log)[1][2].endswith("ValueError: no")


def test_a_record_whose_arguments_do_not_fit_is_kept_as_it_is() -> None:
    hooks = capture.install()
    log = NodeLog()
    token = CURRENT_LOG.set(log)
    hooks["handler"].emit(logging.LogRecord("mine", 20, "", 1, "does not %d fit", ("text",), None))
    CURRENT_LOG.reset(token)
    capture.uninstall(hooks)
    assert lines(log)[0][2].startswith("'does not %d fit' (its arguments do not fit: %d format")


def test_warnings_are_lines() -> None:
    with captured() as log:
        warnings.showwarning("old", FutureWarning, "a.py", 3)
    assert lines(log) == [(logging.WARNING, "warnings", "FutureWarning: old (a.py:3)")]


def test_a_line_and_their_number_are_cut() -> None:
    log = NodeLog()
    log.add(20, "x", "a" * (MAX_LINE_CHARS + 5))
    assert log.lines[0][3] == "a" * MAX_LINE_CHARS + f" ... ({MAX_LINE_CHARS + 5} characters, cut)"
    for _ in range(MAX_LINES + 2):
        log.add(20, "x", "more")
    log.finish()
    assert len(log.lines) == MAX_LINES + 1
    assert log.lines[-1][3] == f"3 more lines were not kept: a node keeps {MAX_LINES}."


def test_output_of_nobody_passes_through(capsys: pytest.CaptureFixture[str]) -> None:
    hooks = capture.install()
    sys.stdout.write("mine\n")
    capture.uninstall(hooks)
    assert capsys.readouterr().out == "mine\n"
    assert sys.stdout is not hooks
