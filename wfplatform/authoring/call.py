"""How a user's function is called, and how values are taken apart: the rules that a worker and `.local()`
share.

Refuses results that do not fit the outputs a node names, and collections whose order or length cannot be
relied on.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence, Sized
from typing import Any, Final

from wfplatform.core.graph import PathStep
from wfplatform.errors import NodeError

__all__ = ["caller", "exception_names", "follow", "handed", "items_of", "length_of", "message_of", "split_outputs"]

_VARIADIC: Final = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.VAR_POSITIONAL,
    inspect.Parameter.VAR_KEYWORD,
)


_FIXED: Final = frozenset({type(None), bool, int, float, complex, str, bytes, frozenset, range})
"""Types whose values nobody can change in place."""


def caller(function: Callable[..., Any]) -> Callable[[Mapping[str, Any]], Any]:
    """A way to call a function with its arguments by port, whatever its signature.

    Args:
        function: a plain function; of an async one the result is a coroutine.

    Returns:
        A callable that takes port -> value. Work on the signature is done here, once.
    """
    signature = inspect.signature(function)
    if not any(parameter.kind in _VARIADIC for parameter in signature.parameters.values()):
        return lambda arguments: function(**arguments)

    def call(arguments: Mapping[str, Any]) -> Any:
        bound = inspect.BoundArguments(signature, dict(arguments))
        return function(*bound.args, **bound.kwargs)

    return call


def split_outputs(node: str, ports: tuple[str, ...], value: Any) -> dict[str, Any]:
    """What a function returned, by output port.

    Args:
        node: its id, for messages.
        ports: the names of the outputs; for more than one, a tuple or list of as many or a dict with these
            keys is expected.

    Raises:
        NodeError: the value does not fit.
    """
    if len(ports) == 1:
        return {ports[0]: value}
    if isinstance(value, Mapping):
        missing = [port for port in ports if port not in value]
        strange = [str(key) for key in value if key not in ports]
        if not missing and not strange:
            return {port: value[port] for port in ports}
        got = "a dict" + (f" without {', '.join(missing)}" if missing else "")
        got += f" with {', '.join(strange)} besides" if strange else ""
    elif isinstance(value, (tuple, list)):
        if len(value) == len(ports):
            return dict(zip(ports, value, strict=True))
        got = f"a {type(value).__name__} of {len(value)}"
    else:
        got = f"one {type(value).__name__}"
    raise NodeError(
        "outputs",
        f"Node `{node}` names {len(ports)} outputs ({', '.join(ports)}) and returned {got}.",
        "Return a tuple with one value for each output, or a dict with their names as keys.",
        node=node,
    )


def follow(value: Any, path: Sequence[PathStep], called: str) -> Any:
    """A part of a value.

    Args:
        path: the way into it.
        called: what the value is called, for messages: "`load`".

    Raises:
        NodeError: there is no such part.
    """
    done = called
    for part in path:
        try:
            value = getattr(value, str(part.key)) if part.attribute else value[part.key]
        except (AttributeError, LookupError, TypeError) as error:
            wanted = f".{part.key}" if part.attribute else f"[{part.key!r}]"
            raise NodeError(
                "no_such_part",
                f"{done} is a {type(value).__name__} without {wanted}: {type(error).__name__}: "
                f"{error}.{_parts_of(value)}",
                "Change the workflow function, or what the node before returns.",
            ) from error
        done += f".{part.key}" if part.attribute else f"[{part.key!r}]"
    return value


def handed(value: Any) -> Any:
    """A value as one of several readers gets it: what one of them changes in place reaches no other.

    Lists, dicts and sets are copied with what is in them, arrays too, frames lazily. Objects of other classes are handed
    over as they are.
    """
    try:
        return _copied(value)
    except RecursionError:  # it holds itself, or is nested deeper than the interpreter goes
        return copy.deepcopy(value)


def _copied(value: Any) -> Any:
    kind = type(value)
    if kind in _FIXED:
        return value
    if kind is list:
        return [_copied(item) for item in value]
    if kind is dict:
        return {key: _copied(item) for key, item in value.items()}
    if kind is tuple:
        return tuple([_copied(item) for item in value])
    if kind in {set, bytearray}:
        return value.copy()
    module = kind.__module__.partition(".")[0]
    if module == "numpy" and kind.__name__ == "ndarray":
        return value.copy()
    if module == "pandas" and kind.__name__ in {"DataFrame", "Series"}:
        return value.copy(deep=False)
    return value


def items_of(value: Any, called: str) -> Sequence[Any]:
    """The items of a value that is mapped over.

    Args:
        called: what it is called, for messages.

    Raises:
        NodeError: it is no list, or its items have no fixed order or number.
    """
    if isinstance(value, (list, tuple, range)):
        return value
    why = ""
    if isinstance(value, (str, bytes, Mapping)):
        why = "is one value"
    elif isinstance(value, (set, frozenset)):
        why = "has no order that would be the same in every process"
    elif not isinstance(value, Sized):
        why = "has no length"
    else:
        try:
            items = list(value)  # type: ignore[call-overload]
        except TypeError:
            why = "has no items"
        else:
            if len(items) == len(value):
                return items  # type: ignore[no-any-return]
            why = f"has {len(value)} rows but {len(items)} items"
    raise NodeError(
        "not_mappable",
        f"{called} is mapped over; expected a list, got {type(value).__name__}, which {why}.",
        "Return a list from the node before (sorted(...) of a set, list(...) of a dict), or hand it over "
        "with unmapped(...).",
    )


def length_of(value: Any) -> int | None:
    """How many items `items_of` would give, told without making them; None where only making them would tell."""
    is_array = getattr(value, "ndim", 0) and not hasattr(value, "columns")
    return len(value) if isinstance(value, (list, tuple, range)) or is_array else None


def exception_names(error: BaseException) -> tuple[str, ...]:
    """The qualified names of an exception's class and its bases, nearest first, as `Retry.covers` wants
    them.
    """
    return tuple(f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__ if kind is not object)


def message_of(error: BaseException) -> str:
    """What an exception says, whatever its class makes of that."""
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 - a __str__ of the user's that raises
        return f"(its message cannot be shown: {type(broken).__name__})"


def _parts_of(value: Any) -> str:
    if isinstance(value, Mapping):
        names = [str(key) for key in value]
    elif isinstance(value, (list, tuple)):
        return f" It has {len(value)} items."
    else:
        names = [name for name in dir(value) if not name.startswith("_")]
    shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    return f" It has {shown}." if shown else ""
