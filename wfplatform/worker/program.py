"""The code of a workflow on a worker: its functions, constants and parameter types, loaded from bytes.

Functions whose tracebacks are printed show the user's own lines. Refuses code that another Python pickled.
"""

from __future__ import annotations

import importlib.metadata
import io
import linecache
import pickle
import platform
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, Final

from wfplatform.authoring.code import ByReference, ByValue, Code
from wfplatform.core.requirement import distribution_name
from wfplatform.errors import TravelError
from wfplatform.worker.project import Project, project

__all__ = ["Program", "environment"]


class Program:
    """The loaded code of one workflow version. Safe to use from several threads.

    Args:
        code: what was packed.
        modules: the user's project; without modules if no sources came along.
    """

    def __init__(self, code: Code, modules: Project) -> None:
        self.code: Final = code
        self._project: Final = modules
        self._functions: dict[str, Callable[..., Any]] = {}
        self._types: dict[str, Any] = {}
        self._lock: Final = threading.RLock()
        self._lines: Final = _lines(code)
        self._users_files: Final = {
            **{str(modules.folder / path): origin for path, origin in code.origins.items()},
            **{listing.file: listing.shown for listing in code.listings if listing.shown},
        }

    @classmethod
    def load(cls, content: bytes, folder: Path) -> Program:
        """Read packed code and lay its sources down; nothing of the user's is imported or run yet.

        Args:
            content: bytes of `Code.to_bytes`.
            folder: where sources are kept, by digest; may be shared with other processes.

        Returns:
            the program.

        Raises:
            TravelError: the bytes are not packed code, or a source path leads out of the folder.
        """
        code = Code.from_bytes(content)
        return cls(code, project(code.sources, code.sources_digest, folder))

    @property
    def digest(self) -> str:
        """The digest of the code."""
        return self.code.digest

    def activate(self) -> None:
        """Let `sys.modules` and tracebacks show this program's sources.

        To be called before its functions run and before values made of its classes are pickled or unpickled:
        a worker process may hold programs with different versions of one module. Cheap when nothing changes.
        """
        self._project.activate()
        for file, entry in self._lines.items():
            if linecache.cache.get(file) is not entry:
                linecache.cache[file] = entry

    @contextmanager
    def active(self) -> Iterator[None]:
        """`activate`, as the head of a `with` block. At its end the process's own modules are back, if there are any."""
        self.activate()
        try:
            yield
        finally:
            self._project.release()

    def users_file(self, file: str) -> str:
        """The name of a file as its user knows it: where it was when the code was packed, or the cell of a notebook.

        Args:
            file: its name in this process.

        Returns:
            that name; the same one for a file that is not of this program.
        """
        return self._users_files.get(file, file)

    def function(self, key: str) -> Callable[..., Any]:
        """A function, imported or unpickled at the first call.

        Args:
            key: its key in the definition.

        Returns:
            the plain function.

        Raises:
            TravelError: `unknown_function`, `function_missing` (module or name is not here), `other_python`.
            Exception: whatever the user's module raises while it is imported.
        """
        found = self._functions.get(key)
        if found is not None:
            return found
        with self._lock:
            self.activate()
            entry = self.code.functions.get(key)
            match entry:
                case ByReference():
                    function = self._imported(key, entry)
                case ByValue():
                    function = self._opened(entry.pickle, f"The function {key!r}")
                case None:
                    raise TravelError(
                        "unknown_function",
                        f"Code {self.digest[:12]} has no function {key!r}, only {list(self.code.functions)}.",
                        "Register the workflow again.",
                    )
            self._functions[key] = function
            return function

    def constant(self, digest: str) -> Any:
        """A constant of the definition, opened anew at each call: who gets it may change it.

        Args:
            digest: as the definition says it.

        Returns:
            the value.

        Raises:
            TravelError: `unknown_constant` or `other_python`.
        """
        content = self.code.constants.get(digest)
        if content is None:
            raise TravelError(
                "unknown_constant",
                f"The code {self.digest[:12]} has no constant {digest[:12]!r}.",
                "Register the workflow again.",
            )
        self.activate()
        return self._opened(content, f"The constant {digest[:12]!r}")

    def parameter_type(self, name: str) -> Any:
        """What was packed as the type of a workflow parameter; None if nothing was.

        Args:
            name: of the parameter.

        Returns:
            the same object at each call.
        """
        with self._lock:
            if name not in self._types:
                content = self.code.parameter_types.get(name)
                self.activate()
                self._types[name] = (
                    None if content is None else self._opened(content, f"The type of parameter {name!r}")
                )
            return self._types[name]

    def loads(self, content: bytes) -> Any:
        """Open a pickle that may refer to the modules of this program.

        Args:
            content: bytes of pickle or cloudpickle.

        Returns:
            the value.
        """
        self.activate()
        return _Unpickler(io.BytesIO(content), self._project).load()

    def _opened(self, content: bytes, name: str) -> Any:
        here = _python()
        if self.code.python != here:
            raise TravelError(
                "other_python",
                f"{name} was registered with Python {self.code.python}; this worker runs Python {here}.",
                f"Register the workflow with Python {here}, or start workers with Python {self.code.python}.",
                expected=self.code.python,
                found=here,
            )
        return _Unpickler(io.BytesIO(content), self._project).load()

    def _imported(self, key: str, entry: ByReference) -> Callable[..., Any]:
        try:
            found: Any = self._project.import_module(entry.module)
            for part in entry.qualname.split("."):
                found = getattr(found, part)
        except (ModuleNotFoundError, AttributeError) as error:
            if isinstance(error, AttributeError) and error.obj is not found:
                raise  # of the user's own code
            raise TravelError(
                "function_missing",
                f"The function {key!r} cannot be imported on this worker: {error}.",
                "Install the package on the workers, in the version that the workflow was registered with.",
                module=entry.module,
            ) from error
        inner = getattr(found, "function", None)
        if type(found).__module__.startswith("wfplatform.") and callable(inner):
            found = inner
        return found  # type: ignore[no-any-return]  # it was a function where it was packed


