"""Runs workflows on a platform while trouble strikes, and judges what came of them.

python -m tests.chaos --executions 200 --seed 4711
Refuses to go on after a broken promise: what comes after it says nothing.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import secrets
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from uuid import uuid4

from tests.chaos.platforms import Harmed, apart, embedded
from tests.chaos.promise import BrokenPromiseError, Started, judge, judge_recovery
from tests.chaos.trouble import APART, EMBEDDED, Blow, Fate, Kind
from tests.chaos.witness import read_lines
from tests.chaos.workload import WORKFLOWS
from wfplatform import Workflow
from wfplatform.authoring.platform import RunOptions
from wfplatform.errors import WfError

__all__ = ["CROWDED_S", "Account", "Campaign", "expected_results", "main", "open_folder"]

AT_ONCE = 6
"""So many executions are open while trouble strikes."""
END_S = 120.0
"""Within this time after the last blow everything has ended."""
RECOVERY_S = 10.0
"""One lease, as it is unless somebody sets it: within this time life goes on."""
CROWDED_S = 2 * RECOVERY_S
"""The same where the machine is busy with other tests, so that it takes several seconds to start an engine."""
OPEN = "select id from execution where state in ('pending', 'running', 'waiting')"
ROUND = 25
"""Executions of a round on one platform, in which each kind of trouble strikes once."""


@dataclass(slots=True, kw_only=True)
class Account:
    """What was done and how it went."""

    executions: int = 0
    attempts: int = 0
    repeats: int = 0
    recoveries: dict[str, list[float]] = field(default_factory=dict)

    def add(self, blow: Blow, recovered_at: datetime) -> None:
        """Note a blow that was survived."""
        seconds = max(0.0, (recovered_at - blow.since).total_seconds())
        self.recoveries.setdefault(blow.kind, []).append(seconds)

    def told(self) -> str:
        """A table."""
        rows = [f"{'kind':24}{'blows':>6}{'median s':>10}{'longest s':>10}"]
        for kind, seconds in sorted(self.recoveries.items()):
            ordered = sorted(seconds)
            rows.append(f"{kind:24}{len(ordered):6}{ordered[len(ordered) // 2]:10.1f}{ordered[-1]:10.1f}")
        blows = sum(map(len, self.recoveries.values()))
        rows.append(
            f"{self.executions} executions, {blows} blows, {self.attempts} attempts began, {self.repeats} of them twice"
            " because nothing of the first was committed"
        )
        return "\n".join(rows)


class Campaign:
    """Trouble for one platform.

    Args:
        harmed: which.
        seed: decides what happens to whom, as far as anybody can.
        expected: what each workflow returns undisturbed.
        account: added to.
        recovery_s: within this time after a blow life goes on.
        say: told what happens.
    """

    def __init__(
        self,
        harmed: Harmed,
        *,
        seed: int,
        expected: dict[str, object],
        account: Account,
        recovery_s: float = RECOVERY_S,
        say: Callable[[str], None] = print,
    ) -> None:
        self._harmed = harmed
        self._random = Random(seed)
        self._fate = Fate(harmed=harmed, random=self._random)
        self._expected = expected
        self._account = account
        self._recovery_s = recovery_s
        self._say = say
        self._started: list[Started] = []
        self._blows: list[Blow] = []
        self._next = itertools.cycle(self._random.sample(WORKFLOWS, len(WORKFLOWS)))

    def run(self, kinds: Sequence[Kind], executions: int) -> None:
        """Run so many executions, let each kind of trouble strike once, and judge.

        Raises:
            BrokenPromiseError: a promise does not hold.
        """
        first = len(self._started)
        left = list(self._random.sample(kinds, len(kinds)))
        while left:
            share = (executions - (len(self._started) - first)) // len(left)
            self._fill(max(share, AT_ONCE - self._open()))
            self._pass(self._random.uniform(0.2, 1.5))
            kind = left.pop()
            if kind.__name__ in ("storage_full", "worker_killed_moving"):
                self._start(next(one for one in WORKFLOWS if one.name == "moved"))
            self._strike(kind)
        self._fill(executions - (len(self._started) - first))
        self._end()
        judge(self._harmed, self._started, self._blows)
        self._count(self._started[first:])

    def _fill(self, count: int) -> None:
        for _ in range(max(0, count)):
            self._start(next(self._next))

    def _start(self, flow: Workflow[..., object]) -> None:
        """As a user's program does it that does not know whether its question arrived: the same again, under a key."""
        key, until_s = str(uuid4()), time.monotonic() + END_S
        at = datetime.now(UTC)
        while True:
            try:
                given, options = {"file": str(self._harmed.lines)}, RunOptions(idempotency_key=key)
                handle = self._harmed.platform.run(flow, given, options)
                break
            except WfError as error:
                if time.monotonic() > until_s:
                    raise
                self._say(f"    not started yet: {error.code}")
                time.sleep(0.3)
        self._started.append(Started(id=handle.id, workflow=flow, at=at, expected=self._expected[flow.name]))

    def _strike(self, kind: Kind) -> None:
        was_whole = self._harmed.is_whole()
        blow = kind(self._fate)
        self._blows.append(blow)
        self._say(f"  {blow.at:%H:%M:%S} {blow.kind}: {blow.detail}, {self._open()} executions open")
        recovered_at = self._recovered(blow)
        # What is struck while it still recovers from the blow before has the time for both.
        judge_recovery(self._harmed, blow, recovered_at, self._recovery_s * (1 if was_whole else 2))
        if recovered_at is not None:
            self._account.add(blow, recovered_at)

    def _recovered(self, blow: Blow) -> datetime | None:
        """When life went on: all that had lost their engine have another, or something was committed."""
        until_s = time.monotonic() + 3 * self._recovery_s
        while time.monotonic() < until_s:
            if blow.taken:
                first: dict[object, datetime] = {}
                for claim in self._harmed.witness.claims(blow.at):
                    first.setdefault(claim.execution, claim.at)
                open_ids = {id for (id,) in self._harmed.witness.rows(OPEN)}
                if blow.taken & open_ids <= first.keys():
                    return max((first[one] for one in blow.taken & first.keys()), default=blow.since)
            elif (found := self._harmed.witness.first_commit(blow.since)) is not None:
                return found
            elif not self._open():
                self._fill(1)
            time.sleep(0.05)
        return None

    def _open(self) -> int:
        return len(self._harmed.witness.rows(f"{OPEN} and parent_id is null"))

    def _pass(self, seconds: float) -> None:
        """Let some time go by, and see whether anything failed meanwhile."""
        time.sleep(seconds)
        query = "select id, workflow_name, state, error from execution where state in ('failed', 'cancelled')"
        for id, name, state, error in self._harmed.witness.rows(query):
            raise BrokenPromiseError(
                "Every execution completes.", f"{name} {id}", "completed", f"{state}: {error}", self._blows
            )

    def _end(self) -> None:
        until_s = time.monotonic() + END_S
        while self._open():
            if time.monotonic() > until_s:
                query = (
                    "select id, workflow_name, state, engine_id, waiting_for from execution where state <> 'completed'"
                )
                came = self._harmed.witness.rows(query)
                where = self._harmed.name
                raise BrokenPromiseError("Every execution ends.", where, f"within {END_S:g} s", came, self._blows)
            self._pass(0.2)

    def _count(self, started: Sequence[Started]) -> None:
        first_at = min(one.at for one in started)
        told = Counter((*line.key, line.attempt) for line in read_lines(self._harmed.lines) if line.at >= first_at)
        self._account.executions += len(started)
        self._account.attempts += told.total()
        self._account.repeats += told.total() - len(told)


