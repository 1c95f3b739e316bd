"""Packages that code needs against packages that are there. Refuses to look at the environment itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["PYTHON", "Mismatch", "distribution_name", "missing_requirements"]

PYTHON: Final = "Python"
"""Stands among the distributions that code needs if it needs one minor version of Python: pickled code runs on no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """A distribution, or Python itself, that is missing or has another version than where the code was registered.

    Args:
        found: the version that is there, or None.
    """

    name: str
    expected: str
    found: str | None

    @property
    def prevents(self) -> bool:
        """Whether the code surely cannot run: most packages work in another version too, pickled code on no other Python."""
        return self.found is None or self.name == PYTHON

    @property
    def message(self) -> str:
        """One sentence."""
        there = f"{self.found} is installed" if self.found is not None else "it is not installed"
        return f"{self.name} {self.expected} is needed, {there}."


def distribution_name(name: str) -> str:
    """The one spelling of a distribution's name (PEP 503): lower case, `-` between its words."""
    return re.sub(r"[-_.]+", "-", name).lower()


def missing_requirements(requirements: Mapping[str, str], environment: Mapping[str, Any]) -> list[Mismatch]:
    """Compare what code needs with what an environment has.

    Args:
        requirements: distribution -> version it was registered with; `PYTHON` among them if it needs one Python.
        environment: {"python": "3.13", "distributions": {name: version}}; `worker.program` tells it.

    Returns:
        what is missing or differs, Python first, the others by name; empty if all is there.
    """
    there = {distribution_name(name): version for name, version in environment["distributions"].items()}
    found: list[Mismatch] = []
    for name, expected in sorted(requirements.items(), key=lambda item: (item[0] != PYTHON, item[0])):
        has = environment["python"] if name == PYTHON else there.get(distribution_name(name))
        if has != expected:
            found.append(Mismatch(name=name, expected=expected, found=has))
    return found
