"""Whether workers have the Python and the packages a workflow was registered with, asked before anything starts.

Refuses to start what cannot run; warns of versions that differ, since most differences do no harm. Right after a start, when no
worker has told yet what it has, it waits for that a while.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from wfplatform.core.ports import StoredVersion
from wfplatform.core.requirement import PYTHON, Mismatch, missing_requirements
from wfplatform.errors import PlatformError

__all__ = ["RequirementCheck", "RequirementWarning", "Surroundings"]

type Surroundings = tuple[Mapping[str, str], Sequence[Mapping[str, Any]]]
"""What a version needs (distribution -> version), and what workers have: {"python", "distributions", "workers"} each."""

AGAIN_AFTER_S: Final = 10.0
"""A version that was checked is not checked again before."""
PATIENCE_S: Final = 30.0
"""How long the first workers are waited for: a platform that was just started has some within seconds, even on a busy machine."""
LOOK_EVERY_S: Final = 0.05


class RequirementWarning(UserWarning):
    """Workers have another version of a package than the process that registered the workflow, or none has told what it has."""


class RequirementCheck:
    """Compares a workflow version with the workers of the platform.

    Args:
        read: version id -> what it needs, and what workers have.
        clock_s: seconds that never run backwards.
        sleep: lets so many seconds pass.
        patience_s: how long the first description of a worker is waited for; not for each run anew.
    """

    def __init__(
        self,
        read: Callable[[UUID], Surroundings],
        *,
        clock_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._read = read
        self._clock_s = clock_s
        self._sleep = sleep
        self._patience_s = patience_s
        self._until_s: float | None = None
        self._checked_s: dict[UUID, float] = {}

    def __call__(self, version: StoredVersion) -> None:
        """Check a version, unless it was checked a moment ago.

        Raises:
            PlatformError: code `requirements_missing`; a package is missing on a worker, or it runs another Python than pickled
                code needs.
        """
        now_s = self._clock_s()
        if now_s - self._checked_s.get(version.id, -AGAIN_AFTER_S) < AGAIN_AFTER_S:
            return
        needed, environments = self._described(version.id)
        if needed and not environments:
            # Not noted as checked: the next run looks again, and does not wait any more.
            text = f"No worker has told yet which packages it has; {version.name} starts without knowing whether it can run."
            warnings.warn(text, RequirementWarning, stacklevel=5)
            return
        fatal: list[str] = []
        differing: list[str] = []
        hints: set[str] = set()
        for environment in environments:
            workers = ", ".join(environment["workers"]) or "a worker"
            for mismatch in missing_requirements(needed, environment):
                (fatal if mismatch.prevents else differing).append(_sentence(mismatch, workers))
                if mismatch.prevents:
                    hints.add(_hint(mismatch))
        if fatal:
            raise PlatformError(
                "requirements_missing",
                f"{version.name} cannot run: {' '.join(fatal)}",
                " ".join(sorted(hints)),
                missing=fatal,
            )
        self._checked_s[version.id] = self._clock_s()
        if differing:
            text = f"{version.name} was registered with other packages than workers have: {' '.join(differing)}"
            warnings.warn(text, RequirementWarning, stacklevel=5)

    def _described(self, version_id: UUID) -> Surroundings:
        """What is needed and what is there; waits for the first worker that says so."""
        while True:
            needed, environments = self._read(version_id)
            if environments or not needed:
                self._until_s = None
                return needed, environments
            if self._until_s is None:
                self._until_s = self._clock_s() + self._patience_s
            if self._clock_s() >= self._until_s:
                return needed, environments
            self._sleep(LOOK_EVERY_S)


def _sentence(mismatch: Mismatch, workers: str) -> str:
    if mismatch.name == PYTHON:
        return f"Its code was pickled by Python {mismatch.expected}, and {workers} runs Python {mismatch.found}."
    there = "is not installed" if mismatch.found is None else f"{mismatch.found} is installed"
    return f"{mismatch.name} {mismatch.expected} is needed, and {there} on {workers}."


def _hint(mismatch: Mismatch) -> str:
    if mismatch.name == PYTHON:
        return f"Start workers with Python {mismatch.expected}, or register it with Python {mismatch.found}."
    return "Install the packages where the workers run, or run it on workers that have them."
