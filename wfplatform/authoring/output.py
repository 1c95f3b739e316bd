"""What stands for a value while a workflow is drawn: a parameter, or the output of a node that will run
later.

Both can be handed on, and parts of them named (`out.total`, `out["total"]`, `out[0]`). Refuses whatever
would need the value itself (`if out:`, `out + 1`, `for x in out`, `len(out)`, f-strings), and says what to
write instead.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from wfplatform.core.graph import OutputRef, ParameterRef, PathStep
from wfplatform.errors import DefinitionError

if TYPE_CHECKING:
    from wfplatform.authoring.trace import Trace

__all__ = [
    "Each",
    "Output",
    "Outputs",
    "ParameterInput",
    "Reference",
    "Unmapped",
    "each",
    "rank_of",
    "ref_of",
    "unmapped",
]


class Reference(ABC):
    """A value that is known only when the workflow runs. Made by calling nodes inside a workflow function."""

    __slots__ = ("_wf_ref", "_wf_trace")

    _wf_ref: OutputRef | ParameterRef
    _wf_trace: Trace

    def __init__(self, trace: Trace, ref: OutputRef | ParameterRef) -> None:
        object.__setattr__(self, "_wf_trace", trace)
        object.__setattr__(self, "_wf_ref", ref)

    def __getattr__(self, name: str) -> Any:
        # Names with a leading underscore are asked for by copy, pickle, IPython and NumPy, who must hear
        # that there is none.
        if name.startswith("_"):
            raise AttributeError(f"{describe(self)} has no attribute {name!r}")
        return self._wf_part(PathStep(name, attribute=True))

    def __getitem__(self, key: str | int) -> Any:
        if isinstance(key, bool) or not isinstance(key, (str, int)):
            raise DefinitionError(
                "output_key",
                f"{describe(self)}[...] expects a text or a whole number, got {key!r} ({type(key).__name__}).",
                "Slice, or look up by anything else, in a node: write a function decorated with @node that does it.",
            )
        return self._wf_part(PathStep(key))

    @abstractmethod
    def _wf_part(self, step: PathStep) -> Any:
        """What stands for a part of the value."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {describe(self)}>"

    # The identity of the proxy: `==` is refused, but proxies may stand in sets and be keys of dicts.
    def __hash__(self) -> int:
        return id(self)

    def __reduce__(self) -> NoReturn:
        raise DefinitionError(
            "output_inside",
            f"{describe(self)} stands inside an object that is handed to a node as a whole, so it cannot be filled in.",
            "Hand it over as an argument of its own, or inside a plain list, tuple or dict.",
        )

    def __setattr__(self, name: str, value: object) -> NoReturn:
        _refuse(self, f"have its `{name}` set")

    def __setitem__(self, key: object, value: object) -> NoReturn:
        _refuse(self, "have an item set")

    if TYPE_CHECKING:  # installed below, with the same words for all of them

        def __bool__(self) -> bool: ...
        def __iter__(self) -> Iterator[Any]: ...
        def __len__(self) -> int: ...


class ParameterInput(Reference):
    """A parameter of the workflow that is being drawn.

    Args:
        collection: whether its annotation says that it is a list, tuple or set; None = it does not say.
    """

    __slots__ = ("_wf_collection",)

    _wf_ref: ParameterRef
    _wf_collection: bool | None

    def __init__(self, trace: Trace, ref: ParameterRef, collection: bool | None) -> None:
        super().__init__(trace, ref)
        object.__setattr__(self, "_wf_collection", collection)

    def _wf_part(self, step: PathStep) -> Any:
        ref = self._wf_ref
        return ParameterInput(self._wf_trace, ParameterRef(ref.name, (*ref.path, step)), None)


class Output(Reference):
    """The result of a node that will run later; of a mapped node, the results of all its elements.

    `out.name`, `out["name"]` and `out[0]` are parts of the result. Parts of a mapped output are parts of
    each of its results.
    """

    __slots__ = ()

    _wf_ref: OutputRef

    def _wf_part(self, step: PathStep) -> Any:
        ref = self._wf_ref
        if rank_of(self) and isinstance(step.key, int):
            raise DefinitionError(
                "output_index",
                f"{describe(self)} is mapped, so `[{step.key}]` could mean one of its results or a part of "
                "each of them.",
                "For one of the results, hand the whole to a node that picks it. For a part of each, name "
                "the parts: "
                f'@node(outputs=("first", "second")) on `{ref.node}`.',
                node=ref.node,
            )
        return Output(self._wf_trace, OutputRef(ref.node, ref.port, (*ref.path, step)))


class Outputs:
    """The outputs of a node that has several: unpack them, or take them by name or by place.

    Args:
        parts: port -> output, in the order in which the node names them.
    """

    __slots__ = ("_wf_parts",)

    def __init__(self, parts: dict[str, Output]) -> None:
        self._wf_parts = parts

    def __iter__(self) -> Iterator[Output]:
        return iter(self._wf_parts.values())

    def __len__(self) -> int:
        return len(self._wf_parts)

    def __getattr__(self, name: str) -> Output:
        if name.startswith("_"):
            raise AttributeError(f"{self!r} has no attribute {name!r}")
        return self[name]

    def __getitem__(self, key: str | int) -> Output:
        if isinstance(key, int) and -len(self) <= key < len(self):
            return list(self)[key]
        if isinstance(key, str) and key in self._wf_parts:
            return self._wf_parts[key]
        raise DefinitionError(
            "output_name",
            f"`{self._wf_node}` has no output {key!r}; its outputs are {', '.join(self._wf_parts)}.",
            f"Name it in @node(outputs=...), or take one of those: out.{next(iter(self._wf_parts))}.",
            node=self._wf_node,
        )

    def __repr__(self) -> str:
        return f"<Outputs {', '.join(map(describe, self))}>"

    @property
    def _wf_node(self) -> str:
        return next(iter(self))._wf_ref.node


