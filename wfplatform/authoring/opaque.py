"""What code may do so that nobody can tell beforehand what it does: names looked up while it runs, state that it changes,
looks at its own source.

Refuses to guess: each gives a sentence that goes on from the name of who does it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import CodeType, ModuleType
from typing import Any, Final

from wfplatform.authoring.bytecode import GLOBAL_LOADS
from wfplatform.authoring.normal import Doing

__all__ = ["named_module", "opaque_step", "opaque_value", "rebinds"]

_BY_NAME: Final = "looks things up by names that are only known when it runs"
_DOCUMENT: Final = "reads a docstring or a source, and those do not count"
_ANNOTATIONS: Final = "reads annotations of functions, and those do not count"
_PLACE: Final = "looks at code itself, of which only what it does counts"
_FRAMES: Final = "looks at other functions while they run"
_FILES: Final = "reads files or lists of a package by name"
_SUBCLASSES: Final = "asks which classes there are below another"

_BUILTINS: Final = dict.fromkeys(("eval", "exec", "globals", "__import__"), _BY_NAME)
# Whatever object they are taken from: nothing else is called so.
_ATTRIBUTES: Final = {
    **dict.fromkeys(("__import__", "__globals__", "__builtins__", "import_module", "resolve_name"), _BY_NAME),
    **dict.fromkeys(("__doc__", "getcomments", "getdoc", "getsource", "getsourcelines", "findsource"), _DOCUMENT),
    **dict.fromkeys(("_getframe", "_getframemodulename", "currentframe", "f_back", "f_globals", "f_locals"), _FRAMES),
    **dict.fromkeys(("get_objects", "get_referrers", "get_referents"), _FRAMES),
    **dict.fromkeys(("run_path", "run_module", "spec_from_file_location", "module_from_spec"), _BY_NAME),
    **dict.fromkeys(("__annotations__", "__annotate__", "get_annotations", "get_type_hints"), _ANNOTATIONS),
    **dict.fromkeys(("signature", "__signature__", "getfullargspec"), _ANNOTATIONS),
    **dict.fromkeys(("__code__", "co_firstlineno", "f_lineno", "tb_lineno"), _PLACE),
    "__subclasses__": _SUBCLASSES,
}
_INQUISITIVE: Final = frozenset(
    ["annotationlib", "gc", "importlib", "importlib.util", "inspect", "pkgutil", "runpy", "sys", "typing"]
)
_MODULES: Final = {
    **dict.fromkeys(("importlib.resources", "pkgutil", "importlib.metadata"), _FILES),
    **dict.fromkeys(("runpy", "imp"), _BY_NAME),
}


def opaque_value(value: Any) -> str:
    """Why a value that code reaches makes it opaque; else empty."""
    if value is sys.modules:
        return _BY_NAME
    if isinstance(value, ModuleType):
        return _MODULES.get(value.__name__, "")
    module, name = getattr(value, "__module__", None), getattr(value, "__name__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        return ""
    if module == "builtins":
        return _BUILTINS.get(name, "")
    if module in _INQUISITIVE and name in _ATTRIBUTES:
        return _ATTRIBUTES[name]
    return next((why for one, why in _MODULES.items() if module == one or module.startswith(one + ".")), "")


def opaque_step(steps: Sequence[Doing], at: int, scope: dict[str, Any] | None) -> str:
    """Why a step makes its code opaque; else empty.

    Args:
        steps: of one code object.
        at: which of them.
        scope: the globals of its module.
    """
    step = steps[at]
    name = step.value
    if step.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
        return f"assigns the global {name!r}, so that what it does depends on what ran before"
    if step.opname in ("STORE_ATTR", "DELETE_ATTR") and at and scope is not None:
        before = steps[at - 1]
        target = scope.get(before.value) if before.opname in GLOBAL_LOADS else None
        if isinstance(target, (ModuleType, type)):
            return f"assigns {before.value}.{name}, so that what it does depends on what ran before"
    if step.opname in GLOBAL_LOADS and name not in (scope or {}):
        return _DOCUMENT if name == "__doc__" else _BUILTINS.get(name, "")
    if step.opname in GLOBAL_LOADS and name in ("__doc__", "__builtins__"):
        return _ATTRIBUTES[name]
    if step.opname in ("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM", "LOAD_SUPER_ATTR", "LOAD_SUPER_METHOD"):
        if named_module(steps, at):
            return ""
        if name == "modules" and at and steps[at - 1].value == "sys":
            return _BY_NAME
        return _ATTRIBUTES.get(name, "")
    if step.opname == "IMPORT_NAME":
        return _MODULES.get(name, "")
    if step.opname == "LOAD_CONST" and isinstance(name, str) and name.startswith("__"):
        return _ATTRIBUTES.get(name, "")  # for getattr
    return ""


def named_module(steps: Sequence[Doing], at: int) -> str:
    """The module that `import_module("package.module")` means, where it is written like this; else empty.

    Args:
        at: the step that loads `import_module`.
    """
    if steps[at].value not in ("import_module", "__import__"):
        return ""
    following = [step for step in steps[at + 1 : at + 5] if step.opname not in ("PUSH_NULL", "KW_NAMES", "PRECALL")]
    match following:
        case [Doing(opname="LOAD_CONST", value=str(name)), Doing(opname="CALL", value=1), *_] if name[:1] != ".":
            return name
        case _:
            return ""


def rebinds(code: CodeType, names: frozenset[str], steps: Sequence[Doing]) -> str:
    """Why a function that assigns what it closes over is opaque; else empty.

    Args:
        names: what the function closes over, of which this code is a part.
        steps: of the code.
    """
    held = names & set(code.co_freevars)
    for step in steps:
        if step.opname in ("STORE_DEREF", "DELETE_DEREF") and step.value in held:
            return f"assigns {step.value!r} of the function around it, so that what it does depends on what ran before"
    return ""