def expected_results(folder: Path) -> dict[str, object]:
    """What each workflow returns when nothing goes wrong."""
    with ThreadPoolExecutor(len(WORKFLOWS)) as pool:
        results = pool.map(lambda flow: flow.local(file=str(folder / "undisturbed")), WORKFLOWS)
        return {flow.name: result for flow, result in zip(WORKFLOWS, results, strict=True)}


@contextmanager
def open_folder(*, keep: bool = False) -> Iterator[Path]:
    """A folder that other accounts may enter: for root, PostgreSQL runs as another one."""
    made = Path(tempfile.mkdtemp(prefix="wfp-chaos-"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        if keep:
            print(f"kept: {made}")
        else:
            shutil.rmtree(made)


type Arrangement = Callable[[Path], AbstractContextManager[Harmed]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--executions", type=int, default=200, help="how many; default 200")
    parser.add_argument("--seed", type=int, default=None, help="default: a new one, which is printed")
    parser.add_argument("--only", choices=("embedded", "apart"), help="one of the two platforms")
    parser.add_argument("--keep", action="store_true", help="keep the homes, with their logs")
    asked = parser.parse_args(arguments)
    seed = secrets.randbelow(2**31) if asked.seed is None else asked.seed
    print(f"seed {seed}", flush=True)
    logging.disable(logging.CRITICAL)
    account, began_s = Account(), time.monotonic()
    arrangements: list[tuple[Arrangement, Sequence[Kind]]] = [(embedded, EMBEDDED), (apart, APART)]
    if asked.only:
        arrangements = [one for one in arrangements if one[0].__name__ == asked.only]
    with open_folder(keep=asked.keep) as folder:
        expected = expected_results(folder)
        for number, (arrangement, kinds) in enumerate(arrangements):
            share = asked.executions // len(arrangements) + (asked.executions % len(arrangements) if not number else 0)
            home = folder / arrangement.__name__
            home.mkdir()
            try:
                _attack(arrangement(home), kinds, share, seed + number, expected, account)
            except BrokenPromiseError as error:
                print(f"\nBroken: {error}\n\nseed {seed}, {arrangement.__name__}", flush=True)
                return 1
    print(f"{account.told()}\nseed {seed}: every promise was kept, in {time.monotonic() - began_s:.0f} s")
    return 0


def _attack(
    arrangement: AbstractContextManager[Harmed],
    kinds: Sequence[Kind],
    executions: int,
    seed: int,
    expected: dict[str, object],
    account: Account,
) -> None:
    """As many rounds on one platform as it takes."""
    with arrangement as harmed:
        campaign = Campaign(harmed, seed=seed, expected=expected, account=account)
        rounds = max(1, round(executions / ROUND))
        for number in range(rounds):
            count = executions // rounds + (1 if number < executions % rounds else 0)
            print(f"{harmed.name}, round {number + 1} of {rounds}: {count} executions", flush=True)
            campaign.run(kinds, count)
