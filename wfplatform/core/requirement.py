"""Packages that code needs against packages that are there. Refuses to look at the environment itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Mismatch", "distribution_name", "missing_requirements"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """A distribution that is missing or has another version than where the code was registered.

    Args:
        found: the version that is there, or None.
    """

    name: str
    expected: str
    found: str | None

    @property
    def message(self) -> str:
        """One sentence."""
        there = f"{self.found} is installed" if self.found is not None else "it is not installed"
        return f"{self.name} {self.expected} is needed, {there}."


def distribution_name(name: str) -> str:
    """The one spelling of a distribution's name (PEP 503): lower case, `-` between its words."""
    return re.sub(r"[-_.]+", "-", name).lower()


def missing_requirements(
    requirements: Mapping[str, str], environment: Mapping[str, Any], *, python: str | None = None
) -> list[Mismatch]:
    """Compare what code needs with what an environment has.

    Args:
        requirements: distribution -> version it was registered with.
        environment: {"python": "3.13", "distributions": {name: version}}; `worker.program` tells it.
        python: version of Python the code was registered with (`3.13`); None = any will do.

    Returns:
        what is missing or differs, by name; empty if all is there.
    """
    there = {distribution_name(name): version for name, version in environment["distributions"].items()}
    mismatches = [
        Mismatch(name=name, expected=version, found=there.get(distribution_name(name)))
        for name, version in sorted(requirements.items())
        if there.get(distribution_name(name)) != version
    ]
    if python is not None and environment["python"] != python:
        mismatches.insert(0, Mismatch(name="Python", expected=python, found=environment["python"]))
    return mismatches
