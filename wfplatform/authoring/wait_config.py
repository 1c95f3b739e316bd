"""The configuration of nodes that wait for what somebody brings: what it may say, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from math import isfinite
from typing import Final

from wfplatform.core.graph import Json, Node, NodeKind
from wfplatform.errors import DefinitionError

__all__ = ["ON_REJECT", "WAIT_PORTS", "is_text", "timing", "wait_problems"]

_ON_TIMEOUT: Final[Mapping[str, tuple[str, ...]]] = {
    NodeKind.EVENT: ("fail", "continue"),
    NodeKind.APPROVAL: ("fail", "approve", "reject"),
}
WAIT_PORTS: Final[Mapping[str, tuple[str, ...]]] = {
    NodeKind.DELAY: ("seconds", "until", "value"),
    NodeKind.EVENT: ("match",),
    NodeKind.APPROVAL: ("details",),
}
ON_REJECT: Final = ("fail", "continue")


def wait_problems(node: Node) -> Iterator[tuple[str, str]]:
    """What is wrong with the configuration of a node that waits: (where in it, message) each."""
    config = node.config
    if node.type == NodeKind.DELAY:
        said = [name for name in ("seconds", "until") if name in node.inputs or name in config]
        if len(said) != 1:
            yield "", f"Expected either `seconds` or `until`, got {' and '.join(said) or 'neither'}."
        return
    needed = "event" if node.type == NodeKind.EVENT else "title"
    if not isinstance(config.get(needed), str) or not config[needed]:
        yield needed, f"A node of type {node.type!r} needs `{needed}` in its configuration, got {config.get(needed)!r}."
    timeout_s = config.get("timeout_s")
    if timeout_s is not None and not _is_duration(timeout_s):
        yield "timeout_s", f"Expected seconds above 0, got {timeout_s!r}."
    choices = {"on_timeout": _ON_TIMEOUT[node.type]} | (
        {"on_reject": ON_REJECT} if node.type == NodeKind.APPROVAL else {}
    )
    for name, known in choices.items():
        if config.get(name, known[0]) not in known:
            yield name, f"Expected one of {', '.join(known)}, got {config[name]!r}."
    if node.type == NodeKind.APPROVAL:
        names = config.get("assignees") or []
        if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
            yield "assignees", f"Expected a list of names, got {names!r}."
        if not isinstance(config.get("form"), dict | None):
            yield "form", f"Expected a JSON Schema or null, got {config['form']!r}."


def timing(kind: str, call: str, timeout_s: float | timedelta | None, on_timeout: str) -> dict[str, Json]:
    """When a wait is over, and what happens then, as configuration.

    Raises:
        DefinitionError: it does not fit.
    """
    if on_timeout not in _ON_TIMEOUT[kind]:
        known = ", ".join(_ON_TIMEOUT[kind])
        raise DefinitionError("on_timeout", f"{call}(...): `on_timeout` expects one of {known}, got {on_timeout!r}.")
    seconds = timeout_s.total_seconds() if isinstance(timeout_s, timedelta) else timeout_s
    if seconds is not None and not _is_duration(seconds):
        raise DefinitionError(
            "wait_timeout", f"{call}(...): `timeout_s` expects seconds above 0, or a timedelta; got {timeout_s!r}."
        )
    return {"on_timeout": on_timeout} | ({} if seconds is None else {"timeout_s": seconds})


def is_text(value: object) -> bool:
    """Whether it is text that says something."""
    return isinstance(value, str) and bool(value.strip())


def _is_duration(seconds: object) -> bool:
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    return is_number and isfinite(seconds) and 0 < seconds < 1e10  # type: ignore[arg-type, operator]
