"""The parameters of a workflow: their JSON Schemas, the check of what a run gives, and the way to JSON and
back.

The only place where pydantic meets workflow parameters. Coerces what a command line writes ("2013" to 2013)
and refuses what would lose something (2013.5 to 2013). All problems are told at once.
"""

from __future__ import annotations

import difflib
import json
import math
import reprlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from pydantic import (
    ConfigDict,
    PydanticSchemaGenerationError,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
)
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic_core import PydanticSerializationError

from wfplatform.authoring.signature import ANY, ParameterSlot, type_name
from wfplatform.core.canonical import json_problems
from wfplatform.core.graph import Json, Parameter
from wfplatform.errors import DefinitionError, ParameterError

__all__ = ["ParameterProblem", "Parameters", "load_parameter", "parameter_adapter"]

_SHOWN: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterProblem:
    """What is wrong with one parameter of a run, or a part of it.

    Args:
        place: the parameter, with the path to the part: `carriers[1]`.
        expected: its type.
        got: what was given, shortened; empty if nothing was.
    """

    parameter: str
    place: str
    expected: str
    got: str
    reason: str

    def as_fact(self) -> dict[str, str]:
        """The problem as JSON."""
        return asdict(self)

    def __str__(self) -> str:
        expected = f"expected {self.expected}, got {self.got or 'nothing'}" if self.expected else ""
        return f"{self.place}: " + "; ".join(filter(None, (expected, self.reason)))


class Parameters:
    """The parameters of one workflow.

    Args:
        workflow: its name, for messages.
        slots: name -> parameter, as `parameter_slots` finds them.

    Raises:
        DefinitionError: a type cannot be written as JSON, or a default does not fit its type.
    """

    def __init__(self, workflow: str, slots: Mapping[str, ParameterSlot]) -> None:
        self._workflow = workflow
        self._slots = slots
        self._adapters = {name: parameter_adapter(slot.annotation, name, workflow) for name, slot in slots.items()}
        self.declared: tuple[Parameter, ...] = tuple(map(self._declare, slots.values()))

    def to_json(self, given: Mapping[str, object], where: str = "") -> dict[str, Json]:
        """Check and coerce what a run gives.

        Args:
            given: name -> value, as Python objects or as JSON or a command line say them.
            where: which run, for messages: "run 3".

        Returns:
            All parameters of the workflow, in order, as JSON; defaults filled in.

        Raises:
            ParameterError: with every problem in the message and in `facts["problems"]`.
        """
        problems = [self._unknown(name) for name in given if name not in self._slots]
        found: dict[str, Json] = {}
        for parameter in self.declared:
            name = parameter.name
            if name in given:
                found[name], more = self._convert(name, given[name])
                problems += more
            elif parameter.required:
                problems.append(_missing(parameter))
            else:
                found[name] = parameter.default
        if problems:
            raise _refusal(self._workflow, problems, where)
        return found

    def several_to_json(self, given: Sequence[Mapping[str, object]]) -> list[dict[str, Json]]:
        """Check and coerce what several runs give.

        Raises:
            ParameterError: with every problem of all of them.
        """
        checked: list[dict[str, Json]] = []
        problems: list[dict[str, Any]] = []
        messages: list[str] = []
        for index, one in enumerate(given):
            try:
                checked.append(self.to_json(one, where=f"run {index}"))
            except ParameterError as error:
                problems += [{"run": index, **problem} for problem in error.facts["problems"]]
                messages.append(error.message)
        if problems:
            raise ParameterError("parameters", "\n".join(messages), problems=problems, workflow=self._workflow)
        return checked

    def value_to_json(self, name: str, value: object) -> Json:
        """One parameter, checked and coerced, as JSON.

        Raises:
            ParameterError: it does not fit, or there is no such parameter.
        """
        if name not in self._slots:
            raise _refusal(self._workflow, [self._unknown(name)])
        dumped, problems = self._convert(name, value)
        if problems:
            raise _refusal(self._workflow, problems)
        return dumped

    def from_json(self, values: Mapping[str, Json]) -> dict[str, Any]:
        """The Python objects that `to_json` was given, or their equals."""
        return {name: load_parameter(self._adapters[name], value) for name, value in values.items()}

    def missing_or_unknown(self, names: Collection[str]) -> list[ParameterProblem]:
        """What is wrong with the names of what is given, whatever the values are."""
        missing = [p for p in self.declared if p.required and p.name not in names]
        return [*(self._unknown(name) for name in names if name not in self._slots), *map(_missing, missing)]

    def _convert(self, name: str, value: object) -> tuple[Json, list[ParameterProblem]]:
        adapter, annotation = self._adapters[name], self._slots[name].annotation
        expected = type_name(annotation) or "a JSON value"

        def problem(reason: str) -> ParameterProblem:
            return ParameterProblem(parameter=name, place=name, expected=expected, got=_got(value), reason=reason)

        try:
            # Without a type nothing says how to read back what is not plain JSON, so nothing is converted.
            dumped = value
            if annotation is not ANY and annotation is not Any:
                checked = adapter.validate_python(value)
                dumped = adapter.dump_python(checked, mode="json", warnings="error")
        except ValidationError as error:
            return None, _from_pydantic(name, expected, error)
        except (PydanticSerializationError, ValueError, TypeError) as error:
            return None, [problem(f"it cannot be written as JSON: {str(error).splitlines()[0]}")]
        problems = [problem(_lowered(one.message)) for one in json_problems(dumped)]
        return (None if problems else _lists(dumped)), problems

    def _unknown(self, name: str) -> ParameterProblem:
        close = difflib.get_close_matches(name, self._slots, n=1)
        known = ", ".join(self._slots) or "none"
        reason = f"unknown parameter; did you mean `{close[0]}`?" if close else f"unknown parameter; there are: {known}"
        return ParameterProblem(parameter=name, place=name, expected="", got="", reason=reason)

    def _declare(self, slot: ParameterSlot) -> Parameter:
        adapter = self._adapters[slot.name]
        schema = adapter.json_schema(mode="validation")
        default: Json = None
        if not slot.required:
            default, problems = self._convert(slot.name, slot.default)
            if problems:
                raise DefinitionError(
                    "parameter_default",
                    f"Workflow `{self._workflow}`: the default of a parameter does not fit it. {problems[0]}.",
                    "Change the default or the annotation.",
                    parameter=slot.name,
                )
        annotation = type_name(slot.annotation)
        return Parameter(name=slot.name, schema=schema, required=slot.required, default=default, annotation=annotation)


