"""What a user says about a node, by decorator or at the call, checked where it is said.

Refuses values that do not fit at once, so that the traceback shows the decorator's line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from types import NoneType
from typing import Any, Final, cast

from wfplatform.core.graph import DEFAULT_PORT
from wfplatform.core.policy import MAX_LIMIT, Breaker, Cache, Lane, Limit, OnFailure, OnSkip, OnUnknown, Policy, Retry
from wfplatform.errors import DefinitionError

__all__ = ["NodeDefaults", "NodeOptions", "is_whole", "node_id"]

_WORD: Final = re.compile(r"[^\w-]+")
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def node_id(name: str) -> str:
    """A name as a node id: lower-case words, digits, `_` and `-` (`loadFlights` and `load flights` give
    `load_flights`).

    Raises:
        DefinitionError: nothing of the name is left.
    """
    found = _WORD.sub("_", _HUMP.sub("_", name.strip())).lower()
    if not found.strip("_"):
        raise DefinitionError(
            "node_name",
            f"A node needs a name with letters or digits in it, got {name!r}.",
            "Give name='...'.",
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDefaults:
    """What a workflow says for those of its nodes that say nothing themselves."""

    retry: Retry | None = None
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """What was said about one node; None means nothing was said. The arguments are those of
    `wfplatform.node`.
    """

    name: str | None = None
    outputs: tuple[str, ...] | None = None
    retry: Retry | None = None
    timeout_s: float | None = None
    cache: bool | Cache | None = None
    io: bool | None = None
    resources: Mapping[str, float] | None = None
    priority: int | None = None
    limit: Limit | tuple[str, int] | None = None
    breaker: Breaker | str | None = None
    on_failure: OnFailure | str | None = None
    on_skip: OnSkip | str | None = None
    effect: bool | str | None = None
    undo: Callable[..., Any] | None = None
    cleanup: Callable[..., Any] | None = None
    tags: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        self._check_type("name", str, "text")
        self._check_type("retry", Retry, "a Retry, as in Retry(attempts=3)")
        self._check_type("cache", (bool, Cache), "True, False or a Cache")
        self._check_type("io", bool, "True or False")
        if not (self.effect is None or isinstance(self.effect, bool) or self.effect == "ask"):
            raise _misfit("effect", 'True, False or "ask"', self.effect)
        for option in ("undo", "cleanup"):
            if getattr(self, option) is not None and not callable(getattr(self, option)):
                raise _misfit(option, "a function", getattr(self, option))
        self._check_type("priority", int, "a whole number")
        self._check_type("timeout_s", (int, float), "a number of seconds")
        self._check_type("resources", Mapping, 'a dict of numbers, as in {"GPU": 1}')
        if self.name is not None:
            node_id(self.name)
        for key, amount in (self.resources or {}).items():
            if not _is_amount(amount):
                raise _misfit("resources", "a dict of numbers of 0 or more", {key: amount})
        if not isinstance(self.limit, (Limit, NoneType)):
            if not _is_limit(self.limit):
                raise _misfit("limit", 'a Limit, or a name and a number of 1 or more, as in ("db", 4)', self.limit)
            object.__setattr__(self, "limit", Limit(*self.limit))
        if isinstance(self.breaker, str):
            object.__setattr__(self, "breaker", Breaker(self.breaker))
        self._check_type("breaker", Breaker, 'a Breaker, or the name of what it uses, as in "payments"')
        if self.outputs is not None:
            object.__setattr__(self, "outputs", _names("outputs", self.outputs))
            self._check_outputs()
        if self.tags is not None:
            object.__setattr__(self, "tags", _names("tags", self.tags))
        object.__setattr__(self, "on_failure", _choice("on_failure", OnFailure, self.on_failure))
        object.__setattr__(self, "on_skip", _choice("on_skip", OnSkip, self.on_skip))
        self.policy(NodeDefaults(), is_async=False)  # the limits of times and numbers are the policy's own

    def over(self, other: NodeOptions) -> NodeOptions:
        """These options, and those of `other` where nothing was said."""
        said = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}
        return replace(other, **said)

    def policy(self, defaults: NodeDefaults, *, is_async: bool) -> Policy:
        """The policy of a node with these options in a workflow with these defaults."""
        waits = is_async if self.io is None else self.io
        return Policy(
            retry=self.retry or defaults.retry,
            timeout_s=defaults.timeout_s if self.timeout_s is None else float(self.timeout_s),
            cache=(Cache() if self.cache else None) if isinstance(self.cache, bool) else self.cache,
            lane=Lane.IO if waits else Lane.CPU,
            resources=dict(self.resources or {}),
            priority=self.priority or 0,
            limit=cast(Limit | None, self.limit),
            breaker=cast(Breaker | None, self.breaker),
            on_failure=OnFailure(self.on_failure or OnFailure.SKIP),
            on_skip=OnSkip(self.on_skip or OnSkip.SKIP),
            # What is to be taken back acts on the world: it has to be certain what of it began.
            effect=bool(self.undo or self.cleanup) if self.effect is None else bool(self.effect),
            on_unknown=OnUnknown.ASK if self.effect == "ask" else OnUnknown.RERUN,
            tags=self.tags or (),
        )

    @property
    def ports(self) -> tuple[str, ...]:
        """The names of the output ports."""
        return self.outputs or (DEFAULT_PORT,)

    def _check_type(self, option: str, kinds: Any, expected: str) -> None:
        value = getattr(self, option)
        if value is None:
            return
        is_stray_bool = isinstance(value, bool) and option in ("priority", "timeout_s")
        if is_stray_bool or not isinstance(value, kinds):
            raise _misfit(option, expected, value)

    def _check_outputs(self) -> None:
        names = self.outputs or ()
        bad = [name for name in names if not name.isidentifier() or name.startswith("_")]
        if not names or bad or len(set(names)) < len(names):
            raise _misfit("outputs", "different names that can stand after a dot, without a leading _", names)


def _misfit(option: str, expected: str, got: object) -> DefinitionError:
    return DefinitionError(
        "node_option",
        f"The option `{option}` expects {expected}; got {got!r} ({type(got).__name__}).",
        option=option,
    )


def is_whole(value: object, low: int, high: int) -> bool:
    """Whether a value is a whole number within bounds; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_limit(value: object) -> bool:
    match value:
        case (str() as name, int() as count):
            return bool(name) and is_whole(count, 1, MAX_LIMIT)
        case _:
            return False


def _is_amount(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0


def _names(option: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, (tuple, list)) or not all(isinstance(v, str) for v in value):
        raise _misfit(option, 'a tuple of names, as in ("a", "b")', value)
    return tuple(value)


def _choice[E: StrEnum](option: str, kind: type[E], value: str | None) -> E | None:
    if value is None:
        return None
    try:
        return kind(value)
    except ValueError:
        raise _misfit(option, " or ".join(repr(str(member)) for member in kind), value) from None
