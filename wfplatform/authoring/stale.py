"""Modules of the user's project that were changed on disk after they were imported.

Workers run the files; what this process has in memory is then something else. Refuses to guess by times: code is compared.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Final

from wfplatform.authoring.bytecode import same_code

__all__ = ["CHANGED_ON_DISK", "stale_modules"]

CHANGED_ON_DISK: Final = "changed on disk since it was imported"
"""How the reason begins for which nothing of such modules is reused."""


def stale_modules(files: Mapping[str, bytes], tops: Iterable[str]) -> list[str]:
    """Loaded modules with a function that differs from the one in their file.

    Args:
        files: path relative to an import root -> content, as they are on disk now.
        tops: top-level names of the project.

    Returns:
        names of modules, sorted. A module that was compiled in another way (by pytest, say) is not judged.
    """
    found = []
    wanted = set(tops)
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] not in wanted or not _is_plain(module):
            continue
        content = files.get(_path(name, module))
        if content is None:
            continue
        codes = _codes_of(content)
        if any(_differs(function.__code__, codes) for function in _functions(module)):
            found.append(name)
    return found


def _is_plain(module: ModuleType) -> bool:
    spec = getattr(module, "__spec__", None)
    return spec is not None and isinstance(spec.loader, SourceFileLoader) and bool(getattr(module, "__file__", None))


def _path(name: str, module: ModuleType) -> str:
    path = name.replace(".", "/")
    file = Path(str(module.__file__)).name
    return f"{path}/{file}" if hasattr(module, "__path__") else f"{path}{Path(file).suffix}"


def _functions(module: ModuleType) -> Iterator[FunctionType]:
    """Functions and methods that were written in the module, those a node wraps too."""
    for value in list(vars(module).values()):
        members = (
            list(vars(value).values()) if isinstance(value, type) and value.__module__ == module.__name__ else [value]
        )
        for member in members:
            function = getattr(member, "__func__", None) or getattr(member, "function", None) or member
            if isinstance(function, FunctionType) and function.__code__.co_filename == module.__file__:
                yield function


def _differs(code: CodeType, codes: Mapping[str, tuple[CodeType, ...]]) -> bool:
    # Of several with one name (overloads, the branches of an if) any may be the one that was kept.
    written = codes.get(code.co_qualname)
    return written is None or not any(same_code(code, other) for other in written)


@lru_cache(maxsize=512)
def _codes_of(content: bytes) -> Mapping[str, tuple[CodeType, ...]]:
    found: dict[str, tuple[CodeType, ...]] = {}
    try:
        queue = [compile(content, "<source>", "exec", dont_inherit=True)]
    except (SyntaxError, ValueError):  # it is being edited: nothing in it is as it was
        return found
    while queue:
        code = queue.pop()
        found[code.co_qualname] = (*found.get(code.co_qualname, ()), code)
        queue.extend(constant for constant in code.co_consts if isinstance(constant, CodeType))
    return found