def parameter_adapter(annotation: Any, name: str = "value", workflow: str = "") -> TypeAdapter[Any]:
    """The pydantic adapter of a parameter's type; the same in the user's process and on a worker.

    Args:
        annotation: a type; `ANY` = any JSON value.
        name: the parameter, for messages.
        workflow: for messages.

    Raises:
        DefinitionError: values of the type cannot be written as JSON, or it holds a secret.
    """
    try:
        adapter = _adapter(Any if annotation is ANY else annotation)
        schema = adapter.json_schema(mode="validation")
    except (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema, PydanticUserError) as error:
        raise DefinitionError(
            "parameter_type",
            f"Workflow `{workflow}`: parameter `{name}` has the type {type_name(annotation)}, which JSON cannot say.",
            "Take a path or an id and load the object in a node. Types that can: numbers, text, bool, "
            "dates, UUID, Decimal, "
            "Enum, Literal, lists, tuples, sets, dicts, dataclasses and pydantic models.",
            parameter=name,
        ) from error
    if '"writeOnly": true' in json.dumps(schema):
        raise DefinitionError(
            "parameter_secret",
            f"Workflow `{workflow}`: parameter `{name}` is a secret ({type_name(annotation)}); parameters "
            "are kept in the "
            "clear with each execution.",
            "Take the name of the secret, and let the node that needs it ask for its value.",
            parameter=name,
        )
    return adapter


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    try:
        # Else pydantic writes NaN as null, where it should be refused.
        return TypeAdapter(annotation, config=ConfigDict(ser_json_inf_nan="constants"))
    except PydanticUserError as error:
        if error.code != "type-adapter-config-unused":  # models and dataclasses carry their own configuration
            raise
        return TypeAdapter(annotation)


def load_parameter(adapter: TypeAdapter[Any], value: Json) -> Any:
    """A parameter's Python object from the JSON that was recorded for the execution."""
    # By way of text: for JSON, pydantic also takes a list for a tuple or a set and a text for a date, even
    # in strict models.
    return adapter.validate_json(json.dumps(value))


def _from_pydantic(name: str, expected: str, error: ValidationError) -> list[ParameterProblem]:
    found: dict[tuple[Any, ...], ParameterProblem] = {}
    for one in error.errors(include_url=False):
        # In a union, pydantic tries each member and puts its name into the place; only names and indices
        # that lead
        # into the value are shown.
        path = tuple(part for part in one["loc"] if _leads_into(part, one))
        place = name + "".join(f"[{part!r}]" if isinstance(part, int) else f".{part}" for part in path)
        reason = _lowered(one["msg"])
        if path in found:
            earlier = found[path]
            reason = f"{earlier.reason}; or {reason}"
        found[path] = ParameterProblem(
            parameter=name, place=place, expected=expected, got=_got(one["input"]), reason=reason
        )
    return list(found.values())


def _leads_into(part: object, problem: Any) -> bool:
    return isinstance(part, int) or (isinstance(part, str) and part.isidentifier() and part not in _UNION_TAGS)


_UNION_TAGS: Final = {
    *(
        "int",
        "float",
        "str",
        "bool",
        "bytes",
        "date",
        "datetime",
        "time",
        "timedelta",
        "decimal",
        "uuid",
        "none",
        "model",
    ),
    *("list", "tuple", "set", "frozenset", "dict", "literal", "enum"),
}


def _refusal(workflow: str, problems: list[ParameterProblem], where: str = "") -> ParameterError:
    count = f"{len(problems)} parameters do not fit" if len(problems) > 1 else "a parameter does not fit"
    lines = "".join(f"\n  {problem}" for problem in problems)
    place = f"{workflow}, {where}" if where else workflow
    facts = [problem.as_fact() for problem in problems]
    return ParameterError("parameters", f"{place}: {count}.{lines}", problems=facts, workflow=workflow)


def _missing(parameter: Parameter) -> ParameterProblem:
    expected = parameter.annotation or "a value"
    return ParameterProblem(
        parameter=parameter.name, place=parameter.name, expected=expected, got="", reason="it must be given"
    )


def _lowered(sentence: str) -> str:
    return (sentence[:1].lower() + sentence[1:]).removesuffix(".")


def _lists(value: Any) -> Any:
    """Plain JSON with lists in place of tuples."""
    if isinstance(value, (list, tuple)):
        return [_lists(item) for item in value]
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    return value


def _got(value: object) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    text = reprlib.repr(value)
    text = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    return f"{text} ({type(value).__name__})"
