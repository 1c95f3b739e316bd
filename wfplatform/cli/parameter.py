"""From `-p year=2013 -p carriers='["AA","UA"]'` to parameters: JSON where the text is JSON, else text; types are the workflow's.

Refuses: checking. What does not fit is told by the workflow's own parameters, all of it at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from wfplatform.authoring.parameter import Parameters
from wfplatform.core.graph import Json
from wfplatform.errors import ParameterError, UserError

__all__ = ["bound", "given_parameters", "json_or_text"]


def given_parameters(words: Iterable[str]) -> dict[str, str]:
    """Name -> text.

    Args:
        words: each `name=text`.

    Raises:
        UserError: one has another form, or a name stands twice; all of them are told.
    """
    found: dict[str, str] = {}
    problems: list[str] = []
    for word in words:
        name, separator, text = word.partition("=")
        name = name.strip()
        if not separator or not name:
            problems.append(f"{word!r}: expected NAME=VALUE")
        elif name in found:
            problems.append(f"{name}: given twice")
        else:
            found[name] = text
    if problems:
        raise UserError(
            "bad_parameter",
            "The parameters cannot be read:\n" + "\n".join(f"  {one}" for one in problems),
            "Write -p NAME=VALUE for each, with VALUE as JSON or as text: -p year=2013 -p 'carriers=[\"AA\"]'.",
            problems=problems,
        )
    return found


def json_or_text(text: str) -> Json:
    """JSON where the text is JSON, else the text."""
    try:
        value: Json = json.loads(text)
    except ValueError:
        return text
    return value


def bound(parameters: Parameters, texts: Mapping[str, str]) -> dict[str, Json]:
    """All parameters of the workflow as JSON: what was given, checked, and defaults.

    Args:
        parameters: of the workflow.
        texts: name -> text.

    Raises:
        ParameterError: with every problem.
    """
    return parameters.to_json({name: _read(parameters, name, text) for name, text in texts.items()})


def _read(parameters: Parameters, name: str, text: str) -> Any:
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except ValueError:
        return text
    if isinstance(value, str):
        return value
    try:
        parameters.value_to_json(name, value)
    except ParameterError:
        # A parameter that is a text may look like a number or a list: an article "007", a name "null".
        try:
            parameters.value_to_json(name, text)
        except ParameterError:
            return value
        return text
    return value


def _no_constant(word: str) -> Any:
    # NaN and Infinity are words, not JSON.
    raise ValueError(word)
