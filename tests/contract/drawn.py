"""Random workflows: the functions their nodes run, and a reader that makes a workflow of a drawn plan.

A plan is plain data (see `test_semantics`); which value a step reads is a number that counts round the values there are,
so that every plan means something. Each function says on a logger of its own that it ran: what is counted are calls, not records.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, NamedTuple

from wfplatform import (
    Breaker,
    Limit,
    Retry,
    Workflow,
    approval,
    current_node,
    delay,
    each,
    else_,
    if_,
    loop,
    merge,
    node,
    unmapped,
    wait_for_event,
    workflow,
)

__all__ = ["LOGGER", "UNDOS", "Step", "Value", "brought", "calls_counted", "drawn"]

LOGGER = "wfplatform.tests.calls"


class Step(NamedTuple):
    """One step of a plan.

    Args:
        kind: what it does; `number` picks the function of a call, map or child.
        reads: which values it reads, as numbers that count round.
        flags: small choices: each, unmapped, wrap, policy, ordering.
        inner: the steps of the two branches of a choice.
    """

    kind: str
    number: int = 0
    reads: tuple[int, ...] = (0, 0)
    flags: tuple[int, ...] = (0, 0, 0, 0)
    inner: tuple[tuple[Step, ...], tuple[Step, ...]] = ((), ())


class Value(NamedTuple):
    """A value of the workflow being drawn: its proxy, and how many of its levels are lists for sure."""

    proxy: Any
    depth: int


def _ran() -> None:
    here = current_node()
    logging.getLogger(LOGGER).info(
        "ran", extra={"call": (str(here.execution_id), here.node_id, here.element, here.attempt)}
    )


def _mark(value: Any) -> int:
    """A number from 0 to 999 that any change of the value changes."""
    text = json.dumps(value, sort_keys=True, default=str)
    return int.from_bytes(sha256(text.encode()).digest()[:4], "big") % 1000


@node
def number(x: Any, y: Any = None) -> int:
    """A number of its inputs."""
    _ran()
    return _mark([x, y])


@node
def listing(x: Any, y: Any = None) -> list[int]:
    """None to three numbers."""
    _ran()
    mark = _mark(["list", x, y])
    return [mark + i for i in range(mark % 4)]


@node
def grid(x: Any, y: Any = None) -> list[list[int]]:
    """None to two rows of none to two numbers."""
    _ran()
    mark = _mark(["grid", x, y])
    return [[mark + i + k for k in range((mark // 3 + i) % 3)] for i in range(mark % 3)]


@node
def record(x: Any, y: Any = None) -> dict[str, Any]:
    """A dict with a list in it."""
    _ran()
    mark = _mark(["record", x, y])
    return {"n": mark, "items": [mark] * (mark % 3)}


@node(outputs=("a", "b"))
def pair(x: Any, y: Any = None) -> tuple[int, list[int]]:
    """Two outputs."""
    _ran()
    mark = _mark(["pair", x, y])
    return mark, [mark, mark + 1][: mark % 3]


@node
def picky(x: Any, y: Any = None) -> int:
    """Fails for a third of all inputs."""
    _ran()
    mark = _mark(["picky", x, y])
    if mark % 3 == 0:
        raise ValueError(f"{mark} does not suit")
    return mark


@node(retry=Retry(attempts=3, delay_s=0.0))
def flaky(x: Any, y: Any = None) -> int:
    """Fails once or twice, or always, for some inputs."""
    _ran()
    mark = _mark(["flaky", x, y])
    if mark % 5 in {1, 2, 3} and current_node().attempt <= mark % 5:
        raise ConnectionError(f"{mark} is not there")
    return mark


@node(retry=Retry(attempts=3, delay_s=0.0, never_on=("KeyError",)))
def stubborn(x: Any, y: Any = None) -> int:
    """Fails for some inputs with an error that is not tried again."""
    _ran()
    mark = _mark(["stubborn", x, y])
    if mark % 4 == 0:
        raise KeyError(mark)
    if mark % 4 == 1 and current_node().attempt < 2:
        raise OSError(mark)
    return mark


@node
def greedy(x: Any, y: Any = None) -> int:
    """Changes what it is given, which nobody else may notice."""
    _ran()
    mark = _mark(["greedy", x, y])
    for given in (x, y):
        if isinstance(given, list):
            given.append(mark)
        elif isinstance(given, dict):
            given["greedy"] = mark
    return mark


def grow(state: Any, more: Any = None) -> dict[str, Any]:
    """A turn of a loop."""
    turns = state["turns"] if isinstance(state, dict) and "turns" in state else 0
    return {"turns": turns + 1, "mark": _mark([state, more])}


def small(state: Any) -> bool:
    """Whether a loop goes on."""
    return _mark(state) % 4 != 0 and (not isinstance(state, dict) or state.get("turns", 0) < 4)


@node(retry=Retry(attempts=2, delay_s=0.0))
def stumble(state: Any, more: Any = None) -> dict[str, Any]:
    """A turn of a loop that fails the first time for some states."""
    mark = _mark(["stumble", state])
    if isinstance(state, list):
        state.append(0)
    if mark % 3 == 0 and current_node().attempt == 1:
        raise ConnectionError("lost")
    return grow(state if not isinstance(state, list) else state[:-1], more)


def revert(result: Any, x: Any) -> int:
    """Takes a number back."""
    _ran()
    return _mark(["revert", result, x])


@node(retry=Retry(attempts=2, delay_s=0.0))
def shaky(result: Any, y: Any = None) -> int:
    """Takes a number back, for some the second time only, for some not at all."""
    _ran()
    mark = _mark(["shaky", result, y])
    if mark % 5 == 0 or (mark % 5 == 1 and current_node().attempt == 1):
        raise ConnectionError(f"{mark} does not come back")
    return mark


def tidy(x: Any) -> None:
    """Cleans up after a number that came to nothing."""
    _ran()


@workflow
def doubled(x: Any = 0, y: Any = None) -> Any:
    """A child that gives a list."""
    return [number(x), listing(x, y)]


@workflow
def spread(x: Any = 0, y: Any = None) -> Any:
    """A child that maps, and fails for some inputs."""
    return picky.map(listing(x, y))


CALLS = (number, listing, grid, record, picky, flaky, stubborn, greedy)
UNDOS = (revert, shaky)
DEPTHS = (0, 1, 2, 0, 0, 0, 0, 0)
CHILDREN = (doubled, spread)
POLICIES: tuple[dict[str, Any], ...] = (
    {},
    {},
    {},
    {"on_failure": "fail"},
    {"on_skip": "none"},
    {"on_failure": "fail", "on_skip": "none"},
)


SHARED: tuple[dict[str, Any], ...] = (
    {"limit": Limit("shared", 1, across="all")},  # type: ignore[arg-type]  # as people write it
    {"limit": Limit("shared", 2, across="all"), "cache": True},  # type: ignore[arg-type]
    {"limit": Limit("shared", 1, across="workflow", key="x")},  # type: ignore[arg-type]
    {"breaker": Breaker("shared", calls=1, open_s=0.5)},
    {"cache": True},
)


class _Reader:
    """Makes nodes of steps."""

    def __init__(self, values: list[Value], delay_s: float) -> None:
        self.values = values
        self.delay_s = delay_s
        self.outputs: list[Any] = []

    def pick(self, at: int, fewest: int = 0) -> Value:
        """A value, one with at least so many sure levels if there is any."""
        fitting = [value for value in self.values if value.depth >= fewest] or self.values
        return fitting[at % len(fitting)]

    def keep(self, proxy: Any, depth: int) -> Value:
        value = Value(proxy, depth)
        self.values.append(value)
        self.outputs.append(proxy)
        return value

    def options(self, step: Step) -> dict[str, Any]:
        found = dict(POLICIES[step.flags[3] % len(POLICIES)])
        if step.flags[2] % 5 == 4 and self.outputs:
            found["after"] = [self.outputs[step.reads[-1] % len(self.outputs)]]
        return found

    def argument(self, step: Step, place: int) -> Any:
        proxy = self.pick(step.reads[place]).proxy
        match step.flags[place] % 6:
            case 4:
                return [proxy, place]
            case 5:
                return {"k": proxy, "l": [1, place]}
            case _:
                return proxy

    def steps(self, steps: Sequence[Step]) -> None:
        for step in steps:
            getattr(self, f"do_{step.kind}")(step)

    def do_call(self, step: Step) -> None:
        at = step.number % len(CALLS)
        self.keep(CALLS[at].options(**self.options(step))(self.argument(step, 0), self.argument(step, 1)), DEPTHS[at])

    def do_pair(self, step: Step) -> None:
        a, b = pair.options(**self.options(step))(self.argument(step, 0))
        self.keep(a, 0)
        self.keep(b, 1)

    def do_part(self, step: Step) -> None:
        out = record.options(**self.options(step))(self.argument(step, 0))
        self.keep(out["items"], 1)
        self.keep(out["n"], 0)

    def do_map(self, step: Step) -> None:
        source = self.pick(step.reads[0], 1 if step.flags[1] % 8 else 0)
        if source.proxy is self.values[0].proxy:
            source = self.values[1]  # a number is no list, and that is told when it is drawn
        other = self.pick(step.reads[1]).proxy
        rank = rank_of(source.proxy)
        deeper = source.depth > rank and (rank == 0 or step.flags[0] % 2 == 0)
        mapped = each(source.proxy) if deeper or type(source.proxy).__name__ != "Output" else source.proxy
        at = step.number % len(CALLS)
        shape = step.flags[1] % 4
        arguments = {"x": mapped, "y": unmapped(other)} if shape else {"x": mapped, "y": mapped}
        out = CALLS[at].options(**self.options(step)).map(**arguments)
        self.keep(out, (rank + 1 if deeper else max(rank, 1)) + DEPTHS[at])

    def do_zip(self, step: Step) -> None:
        """Two lists that may differ in length."""
        first, second = self.pick(step.reads[0], 1), self.pick(step.reads[1], 1)
        if not all(type(one.proxy).__name__ == "Output" for one in (first, second)):
            return
        # Kept from being mapped over in turn: of lengths that disagree where nothing runs, nobody says how many they are.
        self.outputs.append(number.options(**self.options(step)).map(first.proxy, second.proxy))

    def do_choice(self, step: Step) -> None:
        condition = self.pick(step.reads[0])
        if type(condition.proxy).__name__ == "Output":
            condition = Value(number(condition.proxy), 0)
        branches: list[Any] = []
        before = list(self.values)
        for gate, inner in ((if_(condition.proxy), step.inner[0]), (else_(), step.inner[1])):
            with gate:
                known = len(self.outputs)
                self.steps(inner)
                branches += self.outputs[known:][-1:]
            if not step.flags[0] % 3:
                self.values = list(before)
        branches = [one for one in branches if type(one).__name__ == "Output"]
        if branches:
            more = [] if step.flags[1] % 3 else [7]
            self.keep(merge(*branches, *more), 0)

    def do_loop(self, step: Step) -> None:
        body = stumble if step.flags[0] % 2 else grow
        self.keep(
            loop(
                body,
                self.argument(step, 0),
                while_=small,
                limit=(2, 3, 5)[step.flags[1] % 3],
                more=self.pick(step.reads[1]).proxy,
            ),
            0,
        )

    def do_delay(self, step: Step) -> None:
        value = self.pick(step.reads[0])
        rank = rank_of(value.proxy)
        self.keep(delay(seconds=self.delay_s, value=value.proxy), value.depth if not rank else 0)

    def do_effect(self, step: Step) -> None:
        kind = "ask" if step.flags[2] % 2 else True
        if step.number % 2:
            rows = self.pick(step.reads[0], 1)
            if type(rows.proxy).__name__ == "Output":
                self.keep(
                    number.options(effect=kind).map(each(rows.proxy) if not rank_of(rows.proxy) else rows.proxy), 1
                )
                return
        self.keep(flaky.options(effect=kind)(self.argument(step, 0)), 0)

    def do_shared(self, step: Step) -> None:
        """Elements that share something with those of other executions: slots, a circuit breaker, results."""
        shared = SHARED[step.flags[2] % len(SHARED)]
        rows = self.pick(step.reads[0], 1)
        if step.number % 2 and type(rows.proxy).__name__ == "Output":
            mapped = rows.proxy if rank_of(rows.proxy) else each(rows.proxy)
            self.keep(number.options(**shared).map(mapped), 1)
        else:
            function = flaky if "breaker" in shared else number
            self.keep(function.options(**shared)(self.argument(step, 0)), 0)

    def do_saga(self, step: Step) -> None:
        """Something that can be undone."""
        options: dict[str, Any] = {"undo": UNDOS[step.flags[0] % 2]}
        options |= {"cleanup": tidy} if step.flags[1] % 2 else {}
        options |= {"effect": False} if step.flags[2] % 3 == 0 else {"effect": "ask"} if step.flags[2] % 3 == 1 else {}
        work = (number, picky, flaky)[step.number % 3].options(**options, **self.options(step))
        first = self.pick(step.reads[0], 1 if step.flags[3] % 2 else 0)
        if step.flags[3] % 2 and type(first.proxy).__name__ == "Output":
            rows = first.proxy if rank_of(first.proxy) else each(first.proxy)
            self.keep(work.map(rows, y=unmapped(self.pick(step.reads[1]).proxy)), max(rank_of(first.proxy), 1))
            return
        self.keep(work(self.argument(step, 0), self.argument(step, 1)), 0)

    def do_event(self, step: Step) -> None:
        """Waits for data that `brought` tells."""
        name = f"event-{len(self.outputs)}"
        out = wait_for_event(name, match={"event": name}, after=self.outputs[-1:])
        self.keep(out["rows"], 1)

    def do_approval(self, step: Step) -> None:
        """Waits for a form that `brought` tells."""
        details = self.pick(step.reads[0])
        out = approval("Go on?", form=int, details=details.proxy if not rank_of(details.proxy) else None)
        self.keep(out["form"], 0)

    def do_child(self, step: Step) -> None:
        child = CHILDREN[step.number % len(CHILDREN)]
        self.keep(child(self.argument(step, 0)), 1)

    def do_children(self, step: Step) -> None:
        child = CHILDREN[step.number % len(CHILDREN)]
        source = self.pick(step.reads[0], 1)
        self.keep(child.map(source.proxy if rank_of(source.proxy) else each(source.proxy)), 2)


def brought(node_id: str) -> Any:
    """What is to be brought to a node that waits for it: the data of an event, or a form."""
    mark = _mark(node_id)
    return {"event": node_id, "rows": list(range(mark % 4))} if node_id.startswith("event-") else mark


def rank_of(proxy: Any) -> int:
    """How many indices the elements of a proxy have."""
    return proxy._wf_trace.rank(proxy._wf_ref.node) if type(proxy).__name__ == "Output" else 0


def drawn(plan: Sequence[Step], returned: int, delay_s: float = 0.0) -> Workflow[..., Any]:
    """The workflow of a plan, with parameters `n: int` and `xs: list[int]`.

    Args:
        plan: its steps.
        returned: which shape its result has.
        delay_s: how long its delays are.
    """

    def flow(n: int, xs: list[int]) -> Any:
        reader = _Reader([Value(n, 0), Value(xs, 1)], delay_s)
        reader.steps(plan)
        outputs = reader.outputs or [n]
        match returned % 3:
            case 0:
                return outputs[-1]
            case 1:
                return {"all": [*outputs], "xs": xs}
            case _:
                return outputs[::2]

    return workflow(name="drawn")(flow)


class _Counter(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, str, tuple[int, ...], int]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.calls.append(record.call)  # type: ignore[attr-defined]


@contextmanager
def calls_counted() -> Iterator[list[tuple[str, str, tuple[int, ...], int]]]:
    """The calls of the functions of this module made in this process: (execution, node, element, attempt) each."""
    counter, logger = _Counter(), logging.getLogger(LOGGER)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(counter)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield counter.calls
    finally:
        logger.removeHandler(counter)
        logger.setLevel(level)
        logger.propagate = propagate
