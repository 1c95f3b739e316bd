"""A golden history: an execution's document, what its state machine was told and when, and what it decided then.

An execution has a life for each engine that took it up, restored from what was committed; a branch goes on from a moment of
another life with what was made up by hand. Refuses to say which decision is right: it says where they differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from tests.golden.plain import Fields, UnknownError, plain, read
from wfplatform.authoring.document import from_document
from wfplatform.core.draft import Transition
from wfplatform.core.event import Effect, Event, Finish, Plan, SetTimer
from wfplatform.core.execution import Element, Execution
from wfplatform.core.lifecycle import advance
from wfplatform.core.ports import Claim
from wfplatform.engine.restore import restore

__all__ = ["FOLDER", "History", "Life", "Step", "decided", "differences"]

FOLDER: Final = Path(__file__).parent / "histories"

type Sizes = Mapping[str, Sequence[tuple[Element, int]]] | None


@dataclass(kw_only=True)
class Step:
    """One event: what the state machine was told, when, with which chance, and what came of it as plain JSON."""

    event: Event
    at: datetime
    chance: float
    came: Any


@dataclass(kw_only=True)
class Life:
    """An execution in the hands of one engine.

    Args:
        claim: what was committed of it, or None for a branch.
        sizes: numbers of elements that follow from its parameters.
        after: of a branch: the life and the number of steps of it after which it goes its own way.
    """

    claim: Claim | None = None
    sizes: Sizes = None
    after: tuple[int, int] | None = None
    steps: list[Step] = field(default_factory=list)


@dataclass(kw_only=True)
class History:
    """One execution from its beginning to its end."""

    name: str
    release: str
    document: Mapping[str, Any]
    lives: list[Life]

    def to_json(self) -> str:
        """As it is kept."""
        fields: Fields = {}
        lives = [
            {
                "claim": plain(life.claim, fields),
                "sizes": plain(life.sizes, fields),
                "after": life.after,
                "steps": [
                    [plain(step.event, fields), step.at.isoformat(), step.chance, step.came] for step in life.steps
                ],
            }
            for life in self.lives
        ]
        told = {"release": self.release, "fields": fields, "document": self.document, "lives": lives}
        return json.dumps(told, separators=(",", ":"), ensure_ascii=False) + "\n"

    @classmethod
    def from_file(cls, file: Path) -> History:
        """One that is kept.

        Raises:
            UnknownError: it holds what the present release has no place for.
        """
        told = json.loads(file.read_text(encoding="utf-8"))
        fields = told["fields"]
        try:
            lives = [
                Life(
                    claim=read(life["claim"], fields),
                    sizes=read(life["sizes"], fields),
                    after=life["after"] and (life["after"][0], life["after"][1]),
                    steps=[
                        Step(event=read(event, fields), at=datetime.fromisoformat(at), chance=chance, came=came)
                        for event, at, chance, came in life["steps"]
                    ],
                )
                for life in told["lives"]
            ]
        except UnknownError as error:
            raise UnknownError(f"{file.stem}, recorded by {told['release']}: {error}") from None
        return cls(name=file.stem, release=told["release"], document=told["document"], lives=lives)

    @cached_property
    def events(self) -> list[Event]:
        """Everything it was told."""
        return [step.event for life in self.lives for step in life.steps]


def decided(step: Transition) -> Any:
    """What came of an event, as plain JSON: elements, effects that are not a new plan, and the execution's state."""
    changed = sorted([one.node, [*one.element], str(one.run.state), one.run.attempt] for one in step.recorded)
    effects = sorted((_said(one) for one in step.effects if not isinstance(one, Plan)), key=repr)
    return [changed, effects, str(step.execution.state)]


def _said(effect: Effect) -> list[Any]:
    match effect:
        case SetTimer(node, element, due_at):
            return ["SetTimer", node, [*element], due_at.isoformat()]
        case Finish(state):
            return ["Finish", str(state)]
        case _:
            return [type(effect).__name__]


def differences(history: History) -> Iterator[str]:
    """Where the present release decides otherwise: at most one sentence a life, since what follows follows from it."""
    graph = from_document(dict(history.document)).graph
    passed: list[list[Execution]] = []
    for number, life in enumerate(history.lives):
        if life.claim is not None:
            execution = restore(life.claim, graph, life.sizes)
        else:
            assert life.after is not None
            before, count = life.after
            if len(passed[before]) <= count:
                passed.append([])
                continue  # the life it branches off differs, and that was said
            execution = passed[before][count]
        passed.append([execution])
        for place, step in enumerate(life.steps):
            found = advance(execution, graph, step.event, step.at, step.chance)
            came = decided(found)
            if came != step.came:
                yield (
                    f"{history.name}, recorded by {history.release}: life {number}, event {place}, {step.event}\n"
                    f"  recorded: {json.dumps(step.came)}\n  now:      {json.dumps(came)}"
                )
                break
            execution = found.execution
            passed[number].append(execution)