class _Unpickler(pickle.Unpickler):
    """Resolves modules of the project, and gives functions that travelled by value the project's imports."""

    def __init__(self, file: io.BytesIO, modules: Project) -> None:
        super().__init__(file)
        self._project = modules

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("cloudpickle"):
            if name == "_make_function":
                return self._make_function
            if name == "_function_setstate":
                return self._set_state
        elif self._project.concerns(module):
            self._project.import_module(module)
        return super().find_class(module, name)

    def _make_function(
        self,
        code: CodeType,
        scope: dict[str, Any],
        name: str,
        argdefs: tuple[Any, ...] | None,
        closure: tuple[Any, ...] | None,
    ) -> FunctionType:
        scope["__builtins__"] = self._project.builtins
        return FunctionType(code, scope, name, argdefs, closure)

    def _set_state(self, function: FunctionType, state: tuple[Any, Any]) -> None:
        super().find_class("cloudpickle.cloudpickle", "_function_setstate")(function, state)
        function.__globals__["__builtins__"] = self._project.builtins  # for functions that it will make


def environment() -> dict[str, Any]:
    """What this process has: {"python": "3.13", "distributions": {name: version}}. Slow (50 ms): ask once."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        found.setdefault(distribution_name(distribution.name), distribution.version)  # the first on the path is used
    return {"python": _python(), "distributions": dict(sorted(found.items()))}


def _python() -> str:
    return ".".join(platform.python_version_tuple()[:2])


def _lines(code: Code) -> dict[str, tuple[int, None, list[str], str]]:
    """Entries for `linecache`; without a time they are never checked against a file."""
    entries: dict[str, tuple[int, None, list[str], str]] = {}
    for listing in code.listings:
        lines: list[str] = []
        for start, text in listing.blocks:
            block = text.splitlines(keepends=True)
            lines.extend(["\n"] * (start - 1 + len(block) - len(lines)))
            lines[start - 1 : start - 1 + len(block)] = block
        entries[listing.file] = (sum(map(len, lines)), None, lines, listing.file)
    return entries
