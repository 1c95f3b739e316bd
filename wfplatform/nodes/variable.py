"""Values that stand in an environment variable of the worker: only its name is in the definition, the database and the logs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from wfplatform.core.graph import Json
from wfplatform.errors import DefinitionError, SettingsError

__all__ = ["Variable", "env", "is_control", "masked", "read", "written"]

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
_KEY: Final = "env"


@dataclass(frozen=True, slots=True)
class Variable:
    """The name of an environment variable. Made by `env`."""

    name: str


def env(name: str) -> Variable:
    """What stands in an environment variable of the worker when it is needed: `slack(url=env("ALERTS_URL"))`.

    Args:
        name: letters, digits and `_`.

    Raises:
        DefinitionError: no environment variable can be called so.
    """
    if not _NAME.fullmatch(str(name)):
        raise DefinitionError(
            "variable_name",
            f"env() expects the name of an environment variable, as ALERTS_URL, got {name!r}.",
            "Give the name, not the value: the value is read on the worker.",
        )
    return Variable(name)


def written(value: str | Variable) -> Json:
    """A value as it stands in a definition."""
    return {_KEY: value.name} if isinstance(value, Variable) else value


def read(value: Any, wanted: str) -> tuple[str, frozenset[str]]:
    """On a worker: a value, and what of it must not be told to anybody.

    Args:
        value: as `written` made it.
        wanted: what it is for, for the message.

    Raises:
        SettingsError: the variable is not set there.
    """
    name = value.get(_KEY) if isinstance(value, dict) else None
    if name is None:
        return str(value), frozenset()
    found = os.environ.get(str(name), "").strip()
    if not found:
        raise SettingsError(
            "variable_missing",
            f"{wanted} is to stand in the environment variable {name}, which is not set on this worker.",
            "Set it where the workers are started; an embedded platform takes it from who starts it.",
            variable=str(name),
        )
    return found, frozenset((found,))


def masked(text: str, secrets: Iterable[str]) -> str:
    """A text without what must not be told."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "…")
    return text


def is_control(character: str) -> bool:
    """Whether a character ends a line or is none that is seen, so that it can stand in no header."""
    return not character.isprintable()
