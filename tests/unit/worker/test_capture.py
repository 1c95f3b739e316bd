"""What a node prints, logs and warns is its own, and cut where there is too much of it."""

from __future__ import annotations

import gc
import io
import logging
import sys
import threading
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
    hooks.handler.emit(logging.LogRecord("mine", 20, "", 1, "does not %d fit", ("text",), None))
    CURRENT_LOG.reset(token)
    capture.uninstall(hooks)
    assert lines(log)[0][2] == "'does not %d fit' (its text or its arguments do not fit: TypeError)"


class Mute:
    def __str__(self) -> str:
        raise RuntimeError("not now")


def test_logging_what_has_no_text_fails_nobody() -> None:
    hooks, log = capture.install(), NodeLog()
    token = CURRENT_LOG.set(log)
    for message, arguments in (("%s", (Mute(),)), (Mute(), ())):
        hooks.handler.emit(logging.LogRecord("mine", 20, "", 1, message, arguments, None))
    CURRENT_LOG.reset(token)
    capture.uninstall(hooks)
    assert [message for _, _, message in lines(log)] == [
        "'%s' (its text or its arguments do not fit: RuntimeError)",
        "a Mute (its text or its arguments do not fit: RuntimeError)",
    ]


def test_a_line_that_is_printed_in_pieces_is_gathered_once_and_no_further_than_it_is_kept() -> None:
    log = NodeLog()
    for _ in range(200_000):
        log.write("stdout", "ab")
    log.write("stdout", "\nnext")
    log.finish()
    first, second = (message for _, _, message in lines(log))
    assert first.startswith("abab")
    assert len(first) < capture.MAX_LINE_CHARS + 100
    assert second == "next"


def test_threads_of_the_only_node_that_runs_print_into_its_log() -> None:
    hooks, log = capture.install(), NodeLog()
    try:
        hooks.owner.sole = lambda: log
        threads = [
            threading.Thread(target=print, args=("from a thread",)),
            threading.Thread(target=lambda: logging.getLogger("mine").info("logged there")),
            threading.Thread(target=lambda: logging.getLogger("distributed.worker").info("not of a node")),
        ]
        for thread in threads:
            thread.start()
            thread.join()
    finally:
        capture.uninstall(hooks)
    assert [message for _, _, message in lines(log)] == ["from a thread", "logged there"]


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


def test_the_bytes_of_a_stream_are_text_too() -> None:
    with captured() as log:
        sys.stdout.buffer.write("gr\u00fcn\n".encode())
        sys.stdout.reconfigure(encoding="latin-1")  # type: ignore[union-attr]
        print("flushed", flush=True)
    assert [message for _, _, message in lines(log)] == ["gr\u00fcn", "flushed"]


def test_a_stream_that_user_code_closes_stays_open() -> None:
    with captured() as log:
        sys.stdout.close()
        sys.stdout.buffer.close()
        print("still here")
        assert not sys.stdout.closed
    assert lines(log) == [(20, "stdout", "still here")]


def test_what_lies_behind_may_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    behind = io.StringIO()
    monkeypatch.setattr(sys, "stdout", behind)
    hooks = capture.install()
    kept = logging.StreamHandler(sys.stdout)
    behind.close()
    print("of nobody", flush=True)
    log = NodeLog()
    token = CURRENT_LOG.set(log)
    print("of a node", flush=True)
    kept.emit(logging.LogRecord("mine", 20, "", 1, "by a handler that was kept", (), None))
    CURRENT_LOG.reset(token)
    capture.uninstall(hooks)
    kept.emit(logging.LogRecord("mine", 20, "", 1, "and after the end", (), None))
    del hooks, kept
    gc.collect()  # warnings are errors: the stream is dropped without one
    assert [message for _, _, message in lines(log)] == ["of a node", "by a handler that was kept"]


def test_streams_that_a_node_left_behind_are_put_back() -> None:
    hooks = capture.install()
    ours = sys.stdout
    left = io.StringIO()
    sys.stdout = left
    hooks.mend(alone=False)
    assert sys.stdout is left, "another node may be gathering what it prints"
    hooks.mend(alone=True)
    assert sys.stdout is ours
    sys.stderr = left
    left.close()
    hooks.mend(alone=False)
    assert not sys.stderr.closed
    capture.uninstall(hooks)


def test_files_have_the_names_their_user_knows() -> None:
    def users_file(file: str) -> str:
        return "/there.py" if file == __file__ else file

    with captured() as log:
        log.users_file = users_file
        warnings.showwarning("old", UserWarning, __file__, 3)
        try:
            raise ValueError("no")
        except ValueError:
            logging.getLogger("mine").exception("failed")
        nothing = (None, None, None)
        logging.getLogger("mine").handle(logging.LogRecord("mine", 40, "", 1, "nothing was raised", (), nothing))
    assert lines(log)[0][2] == "UserWarning: old (/there.py:3)"
    assert 'File "/there.py", line' in lines(log)[1][2]
    assert lines(log)[2][2] == "nothing was raised"
