"""Inputs of nodes that the engine handles itself: plain data is read, anything else is passed on unopened.

Refuses to look into values that are not plain JSON: those are opened on workers only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from wfplatform.authoring.call import follow
from wfplatform.compiler.tree import open_output
from wfplatform.core.execution import Element
from wfplatform.core.graph import (
    Binding,
    Constant,
    DictOf,
    Graph,
    Json,
    ListOf,
    Literal,
    OutputRef,
    ParameterRef,
    PathStep,
)
from wfplatform.errors import NodeError, StorageError, WfError

__all__ = ["EngineInputs", "UnreadableError", "plain_output", "seen_value", "tree_output"]


_OPENED: Final = frozenset({"json", "npy"})
"""Codecs of values that hold no code of a user's."""
_OPENED_BYTES: Final = 16 * 1024 * 1024
"""An engine that serves many is not to hold one user's data; it only wants a length."""


class UnreadableError(WfError):
    """An input is not plain data."""


def plain_output(value: Json) -> dict[str, Any]:
    """Plain data as an output."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    return {"codec": "json", "size": len(text), "digest": sha256(text).hexdigest(), "value": value}


def tree_output(kind: str, items: Sequence[Mapping[str, Any]], names: Sequence[str] = ()) -> dict[str, Any]:
    """Outputs put together to one: a `list`, a `tuple` or a `dict` (with the names of its items)."""
    digest = sha256(
        json.dumps([kind, list(names), [[item["digest"], item.get("path")] for item in items]]).encode()
    ).hexdigest()
    size_bytes = sum(int(item["size"]) for item in items)
    tree: dict[str, Any] = {"codec": "tree", "size": size_bytes, "digest": digest, "kind": kind, "items": list(items)}
    if kind == "dict":
        tree["names"] = list(names)
    return tree


def seen_value(output: Mapping[str, Any], load: Callable[[Mapping[str, Any]], Any] | None, called: str) -> Any:
    """An output as far as an engine may see it: what only workers open is in it as something that refuses to be looked into.

    Args:
        output: as recorded.
        load: opens plain data and arrays that do not stand in the output, up to 16 MiB; None = such are not opened.
        called: what it is called, at the beginning of a sentence.

    Raises:
        StorageError: the artifact storage does not answer.
    """
    if output["codec"] == "tree":
        items = [seen_value(item, load, called) for item in output["items"]]
        value: Any = dict(zip(output["names"], items, strict=True)) if output["kind"] == "dict" else items
    elif "value" in output:
        value = output["value"]
    elif load is not None and output["codec"] in _OPENED and output["size"] <= _OPENED_BYTES:
        try:
            value = load({name: entry for name, entry in output.items() if name != "path"})
        except StorageError as error:
            if not error.code.startswith("artifact_"):
                raise  # the storage does not answer; else it is this value that is lost or damaged
            value = _unseen(output, called)
    else:
        value = _unseen(output, called)
    try:
        return follow(value, [PathStep(*step) for step in output.get("path") or ()], called)
    except NodeError:
        return None  # there is no such part: whoever opens it says so


def _unseen(output: Mapping[str, Any], called: str) -> Any:
    one = _Unseen(output, called)
    return [one] * output["length"] if "length" in output else one


class _Unseen:
    """In place of a value that only workers open, or of each of its items if their number was recorded."""

    def __init__(self, output: Mapping[str, Any], called: str) -> None:
        self._refusal = UnreadableError(
            "not_plain",
            f"{called} is mapped over, but it is kept in a form that only workers open ({output['codec']}, "
            f"{output['size']} bytes), so that its length is not known.",
            "Let the workflow return plain lists and dicts of moderate size, or hand the result to a node that returns the list.",
        )

    def __len__(self) -> int:
        raise self._refusal

    def __iter__(self) -> Iterator[Any]:
        raise self._refusal

    def __getitem__(self, key: object) -> Any:
        raise self._refusal

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name) if name.startswith("__") else self._refusal


class EngineInputs:
    """What engine-side nodes of one execution can see.

    Args:
        graph: its definition.
        parameters: its parameters.
        outputs: (node, element) -> committed outputs, None for a skipped one.
        sizes: node -> prefix -> number of elements.
        edited: what somebody replaced among the inputs of an element: port -> value.
    """

    def __init__(
        self,
        graph: Graph,
        parameters: Mapping[str, Json],
        outputs: Mapping[tuple[str, Element], Mapping[str, Any] | None],
        sizes: Mapping[str, Mapping[Element, int]],
        edited: Callable[[str, Element], Mapping[str, Json]] = lambda node, element: {},
    ) -> None:
        self._edited = edited
        self._graph = graph
        self._parameters = parameters
        self._outputs = outputs
        self._sizes = sizes

    def read(self, node: str, port: str, element: Element) -> Json:
        """The value of an input.

        Raises:
            UnreadableError: it is not plain data.
        """
        edited = self._edited(node, element)
        if port in edited:
            return edited[port]
        found = self._graph.by_id[node]
        levels = found.over.get(port, 0)
        value: Json = self._value(found.inputs[port], element, levels, f"input {port} of {node}")
        return value

    def output(self, node: str, port: str, element: Element) -> dict[str, Any]:
        """The value of an input as an output: what is not plain data is passed on as it is.

        Raises:
            UnreadableError: a part of something that is not plain data is wanted.
        """
        if port in self._edited(node, element):
            return plain_output(self.read(node, port, element))
        found = self._graph.by_id[node]
        binding = found.inputs[port]
        levels = found.over.get(port, 0)
        if isinstance(binding, OutputRef) and not binding.path and self._graph.by_id[binding.node].rank == levels:
            outputs = self._outputs.get((binding.node, element[:levels]))
            if outputs is not None:
                return dict(outputs[binding.port])
        try:
            return plain_output(self.read(node, port, element))
        except UnreadableError:
            if not isinstance(binding, OutputRef) or self._graph.by_id[binding.node].rank < levels:
                raise
            return self._tree_of(binding, element[:levels])

    def digest(self, node: str, port: str, element: Element) -> str:
        """SHA-256 over what an input is: digests of outputs, and the JSON of everything else."""
        found = self._graph.by_id[node]
        levels = found.over.get(port, 0)
        described = self._describe(found.inputs[port], element, levels)
        return sha256(json.dumps(described, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    def _describe(self, binding: Binding, element: Element, levels: int) -> Any:
        match binding:
            case Constant(digest):
                return ["constant", digest, list(element[:levels])]
            case OutputRef(node, port, path):
                rank = self._graph.by_id[node].rank
                steps = [[step.key, step.attribute] for step in path]
                return [
                    "output",
                    self._output_digests(node, port, element[: min(rank, levels)]),
                    steps,
                    list(element[rank:levels]),
                ]
            case ListOf(items, kind):
                return [kind, [self._describe(item, element, 0) for item in items], list(element[:levels])]
            case DictOf(pairs):
                named = {key: self._describe(item, element, 0) for key, item in pairs}
                return ["dict", named, list(element[:levels])]
            case _:
                return ["plain", self._value(binding, element, levels, "")]

    def _output_digests(self, node: str, port: str, prefix: Element) -> Any:
        size = self._size(node, prefix)
        if size is not None:
            return [self._output_digests(node, port, (*prefix, index)) for index in range(size)]
        outputs = self._outputs.get((node, prefix))
        if not outputs:
            return None
        output = outputs[port]
        return [output["codec"], output.get("kind"), output["digest"], output.get("path")]

    def gathered(self, binding: Binding) -> dict[str, Any]:
        """A binding as one output: plain data, an output as it is, or a tree of such."""
        match binding:
            case OutputRef():
                return self._tree_of(binding, ())
            case ListOf(items, kind):
                return tree_output(kind, [self.gathered(item) for item in items])
            case DictOf(pairs):
                names = [key for key, _ in pairs]
                return tree_output("dict", [self.gathered(item) for _, item in pairs], names)
            case _:
                return plain_output(self._value(binding, (), 0, "result"))

    def _size(self, node: str, prefix: Element) -> int | None:
        """How many elements there are below a prefix; None of one element, and of a branch that ended as a whole."""
        if len(prefix) >= self._graph.by_id[node].rank:
            return None
        if any((node, prefix[:cut]) in self._outputs for cut in range(len(prefix) + 1)):
            return None
        return self._sizes.get(node, {}).get(prefix)

    def _tree_of(self, ref: OutputRef, prefix: Element) -> dict[str, Any]:
        size = self._size(ref.node, prefix)
        if size is not None:
            return tree_output("list", [self._tree_of(ref, (*prefix, index)) for index in range(size)])
        outputs = self._outputs.get((ref.node, prefix))
        if not outputs:
            return plain_output(None)
        output = dict(outputs[ref.port])
        if ref.path:
            # Whoever opens the value takes the part: only there is it more than bytes.
            output["path"] = [*output.get("path", ()), *([step.key, step.attribute] for step in ref.path)]
        return output

    def _value(self, binding: Binding, element: Element, levels: int, place: str) -> Any:
        match binding:
            case Literal(value):
                return _item(value, element[:levels])
            case ParameterRef(name, path):
                value = self._parameters[name]
                for step in path:
                    value = value[step.key]  # type: ignore[index]
                return _item(value, element[:levels])
            case Constant():
                raise UnreadableError(
                    "not_plain",
                    f"The {place} is not plain JSON data.",
                    "Delays and child workflows take numbers, texts, lists and dicts.",
                )
            case ListOf(items):
                return _item([self._value(item, element, 0, place) for item in items], element[:levels])
            case DictOf(pairs):
                return _item({k: self._value(v, element, 0, place) for k, v in pairs}, element[:levels])
            case OutputRef():
                return self._referred(binding, element, levels, place)

    def _referred(self, ref: OutputRef, element: Element, levels: int, place: str) -> Any:
        rank = self._graph.by_id[ref.node].rank

        def leaf(prefix: Element) -> Any:
            outputs = self._outputs.get((ref.node, prefix))
            if outputs is None:
                return None
            output = outputs[ref.port]
            return follow(open_output(output, opened), ref.path, f"`{ref.node}`")

        def opened(output: Mapping[str, Any]) -> Json:
            if "value" not in output:
                raise UnreadableError(
                    "not_plain",
                    f"The {place} is the output {ref.port} of {ref.node}, which is not plain JSON data of at most 64 KiB "
                    f"(codec {output['codec']}, {output['size']} bytes).",
                    "Delays and child workflows take numbers, texts, lists and dicts: return those, or a path to the data.",
                )
            value: Json = output["value"]
            return value

        def gather(prefix: Element) -> Any:
            size = self._size(ref.node, prefix)
            if size is None:
                return leaf(prefix)
            return [gather((*prefix, index)) for index in range(size)]

        if rank > levels:
            return gather(element[:levels])
        return _item(leaf(element[:rank]), element[rank:levels])


def _item(value: Any, indices: Element) -> Any:
    for index in indices:
        value = value[index]
    return value
