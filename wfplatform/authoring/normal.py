"""Code in normal form: what is left of a source when comments, docstrings, layout and line numbers are taken away.

Compiled code depends on how its source is laid out; so code is compiled again, from its tree. Where no source is found that the
code was surely made of, the code stands for itself.
"""

from __future__ import annotations

import ast
import dis
import linecache
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import CodeType
from typing import Any, Final, NamedTuple

from wfplatform.authoring.bytecode import IDLE
from wfplatform.core.canonical import digest

__all__ = [
    "Doing",
    "Effect",
    "effects_of",
    "imports_of",
    "literals_of",
    "normal_code",
    "normal_steps",
    "source_digest",
    "source_of",
]

_DOCUMENTED: Final = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_DEFINING: Final = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Import,
    ast.ImportFrom,
    ast.Pass,
    ast.Global,
)
_PLACE_NAMES: Final = frozenset({"__doc__", "__firstlineno__", "__qualname__", "__static_attributes__"})


class Doing(NamedTuple):
    """An instruction; of a jump `value` is the number of the step it leads to."""

    opcode: int
    opname: str
    value: Any


def source_of(file: str) -> str:
    """The text of a file, or of a cell of a notebook; empty where there is none."""
    linecache.checkcache(file)
    return "".join(linecache.getlines(file))


def normal_code(code: CodeType) -> CodeType:
    """The same code as it comes from the tree of its source alone; itself, where its source is not to be had."""
    return _normal_codes(source_of(code.co_filename)).get(code, code)


@lru_cache(maxsize=4096)
def normal_steps(code: CodeType) -> tuple[tuple[Doing, ...], tuple[Any, ...]]:
    """What code does, step by step, and which steps are guarded by which handlers."""
    found: list[dis.Instruction] = []
    number_at: dict[int, int] = {}
    written = list(dis.get_instructions(code))
    doing = [item for item in written if item.opname not in IDLE]
    places = {at for at, item in enumerate(doing) if item.opname == "STORE_NAME" and item.argval in _PLACE_NAMES}
    left_out = {doing[at].offset for place in places for at in (place - 1, place)}
    for item in written:
        number_at[item.offset] = len(found)
        if item.opname not in IDLE and item.offset not in left_out:
            found.append(item)
    number_at[len(code.co_code)] = len(found)
    steps = tuple(
        Doing(item.opcode, item.opname, number_at[item.argval] if item.opcode in dis.hasjrel else item.argval)
        for item in found
    )
    handlers = tuple(
        (number_at[entry.start], number_at[entry.end], number_at[entry.target], entry.depth, bool(entry.lasti))
        for entry in dis.Bytecode(code).exception_entries  # type: ignore[attr-defined]  # since 3.11
        if number_at[entry.start] != number_at[entry.end]
    )
    return steps, handlers


@lru_cache(maxsize=1024)
def source_digest(content: bytes) -> str:
    """A digest over what a file says: of Python its tree, of anything else its bytes."""
    try:
        tree = ast.parse(content)
        return digest(ast.dump(_without_documents(tree)).encode("utf-8", "surrogatepass"))
    except (SyntaxError, ValueError, RecursionError):
        return digest(content)


