"""What user code prints, logs and warns, kept per attempt.

`sys.stdout`, the root logger and `warnings` are hooked once per process; a ContextVar says whose output it is, so that nodes that
run at the same moment do not mix. Output of anybody else passes through untouched.
"""

from __future__ import annotations

import io
import logging
import sys
import warnings
from collections.abc import Buffer, Callable
from contextvars import ContextVar
from time import time
from typing import Final, TextIO

from wfplatform.worker.trail import format_error

__all__ = ["CURRENT_LOG", "MAX_LINES", "MAX_LINE_CHARS", "Hooks", "NodeLog", "install", "uninstall"]

MAX_LINE_CHARS: Final = 16_384
MAX_LINES: Final = 10_000
MAX_PIECES: Final = MAX_LINE_CHARS
"""Of one line that is printed piece by piece."""

_OF_THE_PROCESS: Final = ("wfplatform", "distributed", "dask", "tornado", "asyncio")
"""Loggers whose threads are not a node's."""

CURRENT_LOG: ContextVar[NodeLog | None] = ContextVar("wfplatform_node_log", default=None)


class NodeLog:
    """The lines of one attempt: (seconds since 1970, level, logger, message).

    `users_file`: the name of a file in this process -> its name where the user wrote it.
    """

    __slots__ = ("dropped", "lines", "partial", "sent", "users_file")

    def __init__(self) -> None:
        self.lines: list[tuple[float, int, str, str]] = []
        self.partial: dict[str, list[str]] | None = None
        self.dropped = 0
        self.sent = 0
        self.users_file: Callable[[str], str] = str

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
        *lines, rest = text.split("\n")
        begun = self.partial.setdefault(stream, [])
        for line in lines:
            begun.append(line)
            self.add(logging.INFO, stream, "".join(begun))
            begun.clear()
        # Of a line that never ends, no more is gathered than is kept.
        if rest and len(begun) <= MAX_PIECES:
            begun.append(rest[: MAX_LINE_CHARS + 1])

    def finish(self) -> None:
        """Keep a last line that has no end, and say how many were dropped."""
        if self.partial:
            for stream, begun in self.partial.items():
                if begun:
                    self.add(logging.INFO, stream, "".join(begun))
            self.partial = None
        if self.dropped:
            note = f"{self.dropped} more lines were not kept: a node keeps {MAX_LINES}."
            self.lines.append((time(), logging.WARNING, "wfplatform", note))
            self.dropped = 0


class _Owner:
    """Whose the output of a thread is that a node started: of the one node that runs, if only one does."""

    def __init__(self) -> None:
        self.sole: Callable[[], NodeLog | None] = lambda: None


class _Tee(io.TextIOBase):
    """A standard stream that gives an attempt's text to its log. It belongs to the process: no node can close it."""

    def __init__(self, name: str, behind: TextIO, owner: _Owner) -> None:
        self.label = name
        self.behind = behind
        self._owner = owner
        self.buffer = _Bytes(self)

    def write(self, text: str, /) -> int:
        log = CURRENT_LOG.get() or self._owner.sole()
        if log is not None:
            log.write(self.label, text)
            return len(text)
        try:
            return self.behind.write(text)
        except (ValueError, OSError):  # closed, or its reader is gone: what nobody can read is no reason to fail
            return len(text)

    def flush(self) -> None:
        if CURRENT_LOG.get() is None and not self.behind.closed:
            self.behind.flush()

    def close(self) -> None:
        self.flush()

    def reconfigure(self, **_: object) -> None:
        """Lines are kept as text, whatever their encoding was to be."""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.behind.fileno()

    def isatty(self) -> bool:
        return False

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.behind.encoding


class _Bytes(io.RawIOBase):
    """`sys.stdout.buffer`: bytes that are text."""

    def __init__(self, tee: _Tee) -> None:
        self._tee = tee

    def write(self, content: Buffer, /) -> int:
        found = bytes(content)
        self._tee.write(found.decode("utf-8", "replace"))
        return len(found)

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        """As little as the stream whose bytes it takes."""


class _Handler(logging.Handler):
    def __init__(self, owner: _Owner) -> None:
        super().__init__()
        self._owner = owner

    def emit(self, record: logging.LogRecord) -> None:
        log = CURRENT_LOG.get()
        if log is None and not record.name.startswith(_OF_THE_PROCESS):
            log = self._owner.sole()
        if log is None:
            return
        try:
            message = record.getMessage()
            if record.exc_info and record.exc_info[1] is not None:
                message = f"{message}\n{format_error(record.exc_info[1], log.users_file).rstrip()}"
        except Exception as error:  # noqa: BLE001 - whatever the `__str__` of a user's object raises: logging never fails a node
            shown = repr(record.msg) if isinstance(record.msg, str) else f"a {type(record.msg).__name__}"
            message = f"{shown} (its text or its arguments do not fit: {type(error).__name__})"
        log.add(record.levelno, record.name, message)


class Hooks:
    """What is hooked in this process, and what stood there before. Made by `install`."""

    def __init__(self) -> None:
        root = logging.getLogger()
        self.owner: Final = _Owner()
        self.handler: Final = _Handler(self.owner)
        self._streams: Final = {"stdout": sys.stdout, "stderr": sys.stderr}
        self._tees: Final = {name: _Tee(name, stream, self.owner) for name, stream in self._streams.items()}
        self._show: Final = warnings.showwarning
        self._filters: Final = list(warnings.filters)
        self._level: Final = root.level

    def install(self) -> None:
        """Hook the process."""
        root = logging.getLogger()
        for name, tee in self._tees.items():
            setattr(sys, name, tee)
        root.addHandler(self.handler)
        if root.level > logging.INFO or root.level == logging.NOTSET:
            root.setLevel(logging.INFO)
        warnings.showwarning = self._showwarning
        # Last of the filters: what Python would show once a process is shown to every node that causes it.
        warnings.simplefilter("always", append=True)

    def mend(self, *, alone: bool) -> None:
        """Put the streams back where a node that has ended left others in their place.

        Args:
            alone: no node runs in this process. Else only a closed stream is replaced: of an open one, a node may be
                gathering what it prints.
        """
        for name, tee in self._tees.items():
            stream = getattr(sys, name)
            if stream is not tee and (alone or getattr(stream, "closed", True)):
                setattr(sys, name, tee)

    def uninstall(self) -> None:
        """Put everything back."""
        for name, stream in self._streams.items():
            setattr(sys, name, stream)
        warnings.showwarning = self._show
        warnings.filters[:] = self._filters  # type: ignore[index]
        root = logging.getLogger()
        root.removeHandler(self.handler)
        root.setLevel(self._level)

    def _showwarning(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        log = CURRENT_LOG.get()
        if log is None or file is not None:
            self._show(message, category, filename, lineno, file, line)
        else:
            place = f"{log.users_file(filename)}:{lineno}"
            log.add(logging.WARNING, "warnings", f"{category.__name__}: {message} ({place})")


def install() -> Hooks:
    """Hook the process; returns what `uninstall` needs."""
    hooks = Hooks()
    hooks.install()
    return hooks


def uninstall(hooks: Hooks) -> None:
    """Undo `install`."""
    hooks.uninstall()
