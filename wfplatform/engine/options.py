"""How an engine works, in numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

from wfplatform.compiler.segment import Limits

__all__ = ["EngineOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How an engine works.

    Args:
        max_executions: executions with work on the cluster at the same moment; more wait their turn.
        claim_at_once: taken in one transaction.
        budget_s: time after which a segment of several nodes gives the rest back.
        grace_s: time a cancelled or timed-out node has to clean up, as workers know it.
        sleep_after_s: an execution that has only waited for this long, and will for as long again, is let go until then.
        linger_s: what nothing waits for is committed at most this much later, together with what came in the meantime.
    """

    max_executions: int = 1000
    claim_at_once: int = 500
    budget_s: float = 1.0
    grace_s: float = 5.0
    sleep_after_s: float = 2.0
    linger_s: float = 0.0
    limits: Limits = field(default_factory=Limits)
