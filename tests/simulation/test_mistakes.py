"""The simulation finds mistakes: each of these, made in the code that is shipped, breaks a promise within a few hundred seeds."""

from __future__ import annotations

import inspect
import sys
import textwrap
from typing import Any

import pytest

from tests.simulation.bench import Bench
from tests.simulation.simulation import simulate
from wfplatform.compiler.supply import Supply
from wfplatform.core import lifecycle, request, unwinding
from wfplatform.engine import adoption, planning, vigil
from wfplatform.engine.commits import Commits
from wfplatform.engine.dispatch import Dispatch
from wfplatform.engine.gates import Gates
from wfplatform.engine.hooks import Hooks
from wfplatform.engine.intake import Intake
from wfplatform.engine.lateness import Lateness
from wfplatform.engine.loop import EngineLoop
from wfplatform.engine.orchestrator import Orchestrator
from wfplatform.engine.planning import Planning
from wfplatform.engine.testing.memory import MemoryStore
from wfplatform.engine.waits import Waits
from wfplatform.engine.wishes import Wishes

SEEDS = 400

MISTAKES: dict[str, tuple[Any, str, str, str]] = {
    "an epoch is not raised when an execution is taken over": (
        MemoryStore, "_claimed", "epoch=free.epoch + 1", "epoch=max(free.epoch, 1)",
    ),
    "a commit that was not answered is given up": (
        Commits, "write_unsent", "commit = self._unsent\n", "commit = self._unsent\n    self._unsent = None\n",
    ),
    "reports are forgotten when the store does not answer": (
        EngineLoop, "step", "self._left, self._more = reports, False", "self._left, self._more = [], False",
    ),
    "a lost task is not told": (
        Intake, "_lose", "for report in reports:", "for report in ():",
    ),
    "what a dead engine left is not taken over": (
        EngineLoop, "step", "self._leases.take_over(self._orchestrator.engine_id)", "pass",
    ),
    "the timer of a retry or delay is not set again after a crash": (
        lifecycle, "_claim", "draft.effects.append(SetTimer(name, element, run.due_at))", "pass",
    ),
    "a running node is not run again after a crash": (
        lifecycle, "_claim", "reopen(draft, name, element, run)", "pass",
    ),
    "the end of a child is not told its parent": (
        Waits, "tell_parent", "if live.claim.parent is None:", "if True:",
    ),
    "nobody is told of an end": (
        Hooks, "tell_end", "if occasion is None or", "if True or",
    ),
    "nobody looks who is late": (
        Lateness, "due", "self.next_at is not None and", "False and",
    ),
    "a command that could not be followed counts as done": (
        Wishes, "follow", "return  # not done: it comes again\n    self._batch",
        "event = None\n    self._batch",
    ),
    "a failure that is told twice counts twice": (
        lifecycle, "_take", "if known is not None and (known.state.final or _has_failed(known, outcome.attempt)):", "if False:",
    ),
    "what is decided is done before it is committed": (
        Orchestrator, "_settle", "self._commits.write()", "self._follow()\n        self._commits.write()",
    ),
    "tasks are not released": (
        Dispatch, "release", "if self._to_release:", "if False:",
    ),
    "outcomes are not acknowledged": (
        Orchestrator, "_settle", "if self._intake.received:", "if False:",
    ),
    "one that sleeps is told no time to wake": (
        vigil, "_wakes_at", "return min(due, default=None)", "return None",
    ),
    "one that is let go still has an owner": (
        Orchestrator, "_look_round", "self._batch.let_go(live, wake_at)", "pass",
    ),
    "a signal that comes before it is waited for is dropped": (
        lifecycle, "keep", 'draft.changes["mailbox"] = (*kept, signal)', "pass",
    ),
    "a signal that was kept is forgotten by the next engine": (
        adoption, "restore", "mailbox=claim.mailbox", "mailbox=()",
    ),
    "a signal that was kept is not looked for": (
        Planning, "_hand_over_mail", "for node, element in begun:", "for node, element in ():",
    ),
    "what needs an effect begins before its end is committed": (
        Supply, "_find_chunks", "found.policy.effect or ", "",
    ),
    "an effect that is to run is forgotten": (
        planning, "flown", "if segment.id not in live.flights", "if False",
    ),
    "one that waits for a slot is handed out all the same": (
        Gates, "admitted", "if segment.needs & dropped or place in fresh or (ticket is not None and not ticket.is_ready):",
        "if segment.needs & dropped:",
    ),
    "a slot is not given back": (
        Gates, "_return", "self._returned[slot] = None", "pass",
    ),
    "an open circuit breaker is not looked at again": (
        Gates, "exchange", "ticket.until_at <= now", "False",
    ),
    "a slot is given back before it is of no use": (
        Gates, "_tidy", "if place in begun or _is_begun(live, node, element):", "if place in begun:",
    ),
    "inputs that were replaced are forgotten by the next engine": (
        adoption, "restore", "runs.setdefault(stored.node, {})[stored.element] = stored.run",
        "runs.setdefault(stored.node, {})[stored.element] = replace(stored.run, edit=None)",
    ),
    "a replay opens nothing that hangs on it": (
        request, "_is_meant", "return any(", "return False and any(",
    ),
    "what is undone is not held back until what came after it is": (
        unwinding, "_held", "above.add(prefix)", "continue",
    ),
    "what completed is not undone": (
        unwinding, "_wanted", "run.state is NodeState.COMPLETED and run.reused_from is None", "run.reused_from is not None",
    ),
    "the cluster never counts as back": (
        Intake, "take", "self.away = False", "pass",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_found(name: str, runner: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, function, right, wrong = MISTAKES[name]
    monkeypatch.setattr(owner, function, mistaken(owner, function, right, wrong))
    # A promise is seen to be broken, or the engine itself stumbles over what came of the mistake.
    found = next(filter(None, (simulate(seed, runner)[1] for seed in range(SEEDS))), None)
    assert found is not None, f"in {SEEDS} seeds nothing was noticed"


def mistaken(owner: Any, name: str, right: str, wrong: str) -> Any:
    """A function of the shipped code with one thing in it changed."""
    source = textwrap.dedent(inspect.getsource(getattr(owner, name)))
    assert source.count(right) == 1, f"{name} has changed: {right!r} stands in it {source.count(right)} times"
    module = sys.modules[getattr(owner, name).__module__]
    made: dict[str, Any] = {}
    exec(compile(source.replace(right, wrong), f"<mistake in {name}>", "exec"), vars(module), made)
    return made[name]
