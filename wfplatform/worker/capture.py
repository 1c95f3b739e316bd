"""What user code prints, logs and warns, kept per attempt.

`sys.stdout`, the root logger and `warnings` are hooked once per process; a ContextVar says whose output it is, so that nodes that
run at the same moment do not mix. Output of anybody else passes through untouched.
"""

from __future__ import annotations

import io
import logging
import sys
import warnings
from contextvars import ContextVar
from time import time
from typing import Any, Final, TextIO

__all__ = ["CURRENT_LOG", "MAX_LINES", "MAX_LINE_CHARS", "NodeLog", "install", "uninstall"]

MAX_LINE_CHARS: Final = 16_384
MAX_LINES: Final = 10_000

CURRENT_LOG: ContextVar[NodeLog | None] = ContextVar("wfplatform_node_log", default=None)


class NodeLog:
    """The lines of one attempt: (seconds since 1970, level, logger, message)."""

    __slots__ = ("dropped", "lines", "partial", "sent")

    def __init__(self) -> None:
        self.lines: list[tuple[float, int, str, str]] = []
        self.partial: dict[str, str] | None = None
        self.dropped = 0
        self.sent = 0

    def add(self, level: int, logger: str, message: str) -> None:
        """One line; cut when it is too long, counted only when there are too many."""
        if len(self.lines) >= MAX_LINES:
            self.dropped += 1
            return
        if len(message) > MAX_LINE_CHARS:
            message = f"{message[:MAX_LINE_CHARS]} ... ({len(message)} characters, cut)"
        self.lines.append((time(), level, logger, message))

    def write(self, stream: str, text: str) -> None:
        """Printed text, split into lines."""
        if self.partial is None:
            self.partial = {}
        *lines, rest = (self.partial.get(stream, "") + text).split("\n")
        self.partial[stream] = rest
        for line in lines:
            self.add(logging.INFO, stream, line)

    def finish(self) -> None:
        """Keep a last line that has no end, and say how many were dropped."""
        if self.partial:
            for stream, rest in self.partial.items():
                if rest:
                    self.add(logging.INFO, stream, rest)
            self.partial = None
        if self.dropped:
            note = f"{self.dropped} more lines were not kept: a node keeps {MAX_LINES}."
            self.lines.append((time(), logging.WARNING, "wfplatform", note))
            self.dropped = 0


class _Tee(io.TextIOBase):
    """A standard stream that gives an attempt's text to its log."""

    def __init__(self, name: str, behind: TextIO) -> None:
        self.label = name
        self.behind = behind

    def write(self, text: str, /) -> int:
        log = CURRENT_LOG.get()
        if log is None:
            return self.behind.write(text)
        log.write(self.label, text)
        return len(text)

    def flush(self) -> None:
        if CURRENT_LOG.get() is None:
            self.behind.flush()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.behind.fileno()

    def isatty(self) -> bool:
        return False

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.behind.encoding


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        log = CURRENT_LOG.get()
        if log is None:
            return
        try:
            message = record.getMessage()
            if record.exc_info:
                message = f"{message}\n{logging.Formatter().formatException(record.exc_info)}"
        except (TypeError, ValueError) as error:
            message = f"{record.msg!r} (its arguments do not fit: {error})"
        log.add(record.levelno, record.name, message)


def install() -> dict[str, Any]:
    """Hook the process; returns what `uninstall` needs."""
    root = logging.getLogger()
    handler = _Handler()
    before = {
        "stdout": sys.stdout,
        "stderr": sys.stderr,
        "showwarning": warnings.showwarning,
        "filters": list(warnings.filters),
        "handler": handler,
        "level": root.level,
    }
    sys.stdout = _Tee("stdout", sys.stdout)
    sys.stderr = _Tee("stderr", sys.stderr)
    root.addHandler(handler)
    if root.level > logging.INFO or root.level == logging.NOTSET:
        root.setLevel(logging.INFO)
    show = warnings.showwarning

    def showwarning(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        log = CURRENT_LOG.get()
        if log is None or file is not None:
            show(message, category, filename, lineno, file, line)
        else:
            log.add(logging.WARNING, "warnings", f"{category.__name__}: {message} ({filename}:{lineno})")

    warnings.showwarning = showwarning
    # Last of the filters: what Python would show once a process is shown to every node that causes it.
    warnings.simplefilter("always", append=True)
    return before


def uninstall(before: dict[str, Any]) -> None:
    """Undo `install`."""
    sys.stdout, sys.stderr = before["stdout"], before["stderr"]
    warnings.showwarning = before["showwarning"]
    warnings.filters[:] = before["filters"]  # type: ignore[index]
    root = logging.getLogger()
    root.removeHandler(before["handler"])
    root.setLevel(before["level"])
