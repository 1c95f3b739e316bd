"""Time and chance of the real world."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from importlib import metadata

from wfplatform.core.identifier import TimeOrderedIds

__all__ = ["SystemClock", "SystemIds", "release"]


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present instant."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """Seconds that never run backwards."""
        return time.monotonic()


class SystemIds(TimeOrderedIds):
    """Identifiers and real chances."""

    def chance(self) -> float:
        """A random number in [0, 1)."""
        return random.random()  # noqa: S311 - spreads retries, guards nothing


def release() -> str:
    """The release of this package, or `checkout`."""
    try:
        return metadata.version("wfplatform")
    except metadata.PackageNotFoundError:
        return "checkout"
