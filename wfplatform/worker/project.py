"""Modules of users' projects in this process: versions of one module side by side, each with its own imports.

A project's files lie in a folder named by their digest. `sys.modules` shows those of the project used last;
functions of the others keep working, for their import statements bring their own project back first.
Refuses files that would be written outside their folder.
"""

from __future__ import annotations

import builtins
import importlib
import shutil
import sys
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any, Final

from wfplatform.core.canonical import digest
from wfplatform.errors import TravelError

__all__ = ["Project", "project"]


def project(sources: Mapping[str, bytes], sources_digest: str, folder: Path) -> Project:
    """The project with these files, written to disk once and shared by all that ask for it in this process.

    Args:
        sources: path relative to an import root -> content.
        sources_digest: digest over them; names the folder.
        folder: where projects are kept; several processes may share it.

    Returns:
        the project; none of its modules is imported yet.

    Raises:
        TravelError: `source_path` if a path or the digest leads out of the folder.
    """
    if sources and not _is_digest(sources_digest):
        raise TravelError(
            "source_path",
            f"Expected 64 hexadecimal digits as the digest of the sources, got {sources_digest!r}.",
            "Register the workflow again; its code was changed on the way.",
        )
    finder = _finder()
    with finder.lock:
        found = finder.projects.get(sources_digest)
        if found is None or (sources and not found.folder.is_dir()):
            place = _materialise(sources, sources_digest, folder) if sources else folder
            found = Project(finder, sources, place)
            finder.projects[sources_digest] = found
        return found


class Project:
    """The modules of one set of sources.

    Args:
        finder: this process's finder of project modules.
        sources: path -> content.
        folder: where they lie.
    """

    def __init__(self, finder: _Finder, sources: Mapping[str, bytes], folder: Path) -> None:
        self.folder: Final = folder
        self.tops: Final = frozenset(PurePosixPath(path).parts[0].split(".")[0] for path in sources)
        self.builtins: Final[dict[str, Any]] = {**vars(builtins), "__import__": self._import}
        self._finder = finder
        self._digests = {path: digest(content) for path, content in sources.items()}
        self.stashed: Final[dict[str, ModuleType]] = {}

    def activate(self) -> None:
        """Make `sys.modules` show this project's modules. Costs next to nothing if it does already."""
        finder = self._finder
        if all(finder.active.get(top) is self for top in self.tops):
            return
        with finder.lock:
            for top in self.tops:
                holder = finder.active.get(top)
                if holder is self:
                    continue
                shown = _shown(top)
                if holder is None and shown and self._is_same(shown):
                    finder.active[top] = self  # imported here before, from equal files: it is the same module
                    finder.adopted.add(top)
                    continue
                for name in shown:
                    del sys.modules[name]
                if holder is not None:
                    holder.stashed.update(shown)
                if holder is None or top in finder.adopted:
                    finder.outside.update(shown)
                    finder.adopted.discard(top)
                mine = {name: module for name, module in self.stashed.items() if name.partition(".")[0] == top}
                sys.modules.update(mine)
                finder.active[top] = self
            finder.show_to_children(self)

    def release(self) -> None:
        """Put back modules of the process's own that this project took the place of.

        A worker has none; where programs run beside the user's own code (tests, a notebook), that code must find its
        modules again.
        """
        finder = self._finder
        if not finder.outside:
            return
        with finder.lock:
            for top in self.tops:
                own = {name: module for name, module in finder.outside.items() if name.partition(".")[0] == top}
                if own and finder.active.get(top) is self:
                    finder.hide(top)
                    finder.show_to_children(None)

    def concerns(self, module: str) -> bool:
        """Whether a module may be another one for this project than `sys.modules` shows."""
        top = module.partition(".")[0]
        return top in self.tops or top in self._finder.active

    def import_module(self, name: str) -> ModuleType:
        """Import a module as this project sees it.

        Args:
            name: dotted, of the project or installed.

        Returns:
            the module.
        """
        finder = self._finder
        top = name.partition(".")[0]
        with finder.lock:
            self.activate()
            self._release_foreign(top)
            return importlib.import_module(name)

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002 - the names of `__import__`
        locals: Mapping[str, object] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """What `import` does in this project's code: bring the project back, then seek the module."""
        top = name.partition(".")[0]
        if level or self.concerns(name):
            with self._finder.lock:
                self.activate()
                if not level:
                    self._release_foreign(top)
                return builtins.__import__(name, globals, locals, fromlist or (), level)
        return builtins.__import__(name, globals, locals, fromlist or (), level)

    def _release_foreign(self, top: str) -> None:
        # A module of another project must not stand in for one that is installed here.
        finder = self._finder
        if top in finder.active and top not in self.tops and top not in finder.adopted:
            finder.hide(top)

    def _is_same(self, shown: Mapping[str, ModuleType]) -> bool:
        for name, module in shown.items():
            file = getattr(module, "__file__", None)
            if file is None:
                if not hasattr(module, "__path__"):
                    return False
                continue
            parts = name.replace(".", "/")
            path = f"{parts}/{Path(file).name}" if hasattr(module, "__path__") else parts + Path(file).suffix
            try:
                if self._digests.get(path) != digest(Path(file).read_bytes()):
                    return False
            except OSError:
                return False
        return True


