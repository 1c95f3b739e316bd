"""What a command writes to: people read tables on standard output, programs one JSON document; errors go to standard error.

Where no terminal reads, lines are not cut and hold no control characters. Refuses: asking questions.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from wfplatform.cli.words import printable
from wfplatform.errors import WfError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

__all__ = ["STYLE", "Screen", "table"]

UNCUT_WIDTH: Final = 10_000
"""Where no terminal says how wide it is, nothing is wrapped: such lines are searched, not looked at."""

STYLE: Final[Mapping[str, str]] = {
    "pending": "dim",
    "running": "cyan",
    "waiting": "yellow",
    "completed": "green",
    "failed": "bold red",
    "cancelled": "magenta",
    "skipped": "dim",
    "starting": "yellow",
    "backoff": "bold red",
    "stopping": "yellow",
    "stopped": "dim",
}
"""State -> how it looks."""


class Screen:
    """Where one command writes.

    Args:
        as_json: one JSON document instead of text.
        debug: tracebacks of errors are shown.
    """

    def __init__(self, *, as_json: bool = False, debug: bool = False) -> None:
        self.as_json: Final = as_json
        self.debug: Final = debug

    @cached_property
    def out(self) -> Console:
        """Standard output."""
        return _console(stderr=False)

    @cached_property
    def err(self) -> Console:
        """Standard error: errors, and what moves while something runs."""
        return _console(stderr=True)

    @property
    def is_live(self) -> bool:
        """Whether somebody watches who can be shown something that moves."""
        return self.err.is_terminal and not self.err.is_dumb_terminal

    def say(self, *parts: RenderableType) -> None:
        """Text for a person; nothing where a program reads."""
        if not self.as_json:
            for part in parts or ("",):
                # Values are never taken for markup: a list `[1]` would vanish.
                self.out.print(part, markup=False, highlight=False, soft_wrap=isinstance(part, str))

    def note(self, text: str) -> None:
        """A remark beside the result, for whoever watches."""
        self.err.print(text, markup=False, highlight=False, style="dim", soft_wrap=True)

    def document(self, document: Any) -> None:
        """The JSON document; nothing where a person reads."""
        if self.as_json:
            # Where the stream has not all letters, JSON has its own escapes.
            plain = "utf" not in (sys.stdout.encoding or "").lower()
            sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=plain, allow_nan=False) + "\n")
            sys.stdout.flush()

    def error(self, error: WfError, *, cause: BaseException | None = None) -> None:
        """An error with what can be done about it; for programs as a document too.

        Args:
            error: what to say.
            cause: what happened, where that is another exception; its traceback is shown under --debug.
        """
        self.err.print(printable(error.message), style="red", markup=False, highlight=False, soft_wrap=True)
        if error.hint:
            self.err.print(printable(error.hint), markup=False, highlight=False, soft_wrap=True)
        if self.debug:
            sys.stderr.write("".join(traceback.format_exception(cause or error)))
        self.error_document(error.code, error.message, error.hint)

    def error_document(self, code: str, message: str, hint: str) -> None:
        """An error as a program gets it; nothing where a person reads."""
        self.document({"error": {"code": code, "message": message, "hint": hint}})


def table(
    columns: Iterable[str], rows: Iterable[Sequence[Any]], *, right: Iterable[str] = (), title: str = ""
) -> Table:
    """A table without a frame.

    Args:
        columns: their heads.
        rows: cells: text, or anything rich can draw.
        right: heads of columns with numbers.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    numbers = set(right)
    made = Table(
        box=box.SIMPLE_HEAD, title=title or None, title_justify="left", title_style="bold", pad_edge=False,
        show_edge=False,
    )  # fmt: skip
    for head in columns:
        made.add_column(Text(head), justify="right" if head in numbers else "left", overflow="fold")
    for row in rows:
        made.add_row(*[Text(printable(cell)) if isinstance(cell, str) else cell for cell in row])
    return made


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or os.environ.get("COLUMNS", "").isdigit() else UNCUT_WIDTH
    # Text that names colours or moves the cursor has no place where no terminal reads, whatever the environment forces.
    return Console(stderr=stderr, width=width, force_terminal=None if stream.isatty() else False, emoji=False)
