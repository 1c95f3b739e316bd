"""What a node or a workflow is allowed and told to do: retry, timeout, cache, resources, priority.

Values only; nothing here acts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from wfplatform.errors import DefinitionError

__all__ = [
    "ALL_NODES",
    "DEFAULT_TIMEOUT_S",
    "MAX_LATE_AFTER_S",
    "MAX_LIMIT",
    "MAX_TIMEOUT_S",
    "Across",
    "Breaker",
    "Cache",
    "Lane",
    "Limit",
    "OnFailure",
    "OnOpen",
    "OnSkip",
    "OnUnknown",
    "Policy",
    "Retry",
    "WorkflowPolicy",
]

DEFAULT_TIMEOUT_S: Final = 1800.0
MAX_TIMEOUT_S: Final = 86_400.0
MAX_LIMIT: Final = 1_000_000
MAX_LATE_AFTER_S: Final = 366 * 86_400.0
ALL_NODES: Final = "*"
"""Among the names of nodes that are to be computed anew: all of them."""


class Lane(StrEnum):
    """Where a node runs on a worker: alone on its CPU, or beside many others that mostly wait."""

    CPU = "cpu"
    IO = "io"


class OnFailure(StrEnum):
    """What becomes of a node whose input failed."""

    SKIP = "skip"
    FAIL = "fail"


class OnSkip(StrEnum):
    """What becomes of a node whose input was skipped: skipped too, or run with None in its place."""

    SKIP = "skip"
    NONE = "none"


class OnUnknown(StrEnum):
    """What becomes of an effect of which nobody knows whether it happened: run again with the same key, or a person is asked."""

    RERUN = "rerun"
    ASK = "ask"


class OnOpen(StrEnum):
    """What becomes of a node while the circuit breaker of what it uses is open: it waits, or fails at once."""

    WAIT = "wait"
    FAIL = "fail"


class Across(StrEnum):
    """Among which elements a concurrency limit counts: those of one execution, of one workflow, or of all workflows."""

    EXECUTION = "execution"
    WORKFLOW = "workflow"
    ALL = "all"


def _check(condition: bool, code: str, message: str) -> None:
    if not condition:
        raise DefinitionError(code, message)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _word_of[Word: StrEnum](code: str, option: str, kind: type[Word], given: object) -> Word:
    known = ", ".join(map(str, kind))
    _check(given in list(kind), code, f"{option} must be one of {known}, got {given!r}.")
    return kind(str(given))


def _names_of(option: str, given: object) -> tuple[str, ...]:
    """Names of exception classes; the classes themselves, which people write, are taken as well."""
    several = given if isinstance(given, (tuple, list)) else (given,)
    names = tuple(f"{one.__module__}.{one.__qualname__}" if isinstance(one, type) else one for one in several)
    fits = all(isinstance(name, str) and name for name in names)
    _check(fits, "retry_on", f"Retry.{option} must be a tuple of names of exception classes, got {given!r}.")
    return names


def _words_of(option: str, given: object) -> tuple[str, ...]:
    words = tuple(given) if isinstance(given, (tuple, list)) else (given,)
    fits = all(isinstance(word, str) and (word or option == "ignore") for word in words)
    _check(fits, f"cache_{option}", f"Cache.{option} must be a tuple of names, got {given!r}.")
    return words


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often and when to try again.

    Args:
        attempts: tries in all, the first included; at least 1.
        delay_s: seconds before the second try.
        backoff: the factor by which the delay grows from try to try; at least 1.
        jitter: share of the delay by which it is varied at random, 0 to 1.
        max_delay_s: no delay is longer.
        on: names of exception classes (`ValueError`, `requests.ConnectionError`) that are tried again; empty = all.
        never_on: names of exception classes that are not.
    """

    attempts: int = 3
    delay_s: float = 5.0
    backoff: float = 1.0
    jitter: float = 0.0
    max_delay_s: float = 3600.0
    on: tuple[str, ...] = ()
    never_on: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check(self.attempts >= 1, "retry_attempts", f"Retry.attempts must be at least 1, got {self.attempts}.")
        _check(self.delay_s >= 0, "retry_delay", f"Retry.delay_s must not be negative, got {self.delay_s}.")
        _check(self.backoff >= 1, "retry_backoff", f"Retry.backoff must be at least 1, got {self.backoff}.")
        _check(0 <= self.jitter <= 1, "retry_jitter", f"Retry.jitter must be between 0 and 1, got {self.jitter}.")
        object.__setattr__(self, "on", _names_of("on", self.on))
        object.__setattr__(self, "never_on", _names_of("never_on", self.never_on))

    def delay_before_s(self, attempt: int, chance: float) -> float:
        """Seconds to wait before try number `attempt` (2 or more); `chance` in [0, 1) decides the jitter."""
        delay_s = min(self.delay_s * self.backoff ** (attempt - 2), self.max_delay_s)
        return delay_s * (1 + self.jitter * (2 * chance - 1))

    def covers(self, kinds: tuple[str, ...]) -> bool:
        """Whether an exception whose class and base classes have these names is tried again."""
        names = set(kinds) | {kind.rpartition(".")[2] for kind in kinds}
        if names & set(self.never_on):
            return False
        return not self.on or bool(names & set(self.on))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """Whether a result may be reused by later executions.

    Args:
        expires_s: seconds after which a stored result is not used any more; None = never.
        salt: a word for the version of what the node computes: another one, and old results are not found.
        ignore: input ports that are not part of the key.
        packages: distributions whose version is part of the key although the code does not import them.
        variables: environment variables whose value is part of the key.
    """

    expires_s: float | None = None
    salt: str = ""
    ignore: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.expires_s is not None:
            _check(self.expires_s > 0, "cache_expires", f"Cache.expires_s must be above 0, got {self.expires_s}.")
        for option in ("ignore", "packages", "variables"):
            object.__setattr__(self, option, _words_of(option, getattr(self, option)))

    @property
    def environment(self) -> tuple[str, ...]:
        """The names under which the declared environment is written down: packages as they are, variables after a `$`."""
        return (*self.packages, *(f"${name}" for name in self.variables))


