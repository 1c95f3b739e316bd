"""What code objects say of themselves: the names they read, the modules they import, and what they do step by step.

Refuses to run any of it.
"""

from __future__ import annotations

import dis
from collections.abc import Iterator, Sequence
from types import CodeType
from typing import Final

__all__ = ["GLOBAL_LOADS", "IDLE", "absolute_name", "global_names", "imported_names", "same_code", "steps"]

GLOBAL_LOADS: Final = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
IDLE: Final = frozenset({"NOP", "CACHE", "RESUME", "EXTENDED_ARG"})
"""Instructions that do nothing that could be told from outside."""


def steps(code: CodeType) -> list[dis.Instruction]:
    """The instructions of a code object that do something."""
    return [item for item in dis.get_instructions(code) if item.opname not in IDLE]


def global_names(code: CodeType) -> tuple[str, ...]:
    """Names that a code object and those inside it read from their module, in order of first use."""
    found: dict[str, None] = {}
    for inner in _codes(code):
        for instruction in dis.get_instructions(inner):
            if instruction.opname in GLOBAL_LOADS:
                found[instruction.argval] = None
    return tuple(found)


def imported_names(code: CodeType, package: str | None = None) -> tuple[str, ...]:
    """Modules that a code object and those inside it import when they run; `package` is where it stands."""
    found: dict[str, None] = {}
    for inner in _codes(code):
        instructions = list(dis.get_instructions(inner))
        for at, item in enumerate(instructions):
            if item.opname == "IMPORT_NAME":
                found[absolute_name(item.argval, [one.argval for one in instructions[:at][-2:]], package)] = None
    return tuple(found)


def absolute_name(name: str, before: Sequence[object], package: str | None) -> str:
    """The module an import statement means; its level is one of the two constants loaded before it."""
    level = next((value for value in reversed(before[-2:]) if type(value) is int), 0)
    if not level:
        return name
    parts = (package or "").split(".")
    return ".".join([*parts[: len(parts) - level + 1], *([name] if name else [])])


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def same_code(one: CodeType, other: CodeType) -> bool:
    """Whether two code objects do the same, wherever they stand and whatever their docstrings say."""
    if one is other or one == other:
        return True
    if one.co_name != other.co_name or one.co_argcount != other.co_argcount:
        return False
    mine, theirs = steps(one), steps(other)
    return len(mine) == len(theirs) and all(map(_same_step, mine, theirs))


def _same_step(one: dis.Instruction, other: dis.Instruction) -> bool:
    if one.opname != other.opname:
        return False
    if isinstance(one.argval, CodeType) and isinstance(other.argval, CodeType):
        return same_code(one.argval, other.argval)
    return type(one.argval) is type(other.argval) and bool(one.argval == other.argval)
