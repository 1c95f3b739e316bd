"""Where modules come from, which files of a user's project must travel, and which distributions they need.

Modules are found, never imported. Refuses projects whose files are too many bytes to travel.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import os
import re
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Final, NamedTuple

from wfplatform.errors import TravelError

__all__ = ["MAX_SOURCES_BYTES", "Origin", "Sources", "collect", "distribution_of", "locate", "origin_of", "users_name"]

MAX_SOURCES_BYTES: Final = 10 * 1024 * 1024

_PLATFORM: Final = "wfplatform"
_SKIPPED_DIRECTORIES: Final = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})
_SKIPPED_SUFFIXES: Final = frozenset({".pyc", ".pyo", ".ipynb", ".log", ".swp", ".tmp"})


class Origin(StrEnum):
    """Where a module comes from."""

    STANDARD = "standard"
    INSTALLED = "installed"
    PROJECT = "project"
    """A file outside the standard library and site-packages: it travels."""
    DYNAMIC = "dynamic"
    """Made while running (`__main__`, a notebook, exec): it has no file that others could import."""
    MISSING = "missing"


class _Place(NamedTuple):
    origin: Origin
    files: tuple[Path, ...] = ()  # of project modules: one file, or the directories of a package


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What modules need elsewhere.

    Args:
        files: path relative to an import root -> content.
        requirements: distribution -> version.
        origins: path of a module in `files` -> where it is here.
    """

    files: Mapping[str, bytes]
    requirements: Mapping[str, str]
    origins: Mapping[str, str]


def origin_of(module: str) -> Origin:
    """Where a module comes from, judged by its top-level package."""
    return locate(module.partition(".")[0]).origin


def locate(top: str) -> _Place:
    """Find a top-level module without importing it.

    Args:
        top: a name without dots.

    Returns:
        its origin, and for a project module its file or directories.
    """
    if top in ("__main__", "__mp_main__"):
        return _Place(Origin.DYNAMIC)
    if top in sys.stdlib_module_names or top in sys.builtin_module_names:
        return _Place(Origin.STANDARD)
    if top == _PLATFORM:  # is on every worker, even from a checkout
        return _Place(Origin.INSTALLED)
    module = sys.modules.get(top)
    try:
        spec = module.__spec__ if module is not None else importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        spec = None
    if spec is not None and spec.submodule_search_locations is not None:
        found = [Path(place) for place in spec.submodule_search_locations]
    elif spec is not None and spec.origin and spec.has_location:
        found = [Path(spec.origin)]
    elif spec is None and module is not None and getattr(module, "__file__", None):
        found = [Path(str(module.__file__))]
    elif spec is not None and spec.origin in ("built-in", "frozen"):
        return _Place(Origin.STANDARD)
    else:
        return _Place(Origin.DYNAMIC if module is not None else Origin.MISSING)
    existing = [path for path in found if path.exists()]
    if not existing:  # inside an archive, or gone since
        return _Place(Origin.INSTALLED if found and spec is not None else Origin.DYNAMIC)
    own = tuple(path for path in existing if not _is_installed(path))
    return _Place(Origin.PROJECT, own) if own else _Place(Origin.INSTALLED)


def collect(modules: Iterable[str]) -> Sources:
    """Files of the user's project that these modules need, and the distributions they import, transitively.

    A module in a package brings its whole top-level package: data files and modules found by name come along.

    Args:
        modules: dotted names; installed and standard ones bring no files.

    Returns:
        files and requirements.

    Raises:
        TravelError: `sources_too_large`.
    """
    files: dict[str, bytes] = {}
    origins: dict[str, str] = {}
    installed: set[str] = set()
    asked: set[str] = set()
    seen: set[str] = set()
    queue = sorted(set(modules))
    total_bytes = 0
    while queue:
        name = queue.pop()
        if name in asked:
            continue
        asked.add(name)
        top = name.partition(".")[0]
        place = locate(top)
        if place.origin is Origin.INSTALLED:
            installed.add(name)
        if place.origin is not Origin.PROJECT or top in seen:
            continue
        seen.add(top)
        for path, relative in _files_of(top, place.files):
            if relative in files:
                continue
            size_bytes = path.stat().st_size  # before reading: it may be a data set
            total_bytes += size_bytes
            if total_bytes > MAX_SOURCES_BYTES:
                raise _too_large(files, relative, size_bytes)
            content = path.read_bytes()
            files[relative] = content
            if path.suffix == ".py":
                origins[relative] = _absolute(path)
                for imported, optional in _imports(content):
                    if not (optional and origin_of(imported) is Origin.INSTALLED):
                        queue.append(imported)
        queue.extend(_loaded(top))
    return Sources(
        files=dict(sorted(files.items())),
        requirements=dict(sorted(filter(None, (distribution_of(name) for name in installed)))),
        origins=dict(sorted(origins.items())),
    )


def users_name(file: str) -> str:
    """What a user knows code by: a cell of a notebook by its number, a file by its absolute path.

    Args:
        file: the file name that the code carries.
    """
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    label = getattr(getattr(shell, "compile", None), "format_code_name", lambda _: None)(file)
    if label:
        return " ".join(label)
    return file if file.startswith("<") else _absolute(file)


def distribution_of(module: str) -> tuple[str, str] | None:
    """The installed distribution that provides a module.

    Args:
        module: a dotted name.

    Returns:
        (distribution, version), or None if none claims it.
    """
    top = module.partition(".")[0]
    return _distribution(module if _is_namespace(top) else top, tuple(sys.path))


def _absolute(file: str | Path) -> str:
    return os.path.abspath(file)  # noqa: PTH100 - without `..`, but with the links its user knows


