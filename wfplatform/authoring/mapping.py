"""Which arguments of `.map` are mapped over, and how deep. The same rules for nodes and for workflows.

Mapped over: lists, tuples, ranges, sets (sorted), iterators; outputs; parameters annotated as collections;
`each(...)`. Handed whole to every element: everything else, and `unmapped(...)`. Refuses a map over
nothing, lists of different lengths, and more levels than a list has.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Mapping, MappingView
from dataclasses import dataclass
from itertools import islice
from typing import Final, cast

from wfplatform.authoring.output import Each, Output, Outputs, ParameterInput, Reference, Unmapped, describe, rank_of
from wfplatform.authoring.trace import Trace
from wfplatform.authoring.value import bind_items, bind_value
from wfplatform.core.graph import Binding
from wfplatform.errors import DefinitionError

__all__ = ["MAX_ELEMENTS", "Mapped", "is_listing", "listed", "map_arguments"]

MAX_ELEMENTS: Final = 1_000_000
"""A longer iterable is taken for an endless one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """The inputs of a mapped node.

    Args:
        over: port -> levels, for the ports that are mapped over.
        count: number of elements in the first dimension; None = known only when it runs.
    """

    inputs: Mapping[str, Binding]
    over: Mapping[str, int]
    count: int | None


def map_arguments(trace: Trace, name: str, arguments: Mapping[str, object]) -> Mapped:
    """Bind the arguments of `.map`.

    Args:
        name: the node, for messages.
        arguments: port -> argument, as the user gave them.

    Raises:
        DefinitionError: nothing is mapped over, lengths differ, lists are not nested as deep as is mapped over, or it cannot
            be told whether a parameter is a list.
    """
    inputs: dict[str, Binding] = {}
    over: dict[str, int] = {}
    counts: dict[str, int] = {}
    for port, argument in arguments.items():
        place = f"node `{name}`, input `{port}`"
        value, levels = _levels(name, port, argument)
        if levels and not isinstance(value, Reference):
            items = _nested(name, port, value, levels, ())
            inputs[port] = bind_items(trace, items, place)
            counts[port] = len(items)
        else:
            inputs[port] = bind_value(trace, value, place)
            if levels and isinstance(value, Output) and rank_of(value):
                known = trace.counts.get(trace.node_of(value))
                counts |= {} if known is None else {port: known}
        if levels:
            over[port] = levels
    if not over:
        given = ", ".join(f"`{port}`" for port in arguments) or "none"
        raise DefinitionError(
            "map_nothing",
            f"{name}.map(...): nothing to map over; expected a list, an output or a list parameter among "
            f"the arguments ({given}).",
            f"To run it once, call {name}(...). To map over a value whose type is not known, mark it: each(value).",
            node=name,
        )
    if len(set(counts.values())) > 1:
        lengths = ", ".join(f"`{port}` has {count}" for port, count in counts.items())
        raise DefinitionError(
            "map_lengths",
            f"{name}.map(...): all that is mapped over must have the same number of items; {lengths}.",
            "Mapping goes item by item, like zip. To hand a whole list to every element, write unmapped(list).",
            node=name,
            counts=counts,
        )
    return Mapped(inputs=inputs, over=over, count=next(iter(counts.values()), None))


def _levels(name: str, port: str, argument: object) -> tuple[object, int]:
    """The argument without its mark, and over how many levels it is mapped."""
    match argument:
        case Unmapped(value=value):
            return value, 0
        case Each(value=value, levels=levels):
            return value, rank_of(value) + levels
        case Output():
            return argument, max(rank_of(argument), 1)
        case ParameterInput():
            if argument._wf_collection is None:
                raise DefinitionError(
                    "map_unclear",
                    f"{name}.map(...): input `{port}` is {describe(argument)}, of which it is not known "
                    "whether it is a list.",
                    "Annotate the parameter (list[int], say), or write each(value) to map over it, "
                    "unmapped(value) not to.",
                    node=name,
                    port=port,
                )
            return argument, int(argument._wf_collection)
        case _:
            return argument, int(is_listing(argument))


def _nested(name: str, port: str, value: object, levels: int, above: tuple[int, ...]) -> list[object]:
    """The items of a plain argument, down to the last level that is mapped over.

    Args:
        levels: from here on.
        above: indices of the value in the argument.
    """
    items = listed(name, port, value)
    if levels == 1:
        return items
    found: list[object] = []
    for index, item in enumerate(items):
        place = (*above, index)
        if is_listing(item):
            item = _nested(name, port, item, levels - 1, place)
        elif not isinstance(
            item, (Outputs, Unmapped, Each)
        ):  # those are refused where they are bound, in their own words
            _refuse_shallow(name, port, item, len(place) + levels - 1, place)
        found.append(item)
    return found


def _refuse_shallow(name: str, port: str, item: object, levels: int, place: tuple[int, ...]) -> None:
    """Refuse what stands where a list must stand; parameters that may be lists are let through."""
    where = "".join(f"[{index}]" for index in place)
    told = f"{name}.map(...): input `{port}` is mapped over {levels} levels, "
    if isinstance(item, Output):
        raise DefinitionError(
            "map_depth",
            f"{told}but its item {where} is {describe(item)}, whose length is not known before it runs.",
            "Put the whole list together in a node, and map over its output.",
            node=name,
            port=port,
            place=list(place),
        )
    if isinstance(item, ParameterInput):
        if item._wf_collection is not False:
            return
        what = f"{describe(item)}, which is no list"
    else:
        what = f"{reprlib.repr(item)} ({type(item).__name__}), which is no list"
    raise DefinitionError(
        "map_depth",
        f"{told}but its item {where} is {what}.",
        "Write each(...) once less, or nest every item as deep as the others.",
        node=name,
        port=port,
        place=list(place),
    )


def is_listing(argument: object) -> bool:
    """Whether a plain argument is mapped over."""
    if isinstance(argument, Reference):
        return False  # it has the methods of an iterator, to refuse them by name
    return isinstance(argument, (list, tuple, range, set, frozenset, Iterator, MappingView))


def listed(name: str, port: str, value: object) -> list[object]:
    """The items of a plain argument that is mapped over, in an order that is the same in every process.

    Raises:
        DefinitionError: it has none, or no end.
    """
    match value:
        case set() | frozenset():
            # The order of a set differs between processes; the elements of a map must not.
            try:
                return sorted(value)
            except TypeError:
                return sorted(value, key=lambda item: (type(item).__name__, repr(item)))
        case list() | tuple() | range() | Iterator() | MappingView():
            items = list(islice(cast("Iterable[object]", value), MAX_ELEMENTS + 1))
            if len(items) <= MAX_ELEMENTS:
                return items
            raise DefinitionError(
                "map_endless",
                f"{name}.map(...): input `{port}` has more than {MAX_ELEMENTS} items; is it endless?",
                "Let each node work on a block of items, or cut it with itertools.islice.",
                node=name,
                port=port,
            )
        case _:
            raise DefinitionError(
                "map_not_list",
                f"{name}.map(...): input `{port}` is each(...) of a {type(value).__name__}; expected a "
                "list, an output or a "
                "parameter.",
                "Make it a list.",
                node=name,
                port=port,
            )
