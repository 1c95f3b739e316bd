"""Lengths of results that later nodes are mapped over. Refuses nothing: what is no list has no length, and those nodes say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from wfplatform.authoring.call import follow, items_of
from wfplatform.core.execution import Element
from wfplatform.core.graph import OutputRef, size_key, size_within
from wfplatform.errors import NodeError

__all__ = ["lengths"]


def lengths(
    node: str, refs: Sequence[OutputRef], levels: Mapping[str, int], value: Any, several: bool
) -> dict[str, int] | None:
    """Lengths by the names under which they are recorded (`size_key`, `size_within`).

    Args:
        node: whose result it is, for messages.
        refs: the outputs, or parts of them, that later nodes are mapped over.
        levels: name -> how many levels of lengths are wanted.
        value: the result; by port if there are several.

    Returns:
        the lengths of those that are lists; None if none is wanted.
    """
    if not refs:
        return None
    found: dict[str, int] = {}
    for ref in refs:
        key = size_key(ref)
        with suppress(NodeError):
            part = follow(value[ref.port] if several else value, ref.path, f"`{node}`")
            _measure(found, key, part, levels[key], ())
    return found


def _measure(found: dict[str, int], key: str, value: Any, levels: int, indices: Element) -> None:
    items = items_of(value, key)
    found[size_within(key, indices)] = len(items)
    if levels > 1:
        for index, item in enumerate(items):
            with suppress(NodeError):
                _measure(found, key, item, levels - 1, (*indices, index))
