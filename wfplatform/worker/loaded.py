"""A workflow version as a worker has it in memory: its graph, its code, and what is worked out once per node."""

from __future__ import annotations

import inspect
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from wfplatform.authoring.call import caller
from wfplatform.authoring.document import from_document
from wfplatform.authoring.environment import declared_environment
from wfplatform.authoring.parameter import load_parameter, parameter_adapter
from wfplatform.authoring.platform import use_platform
from wfplatform.compiler.payload import unpack_version
from wfplatform.core.graph import Graph, Json, Node, OutputRef
from wfplatform.errors import TravelError
from wfplatform.worker.inputs import Inputs
from wfplatform.worker.no_platform import NoPlatform
from wfplatform.worker.program import Program

__all__ = ["LoadedVersion", "LoadedVersions"]

_KEPT: Final = 64
_NOWHERE: Final = NoPlatform()
_AS_THEY_ARE: Final = (int, str, bool)
"""Types whose JSON is the value itself. Not float: JSON may say 1 for 1.0."""


class LoadedVersion:
    """One workflow version.

    Args:
        packed: what `compiler.payload.pack_version` made.
        folder: where source files of the program are laid out.
    """

    def __init__(self, packed: bytes, folder: Path) -> None:
        document, code = unpack_version(packed)
        self.graph: Graph = from_document(document).graph
        self._program = Program.load(code, folder)
        self._index = {node.id: number for number, node in enumerate(self.graph.every)}
        self._inputs: dict[int, Inputs] = {}
        self._callers: dict[str, Callable[[Mapping[str, Any]], Any]] = {}
        self._typed: dict[str, Callable[[Json], Any] | None] = {}
        self.sized: Mapping[str, Sequence[OutputRef]] = self.graph.sized
        self.users_file: Callable[[str], str] = self._program.users_file

    def index(self, node: str) -> int:
        """The node's place in the graph."""
        return self._index[node]

    def inputs(self, index: int) -> Inputs:
        """How the node gets its arguments."""
        found = self._inputs.get(index)
        if found is None:
            found = self._inputs[index] = Inputs(self.graph, self.graph.every[index])
        return found

    def caller(self, key: str) -> Callable[[Mapping[str, Any]], Any]:
        """Calls user code with arguments by port; it is imported or unpickled when it is first needed."""
        found = self._callers.get(key)
        if found is None:
            found = self._callers[key] = caller(self._program.function(key))
        return found

    def names(self, key: str) -> tuple[str, ...]:
        """The parameter names of a function of the user's."""
        return tuple(inspect.signature(self._program.function(key)).parameters)

    def differing(self, node: Node) -> list[str]:
        """What the node declares of its environment and is something else here than where it was published."""
        cache = node.policy.cache
        if cache is None or not cache.environment:
            return []
        there = self._program.code.environment
        try:
            here = declared_environment([cache])
        except TravelError as error:
            return [str(error.facts["package"])]
        return [name for name in here if here[name] != there.get(name)]

    def constant(self, digest: str) -> Any:
        """A value of the definition that JSON cannot say; made anew for each use, since user code may change it."""
        return self._program.constant(digest)

    def parameters(self, given: Mapping[str, Json]) -> dict[str, Any]:
        """Parameters with the types their annotations name."""
        return {name: self._rebuild(name, value) for name, value in given.items()}

    def tokens(self, given: Mapping[str, Json]) -> dict[str, str]:
        """Parameter -> what stands for it in a digest."""
        return {name: json.dumps(value, sort_keys=True) for name, value in given.items()}

    @contextmanager
    def active(self) -> Iterator[None]:
        """Makes the program's own modules importable while its nodes run, and keeps them from starting executions."""
        with use_platform(_NOWHERE), self._program.active():
            yield

    def _rebuild(self, name: str, value: Json) -> Any:
        if name not in self._typed:
            self._typed[name] = self._rebuilder(name)
        rebuild = self._typed[name]
        return value if rebuild is None else rebuild(value)

    def _rebuilder(self, name: str) -> Callable[[Json], Any] | None:
        annotation = self._program.parameter_type(name)
        if annotation is None or annotation in _AS_THEY_ARE:
            return None
        adapter = parameter_adapter(annotation, name, "")
        return lambda value: load_parameter(adapter, value)


class LoadedVersions:
    """The versions a worker process has loaded, the least recently used ones forgotten.

    Args:
        fetch: digest -> packed version.
        folder: where source files are laid out.
    """

    def __init__(self, fetch: Callable[[str], bytes], folder: Path) -> None:
        self._fetch = fetch
        self._folder = folder
        self._lock = threading.Lock()
        self._loaded: OrderedDict[str, LoadedVersion] = OrderedDict()

    def __call__(self, digest: str) -> LoadedVersion:
        """The version with this digest."""
        with self._lock:
            found = self._loaded.get(digest)
            if found is None:
                found = self._loaded[digest] = LoadedVersion(self._fetch(digest), self._folder)
                if len(self._loaded) > _KEPT:
                    self._loaded.popitem(last=False)
            else:
                self._loaded.move_to_end(digest)
            return found
