"""What the names that a function reads stand for now, so that a workflow is drawn again when one of them is
replaced.

Made for notebooks, where cells are run again and modules reloaded. Refuses to see changes inside objects:
it compares identities only.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType

from wfplatform.authoring.node import NodeFunction

__all__ = ["names_read"]


def names_read(function: FunctionType, crossing: type) -> Iterator[object]:
    """The objects behind the globals and the closure of a function, and of what it reaches.

    Args:
        function: where to begin; plain functions and node functions it names are followed within its
            module.
        crossing: the class whose objects are followed into other modules too: workflows.

    Returns:
        The objects, in an order that depends on the code only.
    """
    yield from _walk(function, crossing, set())


def _walk(function: FunctionType, crossing: type, done: set[int]) -> Iterator[object]:
    done.add(id(function))
    codes = [function.__code__]
    for code in codes:  # grows while it is walked through: functions inside functions
        codes.extend(constant for constant in code.co_consts if isinstance(constant, CodeType))
    names = dict.fromkeys(name for code in codes for name in code.co_names)
    found = [function.__globals__[name] for name in names if name in function.__globals__]
    for module in [value for value in found if isinstance(value, ModuleType)]:
        found += [vars(module)[name] for name in names if name in vars(module)]
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # assigned later
            found.append(None)
    for value in found:
        yield value
        inner = getattr(value, "function", None) if isinstance(value, (NodeFunction, crossing)) else value
        if not isinstance(inner, FunctionType) or id(inner) in done:
            continue
        if isinstance(value, crossing) or inner.__globals__ is function.__globals__:
            yield from _walk(inner, crossing, done)