@dataclass(frozen=True, slots=True)
class Limit:
    """How many elements may run at once that share something that bears no more of them.

    Args:
        name: of what they share. Nodes that name the same limit wait for each other.
        most: how many may run at once; at least 1. Of a limit across all workflows `wfp limits set` says another number.
        across: among which elements they are counted.
        key: an input port: those with the same value there are counted together, others apart; None = all together.
    """

    name: str
    most: int
    across: Across = Across.EXECUTION
    key: str | None = None

    def __post_init__(self) -> None:
        _check(_is_text(self.name), "limit_name", f"Limit.name must be a text, got {self.name!r}.")
        is_count = _is_count(self.most) and self.most <= MAX_LIMIT
        _check(is_count, "limit_most", f"Limit.most must be a whole number, 1 to {MAX_LIMIT}, got {self.most!r}.")
        object.__setattr__(self, "across", _word_of("limit_across", "Limit.across", Across, self.across))
        is_port = self.key is None or _is_text(self.key)
        _check(is_port, "limit_key", f"Limit.key must be the name of an input, got {self.key!r}.")

    @property
    def group(self) -> str:
        """Which of the limits of one execution this is."""
        return self.name if self.is_own else f"{self.across}:{self.name}:{self.key}"

    @property
    def is_own(self) -> bool:
        """Whether one execution can tell by itself how many of its elements may start."""
        return self.across is Across.EXECUTION and self.key is None