@dataclass(frozen=True, slots=True)
class Unmapped:
    """Handed whole to every element of a map."""

    value: Any


@dataclass(frozen=True, slots=True)
class Each:
    """Mapped over, `levels` deeper than the value's own rank."""

    value: Any
    levels: int = 1


def unmapped(value: Any) -> Any:
    """Hand a list, or all results of a mapped node, as a whole to every element of a map.

    Args:
        value: anything that could stand as an argument of `.map`.

    Example:
        >>> from wfplatform import node, unmapped, workflow
        >>> @node
        ... def share(part: int, parts: list[int]) -> float:
        ...     return part / sum(parts)
        >>> @workflow
        ... def shares():
        ...     return share.map([1, 3], unmapped([1, 3]))
        >>> shares.local()
        [0.25, 0.75]
    """
    return Unmapped(value)


def each(value: Any) -> Any:
    """Map over the items of a value, one level deeper than it is mapped already (a nested map).

    Args:
        value: an output, a parameter or a list. `each(each(value))` goes two levels deeper.

    Example:
        >>> from wfplatform import each, node, workflow
        >>> @node
        ... def pages(book: int) -> list[int]:
        ...     return list(range(book))
        >>> @node
        ... def read(page: int) -> int:
        ...     return page * 10
        >>> @workflow
        ... def library():
        ...     return read.map(each(pages.map([1, 2])))
        >>> library.local()
        [[0], [0, 10]]
    """
    if isinstance(value, Each):
        return Each(value.value, value.levels + 1)
    if isinstance(value, Unmapped):
        raise DefinitionError("map_marks", "each(unmapped(...)) asks for two opposite things.", "Keep one of them.")
    return Each(value)


def ref_of(reference: Reference) -> OutputRef | ParameterRef:
    """What a proxy stands for. A function, because a proxy's own attributes are parts of the value."""
    return reference._wf_ref


def rank_of(value: object) -> int:
    """How many indices an element of the value has: above 0 only for outputs of mapped nodes."""
    return value._wf_trace.rank(value._wf_ref.node) if isinstance(value, Output) else 0


def describe(reference: Reference) -> str:
    """The proxy as the user would write it: `load.rows[0]`."""
    match reference._wf_ref:
        case ParameterRef(name=name, path=path):
            text = f"parameter {name}"
        case OutputRef(node=name, port=port, path=path):
            text = name if port == "result" else f"{name}.{port}"
    return "`" + text + "".join(f".{s.key}" if s.attribute else f"[{s.key!r}]" for s in path) + "`"


def _refuse(reference: Reference, wish: str, instead: str = "") -> NoReturn:
    what = "a parameter" if isinstance(reference, ParameterInput) else "the result of a node"
    raise DefinitionError(
        "output_value",
        f"{describe(reference)} is {what}: its value is known only when the workflow runs, so it cannot "
        f"{wish} while the workflow is drawn.",
        instead or "Do it in a node: write a function decorated with @node and hand the value to it.",
    )


_MAP: Final = (
    "To run a node for each item, write f.map(out); to work on the whole list, hand it to a node; to "
    "unpack several "
    'outputs, name them: @node(outputs=("a", "b")).'
)
_BRANCH: Final = "To run nodes only if it is true, write `with if_(out):`, and `with else_():` for the other case."
_COMPARE: Final = (
    "Compare in a node that returns True or False, and write `with if_(verdict):`. To see whether two "
    "names stand for "
    "the same output, use `is`."
)
_TEXT: Final = "Build the text in a node: write a function decorated with @node and hand the value to it."
_AWAIT: Final = "Leave out `await`: a call inside a workflow is only recorded; async nodes are awaited when run."
_CALL: Final = "Call methods of a value in a node: write a function decorated with @node and hand the value to it."

_OPERATORS: Final = (
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "and",
    "or",
    "xor",
    "lshift",
    "rshift",
)

_REFUSED: Final = {
    "be asked whether it is true": (_BRANCH, ["bool"]),
    "be walked through": (_MAP, ["iter", "reversed", "next"]),
    "be searched": (_COMPARE, ["contains"]),
    "be asked for its length": (_MAP, ["len", "length_hint"]),
    "be compared": (_COMPARE, ["eq", "ne", "lt", "le", "gt", "ge"]),
    "be written into a text": (_TEXT, ["str", "format", "bytes", "fspath"]),
    "have a method called": (_CALL, ["call"]),
    "be awaited": (_AWAIT, ["await", "aiter", "anext", "aenter"]),
    "be entered": ("", ["enter"]),
    "have an item deleted": ("", ["delitem", "delattr"]),
    "be made a number": ("", ["int", "float", "complex", "index", "round", "trunc", "floor", "ceil"]),
    "be calculated with": (
        "",
        [
            *("neg", "pos", "abs", "invert", "divmod", "rdivmod", "pow", "rpow", "matmul", "rmatmul"),
            *(side + name for name in _OPERATORS for side in ("", "r", "i")),
        ],
    ),
}  # fmt: skip


def _refusal(wish: str, instead: str) -> Callable[..., NoReturn]:
    def refuse(self: Reference, *_: object, **__: object) -> NoReturn:
        _refuse(self, wish, instead)

    return refuse


for _wish, (_instead, _names) in _REFUSED.items():
    for _name in _names:
        setattr(Reference, f"__{_name}__", _refusal(_wish, _instead))