@lru_cache(maxsize=256)
def _normal_codes(text: str) -> Mapping[CodeType, CodeType]:
    """Every code object that a source compiles to -> the same in normal form."""
    if not text:
        return {}
    try:
        written = compile(text, "<source>", "exec", dont_inherit=True)
        normal = compile(_normal_tree(text), "<normal>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError):
        return {}
    return dict(_pairs(written, normal))


def _normal_tree(text: str) -> ast.Module:
    """A tree in which every node stands on a line of its own, counted as they come."""
    tree = _without_documents(ast.parse(text))
    _place(tree)
    return tree


def _without_documents(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and node.body and _is_text(node.body[0]):
            node.body = node.body[1:]
            if not node.body and not isinstance(node, ast.Module):
                node.body = [ast.Pass()]
    return tree


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _place(tree: ast.AST) -> None:
    stack: list[ast.AST] = [tree]
    line = 0
    while stack:
        node: Any = stack.pop()
        line += 1
        if "lineno" in node._attributes:
            node.lineno = node.end_lineno = line
            node.col_offset, node.end_col_offset = 0, 1
        stack.extend(reversed(list(ast.iter_child_nodes(node))))


def _pairs(written: CodeType, normal: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    yield written, normal
    mine = [item for item in written.co_consts if isinstance(item, CodeType)]
    theirs = [item for item in normal.co_consts if isinstance(item, CodeType)]
    if [item.co_qualname for item in mine] == [item.co_qualname for item in theirs]:
        for one, other in zip(mine, theirs, strict=True):
            yield from _pairs(one, other)


# -- what a module does when it is imported


@lru_cache(maxsize=256)
def literals_of(text: str) -> Mapping[str, Any]:
    """Names that a module gives a literal value, once and nowhere else -> that value."""
    tree = _parsed(text)
    often = Counter(_bound(tree))
    values: dict[str, Any] = {}
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.expr() as value) if often[name] == 1:
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if often[name] == 1:
                pass
            case _:
                continue
        try:
            values[name] = ast.literal_eval(value)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
    return values


def _bound(tree: ast.Module) -> Iterator[str]:
    """Names that are bound anywhere in a module, as often as they are; inside functions only globals are meant, but all count."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.alias(name=name, asname=other):
                yield other or name.partition(".")[0]
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name
            case _:
                pass


class Effect(NamedTuple):
    """A statement that a module carries out when it is imported, and that may do more than define.

    Args:
        callees: dotted names of what it calls; it matters if one of them is the user's own. None = it matters in any case.
    """

    code: CodeType
    callees: tuple[str, ...] | None


@lru_cache(maxsize=256)
def effects_of(text: str) -> tuple[Effect, ...]:
    """What a module does when it is imported: calls, assignments to parts of things, decorators."""
    tree = _without_documents(_parsed(text))
    found: list[Effect] = []
    for node in tree.body:
        if _acts(node):
            found.append(Effect(_compiled(node), None))
            continue
        for calling in _calling(node):
            callees = tuple(dict.fromkeys(_callees(calling)))
            if callees:
                found.append(Effect(_compiled(calling), callees))
    return tuple(found)


def _compiled(node: ast.stmt) -> CodeType:
    module = ast.Module(body=[node], type_ignores=[])
    _place(module)
    return compile(module, "<effects>", "exec", dont_inherit=True)


def _calling(node: ast.stmt) -> Iterator[ast.stmt]:
    """Statements in which a definition calls something: its decorators, or the whole assignment."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            for one in node.decorator_list:
                # A decorator is called even where nothing is written behind its name.
                yield ast.Expr(one if isinstance(one, ast.Call) else ast.Call(one, [], []))
            for inner in node.body if isinstance(node, ast.ClassDef) else ():
                yield from _calling(inner)
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
            yield node
        case _:
            for inner in _inner(node):
                yield from _calling(inner)


def _callees(node: ast.AST) -> Iterator[str]:
    if isinstance(node, (ast.Lambda, ast.FunctionDef, ast.AsyncFunctionDef)):
        return
    if isinstance(node, ast.Call):
        called = node.func
        while isinstance(called, (ast.Call, ast.Subscript)):
            called = called.func if isinstance(called, ast.Call) else called.value
        yield ast.unparse(called) if _is_dotted(called) else ""
    for inner in ast.iter_child_nodes(node):
        yield from _callees(inner)


def _is_dotted(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) or (isinstance(node, ast.Attribute) and _is_dotted(node.value))


def _acts(node: ast.stmt) -> bool:
    match node:
        case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))) if not node.orelse:
            return False  # what a script does is not done on a worker
        case ast.Assign(targets=targets):
            return any(not _names_only(target) for target in targets)
        case ast.AnnAssign(target=target) | ast.AugAssign(target=target):
            return not _names_only(target)
        case ast.Expr():
            return not isinstance(node.value, ast.Constant)
        case ast.TypeAlias() | ast.FunctionDef() | ast.AsyncFunctionDef():
            return False
        case ast.If() | ast.For() | ast.While() | ast.With() | ast.Try() | ast.TryStar() | ast.Match() | ast.ClassDef():
            return any(map(_acts, _inner(node)))
        case _:
            return not isinstance(node, _DEFINING)


def _inner(node: ast.stmt) -> Iterator[ast.stmt]:
    for name in ("body", "orelse", "finalbody"):
        yield from getattr(node, name, ())
    for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
        yield from part.body


def _names_only(target: ast.expr) -> bool:
    match target:
        case ast.Name():
            return True
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return all(map(_names_only, items))
        case ast.Starred(value=value):
            return _names_only(value)
        case _:
            return False


@lru_cache(maxsize=256)
def imports_of(text: str, package: str) -> tuple[str, ...]:
    """Modules that a module imports when it is imported itself, and names that may be modules; `package` is where it stands."""
    found: dict[str, None] = {}
    todo: list[ast.stmt] = list(_parsed(text).body)
    while todo:
        node = todo.pop()
        todo.extend(_inner(node) if not isinstance(node, _DEFINING) else ())
        if isinstance(node, ast.Import):
            found.update((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            start = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            name = ".".join(filter(None, (start, node.module)))
            found[name] = None
            found.update((f"{name}.{alias.name}", None) for alias in node.names)
    return tuple(sorted(found))


def _parsed(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return ast.Module(body=[], type_ignores=[])
