"""Opening recorded outputs that are put together from others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from wfplatform.authoring.call import follow
from wfplatform.core.graph import PathStep

__all__ = ["open_output"]


def open_output(output: Mapping[str, Any], load: Callable[[Mapping[str, Any]], Any]) -> Any:
    """The value of an output.

    Args:
        output: as recorded; of codec `tree`, its items are opened one by one; with a `path`, a part of the value is meant.
        load: opens an output that is no tree.
    """
    value = _put_together(output, load) if output["codec"] == "tree" else load(output)
    path = output.get("path")
    return follow(value, [PathStep(*step) for step in path], "the result") if path else value


def _put_together(output: Mapping[str, Any], load: Callable[[Mapping[str, Any]], Any]) -> Any:
    items = [open_output(item, load) for item in output["items"]]
    match output["kind"]:
        case "dict":
            return dict(zip(output["names"], items, strict=True))
        case "tuple":
            return tuple(items)
        case _:
            return items
