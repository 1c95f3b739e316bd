"""Whether workers have the packages a workflow was registered with, asked before anything starts.

Refuses to start what cannot run; warns of versions that differ, since most differences do no harm.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from wfplatform.core.ports import StoredVersion
from wfplatform.core.requirement import Mismatch, missing_requirements
from wfplatform.errors import PlatformError

__all__ = ["RequirementCheck", "RequirementWarning", "Surroundings"]

type Surroundings = tuple[Mapping[str, str], Sequence[Mapping[str, Any]]]
"""What a version needs (distribution -> version), and what workers have: {"python", "distributions", "workers"} each."""

AGAIN_AFTER_S: Final = 10.0
"""A version that was checked is not checked again before."""


class RequirementWarning(UserWarning):
    """Workers have another version of a package than the process that registered the workflow."""


class RequirementCheck:
    """Compares a workflow version with the workers of the platform.

    Args:
        read: version id -> what it needs, and what workers have.
        clock_s: seconds that never run backwards.
    """

    def __init__(self, read: Callable[[UUID], Surroundings], *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock_s = clock_s
        self._checked_s: dict[UUID, float] = {}

    def __call__(self, version: StoredVersion) -> None:
        """Check a version, unless it was checked a moment ago.

        Raises:
            PlatformError: code `requirements_missing`; a package is missing on a worker.
        """
        now_s = self._clock_s()
        if now_s - self._checked_s.get(version.id, -AGAIN_AFTER_S) < AGAIN_AFTER_S:
            return
        needed, environments = self._read(version.id)
        missing: list[str] = []
        differing: list[str] = []
        for environment in environments:
            workers = ", ".join(environment["workers"]) or "a worker"
            for mismatch in missing_requirements(needed, environment):
                (missing if mismatch.found is None else differing).append(_sentence(mismatch, workers))
        if missing:
            raise PlatformError(
                "requirements_missing",
                f"{version.name} cannot run: {' '.join(missing)}",
                "Install the packages where the workers run, or run it on workers that have them.",
                missing=missing,
            )
        self._checked_s[version.id] = now_s
        if differing:
            text = f"{version.name} was registered with other packages than workers have: {' '.join(differing)}"
            warnings.warn(text, RequirementWarning, stacklevel=5)


def _sentence(mismatch: Mismatch, workers: str) -> str:
    there = "is not installed" if mismatch.found is None else f"{mismatch.found} is installed"
    return f"{mismatch.name} {mismatch.expected} is needed, and {there} on {workers}."
