"""What executions share, for people: concurrency limits and circuit breakers; to see, and to set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from wfplatform.core.announcement import ENGINE_CHANNEL
from wfplatform.core.breaker import BreakerRecord
from wfplatform.core.policy import MAX_LIMIT, MAX_TIMEOUT_S
from wfplatform.core.ports import Notifier
from wfplatform.core.slot import LimitRecord, SlotRecord
from wfplatform.core.why import EngineRecord
from wfplatform.errors import UserError

__all__ = ["SharedStore", "Sharing"]

DEFAULT_OPEN_S = 300.0


class SharedStore(Protocol):
    """Where it is kept."""

    def limits(self, tenant_id: UUID) -> Sequence[LimitRecord]:
        """Limits that are set, or of which slots are held or asked for."""
        ...

    def set_limit(self, tenant_id: UUID, name: str, most: int | None, *, set_by: str = "") -> None:
        """Say how many slots a limit across all workflows has; None = what workflows say."""
        ...

    def slots(self, tenant_id: UUID, execution_id: UUID | None = None, *, limit: int = 1000) -> Sequence[SlotRecord]:
        """Slots held and asked for; of an execution with those that others hold of what it waits for."""
        ...

    def breakers(self, tenant_id: UUID) -> Sequence[BreakerRecord]:
        """Circuit breakers of which calls were counted."""
        ...

    def set_breaker(self, tenant_id: UUID, name: str, *, open_s: float | None) -> None:
        """Open a circuit breaker for so many seconds, or close it."""
        ...

    def engines(self) -> Sequence[EngineRecord]:
        """Engines that hold a lease."""
        ...


class Sharing:
    """The use cases, for one tenant and one actor.

    Args:
        store: where it is kept.
        notifier: tells engines.
        tenant_id: whose.
        actor: who asks.
    """

    def __init__(self, store: SharedStore, notifier: Notifier, tenant_id: UUID, actor: str) -> None:
        self.store = store
        self._notifier = notifier
        self._tenant_id = tenant_id
        self._actor = actor

    def limits(self) -> Sequence[LimitRecord]:
        """Concurrency limits that somebody has set, and those of which slots are held or waited for."""
        return self.store.limits(self._tenant_id)

    def slots(self, execution_id: UUID | None = None) -> Sequence[SlotRecord]:
        """Who holds slots, and who waits for them."""
        return self.store.slots(self._tenant_id, execution_id)

    def set_limit(self, name: str, most: int | None) -> None:
        """Say how many elements with a limit across all workflows may run at once, whatever workflows say.

        Args:
            name: of the limit.
            most: 0 lets none begin; None = as workflows say again.

        Raises:
            UserError: the name is blank or the number makes no sense.
        """
        _check_name("limit", name)
        if most is not None and not 0 <= most <= MAX_LIMIT:
            raise UserError("limit_most", f"The limit {name} can be 0 to {MAX_LIMIT}, got {most}.")
        self.store.set_limit(self._tenant_id, name, most, set_by=self._actor)
        self._notifier.notify(ENGINE_CHANNEL, ["slots"])

    def breakers(self) -> Sequence[BreakerRecord]:
        """Circuit breakers of which calls were counted."""
        return self.store.breakers(self._tenant_id)

    def open_breaker(self, name: str, for_s: float = DEFAULT_OPEN_S) -> None:
        """Let no call of something pass for some time, whether or not calls fail.

        Raises:
            UserError: the name is blank or the time makes no sense.
        """
        _check_name("circuit breaker", name)
        if not 0 < for_s <= MAX_TIMEOUT_S:
            raise UserError("breaker_open", f"A circuit breaker opens for 0 to {MAX_TIMEOUT_S:.0f} s, got {for_s:g}.")
        self.store.set_breaker(self._tenant_id, name, open_s=for_s)
        self._notifier.notify(ENGINE_CHANNEL, ["slots"])

    def close_breaker(self, name: str) -> None:
        """Let calls pass again at once.

        Raises:
            UserError: there is no such circuit breaker.
        """
        _check_name("circuit breaker", name)
        known = [one.name for one in self.breakers()]
        if name not in known:
            raise UserError(
                "breaker_not_found",
                f"No call of a circuit breaker {name!r} was ever counted.",
                f"There are: {', '.join(known) or 'none'}.",
            )
        self.store.set_breaker(self._tenant_id, name, open_s=None)
        self._notifier.notify(ENGINE_CHANNEL, ["slots"])


def _check_name(what: str, name: str) -> None:
    if not name.strip():
        raise UserError("blank_name", f"The name of a {what} must not be blank.")
