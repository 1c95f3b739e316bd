"""What people are told of an execution, in plain words: what happened, why, how long it took, and how to look at it.

Everything in it may come from strangers. Refuses long texts, and line ends where there is one line only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from wfplatform.nodes.variable import is_control

__all__ = ["bounded", "details", "headline", "one_line"]

_HEADLINE: Final = 200
_ERROR: Final = 1500
_SECONDS: Final = ((86_400, "d"), (3600, "h"), (60, "min"))


def headline(notice: Mapping[str, Any]) -> str:
    """One line: `flights failed`."""
    return one_line(f"{notice['workflow']} {_happened(notice)}", _HEADLINE)


def details(notice: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is worth to be known besides, as pairs of a word and a text; the text of an error may have several lines."""
    found: list[tuple[str, str]] = []
    error = notice.get("error")
    if error:
        place = f" (node {error['node']})" if error.get("node") else ""
        found.append(("Error", bounded(f"{error['type']}: {error['message']}{place}", _ERROR)))
    if notice.get("waiting_for"):
        found.append(("Waits for", one_line(str(notice["waiting_for"]), _HEADLINE)))
    if notice.get("duration_s") is not None:
        word = "Runs for" if notice["occasion"] == "lateness" else "Took"
        found.append((word, _duration(float(notice["duration_s"]))))
    found.append(("Version", str(notice["version"])))
    if notice.get("created_by"):
        found.append(("Asked for by", one_line(str(notice["created_by"]), _HEADLINE)))
    found.append(("Look at it", f"wfp executions show {notice['execution_id']}"))
    return found


def one_line(text: str, most: int) -> str:
    """A text without line ends and other characters that are not seen, cut when it is too long."""
    return bounded(" ".join("".join(" " if is_control(one) else one for one in text).split()), most)


def bounded(text: str, most: int) -> str:
    """A text, cut when it has more than so many characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def _happened(notice: Mapping[str, Any]) -> str:
    match notice["occasion"]:
        case "failure":
            return "failed"
        case "completion":
            return "completed"
        case "cancellation":
            return "was cancelled"
        case _:
            late_after_s = notice.get("late_after_s")
            after = f" after {_duration(float(late_after_s))}" if late_after_s is not None else ""
            return f"is late: {notice['state']}{after}"


def _duration(seconds: float) -> str:
    for unit, word in _SECONDS:
        if seconds >= unit:
            return f"{seconds / unit:.3g} {word}"
    return f"{seconds:.3g} s"