class _Loader(SourceFileLoader):
    """Loads a module whose import statements go to its project."""

    def __init__(self, fullname: str, path: str, owner: Project) -> None:
        super().__init__(fullname, path)
        self._owner = owner

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = self._owner.builtins
        super().exec_module(module)


class _Finder:
    """Stands in `sys.meta_path`, one in a process; knows which project is shown under a top-level name.

    `adopted`: top-level names whose modules the process itself had imported; `outside`: such modules, put aside.
    """

    def __init__(self) -> None:
        self.lock: Final = threading.RLock()
        self.active: Final[dict[str, Project]] = {}
        self.adopted: Final[set[str]] = set()
        self.outside: Final[dict[str, ModuleType]] = {}
        self.projects: Final[weakref.WeakValueDictionary[str, Project]] = weakref.WeakValueDictionary()
        self._children_see: tuple[str, frozenset[str]] | None = None

    def show_to_children(self, project: Project | None) -> None:
        """Let processes that user code starts (`multiprocessing`, joblib) find the project, for they are handed `sys.path`."""
        if self._children_see and self._children_see[0] in sys.path:
            sys.path.remove(self._children_see[0])
        self._children_see = (str(project.folder), project.tops) if project is not None and project.tops else None
        if self._children_see:
            sys.path.append(self._children_see[0])

    def hide(self, top: str) -> None:
        """Take a project's modules out of `sys.modules`, and put back what stood there before it."""
        shown = _shown(top)
        for name in shown:
            del sys.modules[name]
        self.active.pop(top).stashed.update(shown)
        back = [name for name in self.outside if name.partition(".")[0] == top]
        sys.modules.update({name: self.outside.pop(name) for name in back})

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The specification of a project module, or None if it is not one."""
        top = fullname.partition(".")[0]
        owner = self.active.get(top)
        if owner is None:
            return (
                self._installed(fullname)
                if path is None and self._children_see and top in self._children_see[1]
                else None
            )
        where = [str(owner.folder)] if path is None else list(path)
        spec = PathFinder.find_spec(fullname, where)
        if spec is None:
            return None
        if spec.submodule_search_locations is not None:
            # A namespace package's own kind of list would look along `sys.path` again.
            spec.submodule_search_locations = list(spec.submodule_search_locations)
        if type(spec.loader) is SourceFileLoader and spec.origin is not None:
            spec.loader = _Loader(fullname, spec.origin, owner)
        return spec

    def _installed(self, name: str) -> ModuleSpec:
        """The specification of a module that stands in `sys.path` for children only, from elsewhere in it."""
        folder = self._children_see[0] if self._children_see else ""
        spec = PathFinder.find_spec(name, [entry for entry in sys.path if entry != folder])
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return spec


def _finder() -> _Finder:
    for entry in sys.meta_path:
        if isinstance(entry, _Finder):
            return entry
    made = _Finder()
    sys.meta_path.insert(0, made)
    return made


def _shown(top: str) -> dict[str, ModuleType]:
    prefix = top + "."
    return {name: module for name, module in list(sys.modules.items()) if name == top or name.startswith(prefix)}


def _is_digest(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def _materialise(sources: Mapping[str, bytes], sources_digest: str, folder: Path) -> Path:
    place = folder / sources_digest
    if place.is_dir():
        return place
    folder.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
    try:
        for path, content in sources.items():
            relative = PurePosixPath(path)
            if relative.is_absolute() or ".." in relative.parts or "\\" in path or ":" in path or "\0" in path:
                raise TravelError(
                    "source_path",
                    f"The source {path!r} would be written outside its folder.",
                    "Register the workflow again; its code was changed on the way.",
                )
            file = made / relative
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        try:
            made.rename(place)
        except OSError:
            if not place.is_dir():  # else another process was first, with the same content
                raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return place