@dataclass(frozen=True, slots=True)
class Breaker:
    """Stops calls of something that fails again and again, until it has had time to recover.

    Closed, all calls pass. When of the last `window_s` seconds there are at least `calls` of them and `failure_share` of these
    failed, it opens: none pass for `open_s` seconds. Then it is half open: one passes, to try; if that completes it closes, else
    it opens again. Source: M. Nygard, Release It!, 2nd edition, 2018, chapter 5.

    Args:
        name: of what is called. All nodes of all workflows that name it share the breaker.
        failure_share: above 0, at most 1.
        calls: fewer than these say nothing; at least 1.
        window_s: seconds, above 0.
        open_s: seconds, above 0.
        on_open: whether nodes wait while it is open, or fail at once.
    """

    name: str
    failure_share: float = 0.5
    calls: int = 10
    window_s: float = 60.0
    open_s: float = 30.0
    on_open: OnOpen = OnOpen.WAIT

    def __post_init__(self) -> None:
        _check(_is_text(self.name), "breaker_name", f"Breaker.name must be a text, got {self.name!r}.")
        is_share = _is_number(self.failure_share) and 0 < self.failure_share <= 1
        expected = "must be above 0 and at most 1"
        _check(is_share, "breaker_share", f"Breaker.failure_share {expected}, got {self.failure_share!r}.")
        expected = "must be a whole number of 1 or more"
        _check(_is_count(self.calls), "breaker_calls", f"Breaker.calls {expected}, got {self.calls!r}.")
        expected = f"must be above 0 s and at most {MAX_TIMEOUT_S:.0f} s"
        for option, seconds in (("window_s", self.window_s), ("open_s", self.open_s)):
            fits = _is_number(seconds) and 0 < seconds <= MAX_TIMEOUT_S
            _check(fits, f"breaker_{option.removesuffix('_s')}", f"Breaker.{option} {expected}, got {seconds!r}.")
            object.__setattr__(self, option, float(seconds))
        object.__setattr__(self, "failure_share", float(self.failure_share))
        object.__setattr__(self, "on_open", _word_of("breaker_on_open", "Breaker.on_open", OnOpen, self.on_open))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What holds for one node.

    Args:
        retry: None = one try only.
        timeout_s: seconds one try may take; None = only the execution's timeout.
        cache: None = always computed.
        lane: the CPU lane runs one node at a time in a worker process; the I/O lane many.
        resources: Dask resources a worker must have.
        priority: larger runs earlier.
        limit: how many may run at once; None = as many as there is room for.
        breaker: what it uses, and when that is left in peace.
        effect: it changes the world outside: never fused; its start is committed before it runs, and its outcome before others
            begin that need it.
        on_unknown: what becomes of an effect that was lost while it ran.
    """

    retry: Retry | None = None
    timeout_s: float | None = None
    cache: Cache | None = None
    lane: Lane = Lane.CPU
    resources: Mapping[str, float] = field(default_factory=dict)
    priority: int = 0
    limit: Limit | None = None
    breaker: Breaker | None = None
    on_failure: OnFailure = OnFailure.SKIP
    on_skip: OnSkip = OnSkip.SKIP
    effect: bool = False
    on_unknown: OnUnknown = OnUnknown.RERUN
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.timeout_s is not None:
            _check(
                0 < self.timeout_s <= MAX_TIMEOUT_S,
                "node_timeout",
                f"timeout_s must be above 0 and at most {MAX_TIMEOUT_S:.0f} s (24 h), got {self.timeout_s}.",
            )

    @property
    def groups(self) -> tuple[str, ...]:
        """Of what only so many elements of one execution are handed out at once: its limit, and its circuit breaker."""
        limit = () if self.limit is None else (self.limit.group,)
        return limit if self.breaker is None else (*limit, f"breaker:{self.breaker.name}")

    @property
    def is_gated(self) -> bool:
        """Whether it may have to wait for what other executions do."""
        return self.breaker is not None or (self.limit is not None and not self.limit.is_own)

    @property
    def attempts(self) -> int:
        """Tries in all."""
        return self.retry.attempts if self.retry else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowPolicy:
    """What holds for every execution of a workflow.

    Args:
        timeout_s: seconds an execution may have work on the cluster (waits do not count).
        node: what holds for its nodes unless they say otherwise.
        max_executions: how many of its executions may run at once; None = as many as the engine takes.
        late_after_s: seconds after which an execution that was asked for is late; None = never.
    """

    timeout_s: float = DEFAULT_TIMEOUT_S
    priority: int = 0
    max_executions: int | None = None
    tags: tuple[str, ...] = ()
    late_after_s: float | None = None

    def __post_init__(self) -> None:
        if self.late_after_s is not None:
            _check(
                0 < self.late_after_s <= MAX_LATE_AFTER_S,
                "late_after",
                f"late_after_s must be above 0 and at most {MAX_LATE_AFTER_S:.0f} s (366 days), got {self.late_after_s}.",
            )
        _check(
            0 < self.timeout_s <= MAX_TIMEOUT_S,
            "execution_timeout",
            f"The execution timeout must be above 0 and at most {MAX_TIMEOUT_S:.0f} s (24 h), got {self.timeout_s}.",
        )
