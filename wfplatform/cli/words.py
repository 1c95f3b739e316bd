"""How the command line says things: states, durations, sizes, instants, places of elements, addresses.

Refuses: deciding anything; every function turns a value into text and knows nothing else.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit
from uuid import UUID

__all__ = [
    "command_name",
    "due",
    "duration",
    "first_line",
    "instant",
    "masked",
    "place",
    "plain_place",
    "printable",
    "short_ids",
    "size",
    "span_s",
    "state_word",
]


def command_name() -> str:
    """What has to be typed for this command: `wfp` if the shell finds it under that name, else the way to it."""
    called = Path(sys.argv[0])
    found = shutil.which("wfp")
    if called.name != "wfp" or (found is not None and Path(found).resolve() == called.resolve()):
        return "wfp"
    here = Path.cwd()
    called = called.absolute()
    return str(called.relative_to(here) if called.is_relative_to(here) else called)


_SHORTEST_ID: Final = 13
"""Digits and dash of the millisecond in which an execution was asked for; fewer would hardly ever be unique."""
_CONTROL: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_PASSWORD: Final = re.compile(r"(?<=://)([^/@\s:]*):[^/@\s]*(?=@)|(?<=\bpassword=)[^\s&]+")


def state_word(state: str) -> str:
    """A state as the wire and the screen say it: `Completed`."""
    return str(state).capitalize()


def duration(seconds: float | None) -> str:
    """A time span: `0.4 ms`, `84 ms`, `3.2 s`, `2 min 05 s`, `1 h 02 min`, `3 d 4 h`; a dash when it is not known."""
    if seconds is None:
        return "-"
    if seconds < 0.001:
        return f"{max(seconds, 0.0) * 1000:.2g} ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def span_s(started_at: datetime | None, finished_at: datetime | None, now: datetime | None = None) -> float | None:
    """Seconds between two instants; up to `now` while the second has not come."""
    end_at = finished_at or now
    return None if started_at is None or end_at is None else max(0.0, (end_at - started_at).total_seconds())


def size(size_bytes: float | None) -> str:
    """A number of bytes: `512 B`, `3.4 KiB`, `1.2 GiB`; a dash when it is not known."""
    if size_bytes is None:
        return "-"
    if size_bytes < 1024:
        return f"{size_bytes:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        size_bytes /= 1024
        if size_bytes < 1023.95:
            return f"{size_bytes:.1f} {unit}"
    return f"{size_bytes / 1024:.1f} TiB"


def instant(at: datetime | None, *, now: datetime | None = None) -> str:
    """An instant in the reader's own time zone; without its date when that is today's."""
    if at is None:
        return "-"
    local, today = at.astimezone(), (now or datetime.now(UTC)).astimezone().date()
    return f"{local:%H:%M:%S}" if local.date() == today else f"{local:%Y-%m-%d %H:%M:%S}"


def due(due_at: datetime | None, now: datetime) -> str:
    """When something goes on: `in 12.0 s`, `now`."""
    if due_at is None:
        return ""
    left_s = (due_at - now) / timedelta(seconds=1)
    return f"in {duration(left_s)}" if left_s > 0 else "now"


def place(node: str, element: Sequence[int]) -> str:
    """A node, or one element of it: `load`, `month[3]`, `pair[2, 0]`."""
    return f"{node}[{', '.join(map(str, element))}]" if element else node


def first_line(text: str, limit: int = 160) -> str:
    """The first line that says anything, shortened."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def printable(text: str) -> str:
    """Text that some program wrote, without anything that would steer a terminal; tabs and line ends stay."""
    return _CONTROL.sub("", text.replace("\r\n", "\n"))


def short_ids(ids: Iterable[UUID]) -> dict[UUID, str]:
    """The shortest beginnings, of one length, by which these executions are told apart."""
    whole = {one: str(one) for one in ids}
    length = next(
        n for n in range(_SHORTEST_ID, 37) if n == 36 or len({text[:n] for text in whole.values()}) == len(whole)
    )
    return {one: text[:length].rstrip("-") for one, text in whole.items()}


def masked(address: str) -> str:
    """A database address without its password."""
    return _PASSWORD.sub(lambda found: f"{found[1]}:***" if found[1] is not None else "***", address)


def plain_place(url: str) -> str:
    """A URL as a path when it is one on this machine."""
    parts = urlsplit(url)
    return unquote(parts.path) if parts.scheme == "file" and parts.netloc in ("", "localhost") else url