@lru_cache(maxsize=4096)
def _distribution(module: str, _path: tuple[str, ...]) -> tuple[str, str] | None:
    # Asking for all packages reads every RECORD, half a second: first the one that is called like the module.
    prefix = module.replace(".", "/")
    top = module.partition(".")[0]
    try:
        likely = importlib.metadata.distribution(top)
    except importlib.metadata.PackageNotFoundError:
        pass
    else:
        if top == _PLATFORM or _provides(likely, prefix):
            return _normal(likely.name), likely.version
    if top == _PLATFORM:  # a checkout that is not installed
        return None
    names = dict.fromkeys(_by_module(_path).get(top, ()))
    candidates = [importlib.metadata.distribution(name) for name in names]
    for parts in range(prefix.count("/") + 1, 0, -1):  # several may share a namespace: the most precise one
        part = "/".join(prefix.split("/")[:parts])
        for candidate in candidates:
            if len(candidates) == 1 or _provides(candidate, part):
                return _normal(candidate.name), candidate.version
    return None


@lru_cache(maxsize=4)
def _by_module(_path: tuple[str, ...]) -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _provides(distribution: importlib.metadata.Distribution, prefix: str) -> bool:
    record = distribution.read_text("RECORD") or ""
    return re.search(rf"^{re.escape(prefix)}(/|\.py,|\.[^/,]*(so|pyd),)", record, re.MULTILINE) is not None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _is_namespace(top: str) -> bool:
    module = sys.modules.get(top)
    if module is not None:
        return getattr(module, "__file__", None) is None and hasattr(module, "__path__")
    spec = importlib.util.find_spec(top)
    return spec is not None and spec.origin is None


@lru_cache(maxsize=4096)
def _is_installed(path: Path) -> bool:
    if not _SKIPPED_DIRECTORIES.isdisjoint(path.parts):
        return True
    resolved = path.resolve()
    return any(resolved.is_relative_to(place) for place in _installed_places())


@lru_cache(maxsize=1)
def _installed_places() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    places = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    places.update(site.getsitepackages())
    places.add(site.getusersitepackages())
    return tuple(Path(place).resolve() for place in places)


def _files_of(top: str, places: tuple[Path, ...]) -> Iterator[tuple[Path, str]]:
    for place in places:
        if place.is_file():
            yield place, place.name
            continue
        for folder, folders, names in place.walk():
            folders[:] = sorted(
                name
                for name in folders
                if not name.startswith(".")
                and name not in _SKIPPED_DIRECTORIES
                and not name.endswith(".egg-info")
                and not (folder / name / "pyvenv.cfg").exists()
            )
            for name in sorted(names):
                path = folder / name
                if not name.startswith(".") and path.suffix not in _SKIPPED_SUFFIXES and path.is_file():
                    yield path, Path(top, path.relative_to(place)).as_posix()


def _too_large(files: Mapping[str, bytes], relative: str, size_bytes: int) -> TravelError:
    sizes = {name: len(content) for name, content in files.items()} | {relative: size_bytes}
    largest = dict(sorted(sizes.items(), key=lambda item: -item[1])[:5])
    return TravelError(
        "sources_too_large",
        f"The files of your project that would travel have more than {MAX_SOURCES_BYTES} bytes; the largest: "
        + ", ".join(f"{name} ({size} bytes)" for name, size in largest.items())
        + ".",
        "Keep data outside the package, or install the package on the workers so that it need not travel.",
        largest=largest,
    )


def _loaded(top: str) -> Iterator[str]:
    """Modules that the loaded modules of a package hold, however they were imported."""
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] != top or not isinstance(module, ModuleType):
            continue
        for value in list(vars(module).values()):
            held = (
                value.__name__
                if isinstance(value, ModuleType)
                else value.__module__
                if isinstance(value, FunctionType | type)
                else None
            )
            if isinstance(held, str) and held.partition(".")[0] != top and origin_of(held) is Origin.PROJECT:
                yield held


@lru_cache(maxsize=2048)
def _imports(content: bytes) -> tuple[tuple[str, bool], ...]:
    """(module, whether it may be missing) of every absolute import in a file, those inside functions too."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):  # a template, or for another Python: it brings nothing
        return ()
    found: dict[str, bool] = {}

    def visit(node: ast.AST, optional: bool) -> None:
        inner: list[ast.AST]
        rest: list[ast.AST]
        for name in _imported(node):
            found[name] = optional and found.get(name, True)
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
                inner, rest = [*node.body], [*node.orelse]
            case ast.Try() if any(_catches_import_error(handler) for handler in node.handlers):
                inner, rest = [*node.body, *node.handlers], [*node.orelse, *node.finalbody]
            case _:
                inner, rest = [], list(ast.iter_child_nodes(node))
        for child in inner:
            visit(child, True)
        for child in rest:
            visit(child, optional)

    try:
        visit(tree, False)
    except RecursionError:  # generated code; its imports stand at the top
        for child in ast.iter_child_nodes(tree):
            found.update((name, False) for name in _imported(child))
    return tuple(sorted(found.items()))


def _imported(node: ast.AST) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=str(module), level=0, names=names):
            return [module, *(f"{module}.{alias.name}" for alias in names if alias.name != "*")]
        case ast.Call(
            func=ast.Attribute(attr="import_module") | ast.Name(id="import_module" | "__import__"),
            args=[ast.Constant(value=str(name)), *_],
        ) if name and not name.startswith("."):
            return [name]
        case _:
            return []


def _catches_import_error(handler: ast.ExceptHandler) -> bool:
    caught = handler.type
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    expected = ("ImportError", "ModuleNotFoundError", "Exception")
    return any(name is None or (isinstance(name, ast.Name) and name.id in expected) for name in names)
