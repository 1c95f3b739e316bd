"""Dead letters: list what failed for good, look at what it was given, run it again with other inputs, or discard it.

Refuses inputs that do not fit before anything is asked of an execution, and what is no dead letter any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, Protocol
from uuid import UUID

from wfplatform.app.executions import Executions
from wfplatform.app.input_view import input_views, sources_of
from wfplatform.app.port import OpenValue, Records
from wfplatform.compiler.bind import bind
from wfplatform.core.canonical import canonical_json, json_problems
from wfplatform.core.dead_letter import DeadLetterFilter, DeadLetterRecord, History, InputView, letter_id
from wfplatform.core.execution import Element
from wfplatform.core.graph import Graph, Json, Node, NodeKind, Parameter, ParameterRef
from wfplatform.core.record import Page
from wfplatform.errors import ConflictError, NotFoundError, UserError

__all__ = ["MOST_AT_ONCE", "DeadLetterStore", "DeadLetters"]

MOST_AT_ONCE: Final = 10_000
"""Dead letters of one page, and elements in one command."""
_MOST_BYTES: Final = 1024 * 1024
"""Of inputs that replace others: they stand in the records of their element."""


class DeadLetterStore(Protocol):
    """Where dead letters are found and discarded."""

    def page(
        self,
        tenant_id: UUID,
        wanted: DeadLetterFilter,
        *,
        kept_s: float,
        limit: int = 50,
        after: str | None = None,
    ) -> Page[DeadLetterRecord]:
        """Dead letters, newest first."""
        ...

    def history(self, tenant_id: UUID, execution_id: UUID, node: str, element: Element) -> History:
        """What became of an element."""
        ...

    def discard(
        self, tenant_id: UUID, letters: Sequence[DeadLetterRecord], *, kept_s: float, by: str, reason: str = ""
    ) -> int:
        """Note that nothing is to be done about these; returns how many of them were dead letters until now."""
        ...


class DeadLetters:
    """The use cases of dead letters.

    Args:
        executions: how executions are asked and read.
        store: where dead letters are.
        records: where outputs are read.
        open_value: opens a recorded output.
        tenant_id: whose.
        kept_s: how long something is a dead letter.
    """

    def __init__(
        self,
        *,
        executions: Executions,
        store: DeadLetterStore,
        records: Records,
        open_value: OpenValue,
        tenant_id: UUID,
        kept_s: float,
    ) -> None:
        self.executions: Final = executions
        self._store = store
        self._records = records
        self._open_value = open_value
        self._tenant_id = tenant_id
        self._kept_s = kept_s

    def page(self, wanted: DeadLetterFilter, *, limit: int = 50, after: str | None = None) -> Page[DeadLetterRecord]:
        """Dead letters, newest first, a page at a time.

        Args:
            limit: how many at most, 1 to `MOST_AT_ONCE`.
            after: `next` of the page before.
        """
        return self._store.page(self._tenant_id, wanted, kept_s=self._kept_s, limit=limit, after=after)

    def one(self, execution_id: UUID, node: str, element: Element) -> DeadLetterRecord:
        """A dead letter by its place.

        Raises:
            NotFoundError: it is none, or none any more.
        """
        wanted = DeadLetterFilter(execution_id=execution_id, node=node, element=element)
        items = self.page(wanted, limit=1).items
        if not items:
            raise _gone(letter_id(execution_id, node, element), self._kept_s)
        return items[0]

    def history(self, letter: DeadLetterRecord) -> History:
        """Its whole error, its earlier tries and its last lines."""
        return self._store.history(self._tenant_id, letter.execution_id, letter.node, letter.element)

    def inputs(self, letter: DeadLetterRecord) -> list[InputView]:
        """What it was given, port by port, as far as that can be shown."""
        graph = self.executions.graph(letter.version_id)
        if len(letter.element) < graph.by_id[letter.node].rank:
            return []  # a whole branch: nothing was taken apart for it
        wanted = {letter.execution_id: sources_of(graph, letter.node, letter.element)}
        stored = self._records.outputs(self._tenant_id, wanted) if wanted[letter.execution_id] else {}
        return input_views(
            graph,
            self.executions.record(letter.execution_id).parameters,
            (letter.node, letter.element),
            letter.edit["inputs"] if letter.edit is not None else {},
            stored.get(letter.execution_id, ()),
            self._open_value,
        )

    def replay(
        self, letters: Sequence[DeadLetterRecord], inputs: Mapping[str, Json] | None = None
    ) -> dict[UUID, list[DeadLetterRecord]]:
        """Let executions go on from just these, element by element; other failed elements stay failed.

        Args:
            inputs: port -> plain JSON in place of what each of them would get; None: what they got before, edits
                included; an empty mapping: as the definition says, without edits.

        Returns:
            execution -> which of its letters are replayed.

        Raises:
            NotFoundError: none of them is a dead letter any more.
            UserError, ParameterError: the inputs do not fit; nothing is replayed.
        """
        standing = self._standing(letters)
        if inputs is not None:
            inputs = self._fitting(standing, inputs)
        found: dict[UUID, list[DeadLetterRecord]] = {}
        for one in standing:
            found.setdefault(one.execution_id, []).append(one)
        for execution_id, chosen in found.items():
            for start in range(0, len(chosen), MOST_AT_ONCE):
                elements: list[Json] = [_asked(one, inputs) for one in chosen[start : start + MOST_AT_ONCE]]
                self.executions.ask(execution_id, "retry", {"elements": elements})
        return found

    def discard(self, letters: Sequence[DeadLetterRecord], reason: str = "") -> int:
        """Note that nothing is to be done about them: they are listed no more. Their executions stay as they are.

        Returns:
            how many of them were dead letters until now.

        Raises:
            NotFoundError: none of them was.
        """
        count = sum(
            self._store.discard(
                self._tenant_id,
                letters[start : start + MOST_AT_ONCE],
                kept_s=self._kept_s,
                by=self.executions.actor,
                reason=reason,
            )
            for start in range(0, len(letters), MOST_AT_ONCE)
        )
        if letters and not count:
            raise _gone(letters[0].id, self._kept_s)
        return count

    # -- pieces

    def _standing(self, letters: Sequence[DeadLetterRecord]) -> list[DeadLetterRecord]:
        """Those that are dead letters still: not replayed, discarded or too old meanwhile."""
        known: dict[str, int] = {}
        for execution_id, nodes in _places(letters).items():
            for node, elements in nodes.items():
                only = next(iter(elements)) if len(elements) == 1 else None
                wanted = DeadLetterFilter(execution_id=execution_id, node=node, element=only)
                known |= {one.id: one.attempt for one in self._all(wanted)}
        found = [one for one in letters if known.get(one.id) == one.attempt]
        if letters and not found:
            raise _gone(letters[0].id, self._kept_s)
        return found

    def _all(self, wanted: DeadLetterFilter) -> Iterable[DeadLetterRecord]:
        page = self.page(wanted, limit=MOST_AT_ONCE)
        yield from page.items
        while page.next is not None:
            page = self.page(wanted, limit=MOST_AT_ONCE, after=page.next)
            yield from page.items

    def _fitting(self, letters: Sequence[DeadLetterRecord], inputs: Mapping[str, Json]) -> dict[str, Json]:
        """The inputs, where text stands for a number as numbers.

        Raises:
            UserError, ParameterError: they do not fit; with every problem.
        """
        fitting = dict(inputs)
        for place in dict.fromkeys((one.version_id, one.node) for one in letters):
            graph = self.executions.graph(place[0])
            fitting = _checked(graph, graph.by_id[place[1]], inputs)
        for one in letters:
            node = self.executions.graph(one.version_id).by_id[one.node]
            if len(one.element) < node.rank:
                raise ConflictError(
                    "whole_branch",
                    f"{one.id} is a whole branch of {one.node}, which failed before it had elements: it has no inputs.",
                    "Mend what it is mapped over, and replay that.",
                )
            if node.type == NodeKind.LOOP and "state" in inputs:
                self._check_turns(one)
        return fitting

    def _check_turns(self, letter: DeadLetterRecord) -> None:
        turns = (self.history(letter).node.sizes or {}).get("turns", 0)
        if turns:
            raise ConflictError(
                "loop_has_turns",
                f"{letter.id} is a loop of which {turns} turns are done: it goes on with the state that the last one left.",
                "Its other inputs can be replaced; or run the workflow anew.",
            )


def _places(letters: Iterable[DeadLetterRecord]) -> dict[UUID, dict[str, set[Element]]]:
    found: dict[UUID, dict[str, set[Element]]] = {}
    for one in letters:
        found.setdefault(one.execution_id, {}).setdefault(one.node, set()).add(one.element)
    return found


def _asked(one: DeadLetterRecord, inputs: Mapping[str, Json] | None) -> dict[str, Json]:
    asked: dict[str, Json] = {"node": one.node, "element": list(one.element), "attempt": one.attempt}
    return asked if inputs is None else {**asked, "inputs": dict(inputs)}


def _checked(graph: Graph, node: Node, inputs: Mapping[str, Json]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for port, value in inputs.items():
        if port not in node.inputs:
            close = get_close_matches(port, node.inputs, n=1)
            meant = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(node.inputs) or 'none'}."
            raise UserError("unknown_input", f"Node {node.id} has no input {port!r}; {meant}")
        problems = list(json_problems(value))
        if problems:
            told = "; ".join(f"{problem.place or '/'}: {problem.message}" for problem in problems[:5])
            raise UserError("not_plain", f"What replaces the input {port} of {node.id} must be plain JSON: {told}")
        found[port] = _typed(graph, node, port, value)
    size_bytes = len(canonical_json(found))
    if size_bytes > _MOST_BYTES:
        raise UserError(
            "inputs_too_large",
            f"What replaces inputs of {node.id} takes {size_bytes} bytes; at most {_MOST_BYTES} are kept with an element.",
            "Let the node read large data from where it lies, and hand it the place.",
        )
    return found


def _typed(graph: Graph, node: Node, port: str, value: Json) -> Json:
    """The value, checked where the definition knows a type: of a port that is a parameter, or an item of one."""
    binding = node.inputs[port]
    if not isinstance(binding, ParameterRef) or binding.path:
        return value
    parameter = next(one for one in graph.parameters if one.name == binding.name)
    schema: Any = parameter.schema
    for _ in range(node.over.get(port, 0)):
        items = schema.get("items") if isinstance(schema, Mapping) else None
        if not isinstance(items, Mapping):
            return value
        schema = {**({"$defs": schema["$defs"]} if "$defs" in schema else {}), **items}
    return bind((Parameter(name=port, schema=schema, required=True),), {port: value})[port]


def _gone(id: str, kept_s: float) -> NotFoundError:
    return NotFoundError(
        "dead_letter_not_found",
        f"{id} is no dead letter, or none any more: it was replayed or discarded, its execution was retried or cancelled, or it "
        f"failed more than {kept_s:g} s ago.",
        "`wfp dead-letters list` shows those there are; `wfp executions retry` goes on from all that failed in an execution.",
    )
