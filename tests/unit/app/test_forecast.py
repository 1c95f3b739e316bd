"""What a run would do is told before, runs nothing, and is then what the run does."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from wfplatform import Cache, delay, else_, if_, loop, merge, node, workflow
from wfplatform.app.platform import CacheWarning
from wfplatform.authoring.platform import RunOptions, use_platform
from wfplatform.bootstrap.inline import InlinePlatform
from wfplatform.core.forecast import Fate, Forecast
from wfplatform.errors import UserError

WAIT_S = 30.0


@pytest.fixture
def platform() -> Iterator[InlinePlatform]:
    with InlinePlatform() as made, use_platform(made):
        yield made


def table(told: Forecast) -> dict[str, str]:
    return {one.name: str(one.fate) for one in told.nodes}


def done(flow: Any, **parameters: Any) -> dict[str, str]:
    """Run it, and say of each node what became of it in the words of a forecast."""
    execution = flow.run(**parameters)
    execution.result(WAIT_S)
    fates: dict[str, set[bool]] = {}
    for row in execution.nodes():
        fates.setdefault(row.node, set()).add(row.reused_from is not None)
    words = {frozenset({True}): Fate.REUSED, frozenset({False}): Fate.RUNS, frozenset({True, False}): Fate.PARTLY}
    return {name: str(words[frozenset(found)]) for name, found in fates.items()}


@node(cache=True)
def half(n: int) -> int:
    return n // 2


@node(cache=True)
def tenfold(n: int) -> int:
    return n * 10


@node
def shown(n: int) -> str:
    return str(n)


@workflow
def chain(n: int) -> Any:
    return shown(tenfold(half(n)))


def test_nothing_is_known_at_first_and_everything_afterwards(platform: InlinePlatform) -> None:
    told = chain.plan(n=8)
    assert table(told) == {"half": "run", "tenfold": "run or be reused", "shown": "run"}
    assert told["half"].why == "no execution of this workflow has left a result of it"
    assert told["tenfold"].why == "depends on half, which runs; reused if what it gets from there is as it was"
    assert told["shown"].why == "no cache"
    assert told.expected_s is None
    assert platform.store.contents.executions == {}
    assert platform.store.contents.versions == {}

    first = chain.run(n=8)
    assert first.result(WAIT_S) == "40"
    told = chain.plan(n=8)
    assert table(told) == {"half": "be reused", "tenfold": "be reused", "shown": "run"} == done(chain, n=8)
    assert told["half"].reused_from == (first.id,)
    assert told["half"].why.startswith(f"result of execution {str(first.id)[:13]}, 20")
    assert (told.expected_s, told.unseen) == (None, ("shown",))


def learn(platform: InlinePlatform, execution: Any, **costs_s: float) -> None:
    version = execution.record.version_id
    platform.store.learn({(version, name): (cost_s, 1) for name, cost_s in costs_s.items()})


def test_early_cut_off_is_told_as_open(platform: InlinePlatform) -> None:
    first = chain.run(n=8)
    first.result(WAIT_S)
    learn(platform, first, half=2, tenfold=4, shown=1)
    told = chain.plan(n=9)
    assert told["half"].fate is Fate.RUNS
    assert told["half"].why.startswith("no result for these inputs; the last is of execution ")
    assert told["tenfold"].fate is Fate.OPEN
    assert done(chain, n=9) == {"half": "run", "tenfold": "be reused", "shown": "run"}
    assert (told.least_s, told.expected_s, told.unseen) == (3, 7, ())
    assert told.time == "Expected on 1 slot: between 3.0 s and 7.0 s."


def steps(by: int, **options: Any) -> Any:
    @node(**{"cache": True, **options})
    def plus(n: int) -> int:
        return n + by

    @workflow
    def added(n: int) -> Any:
        return plus(n)

    return added


def test_what_is_different_is_said(platform: InlinePlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    first = steps(1).run(n=1)
    first.result(WAIT_S)
    assert steps(1).plan(n=1)["plus"].fate is Fate.REUSED
    since = f"since execution {str(first.id)[:13]}"
    assert steps(2).plan(n=1)["plus"].why.startswith(f"its code has changed {since}")
    assert steps(1, cache=Cache(salt="2")).plan(n=1)["plus"].why.startswith(f"its salt has changed {since}")
    declared = steps(1, cache=Cache(packages=("pydantic",)))
    assert declared.plan(n=1)["plus"].why.startswith(f"its declared environment has changed {since}")
    assert steps(1, cache=False).plan(n=1)["plus"].why == "no cache"
    monkeypatch.setenv("WFP_TEST_KIND", "a")
    kind = steps(1, cache=Cache(variables=("WFP_TEST_KIND",)))
    kind.run(n=1).result(WAIT_S)
    assert kind.plan(n=1)["plus"].fate is Fate.REUSED
    monkeypatch.setenv("WFP_TEST_KIND", "b")
    assert kind.plan(n=1)["plus"].why.startswith("its declared environment has changed since execution ")
    assert done(kind, n=1) == {"plus": "run"}
    monkeypatch.setenv("WFP_TEST_KIND", "a")
    assert done(kind, n=1) == {"plus": "be reused"}


def test_what_has_expired_is_said(platform: InlinePlatform) -> None:
    flow = steps(1, cache=Cache(expires_s=60))
    execution = flow.run(n=1)
    execution.result(WAIT_S)
    contents = platform.store.contents
    contents.cache = {
        key: (result, until and until - timedelta(seconds=61)) for key, (result, until) in contents.cache.items()
    }
    assert flow.plan(n=1)["plus"].why.startswith(f"the result of execution {str(execution.id)[:13]} expired 20")


@node(cache=True)
def squared(n: int) -> int:
    return n * n


@workflow
def squares(items: list[int]) -> Any:
    return squared.map(items)


def test_elements_are_told_one_by_one(platform: InlinePlatform) -> None:
    squares.run(items=[1, 2, 3]).result(WAIT_S)
    told = squares.plan(items=[3, 4, 1])["squared"]
    assert (told.fate, told.elements, told.reused) == (Fate.PARTLY, 3, 2)
    assert "of 1: no result for these inputs" in told.why
    assert squares.plan(items=[])["squared"].why == "it has no elements"


def test_computing_anew_keeps_the_new_results(platform: InlinePlatform) -> None:
    first = chain.run(n=8)
    first.result(WAIT_S)
    anew = chain.options(refresh=True)
    assert table(anew.plan(n=8)) == {"half": "run", "tenfold": "run", "shown": "run"} == done(anew, n=8)
    assert anew.plan(n=8)["half"].why == "it is to be computed anew"
    second = chain.plan(n=8)["half"].reused_from
    assert second != (first.id,)
    one = chain.options(refresh="half")
    assert table(one.plan(n=8)) == {"half": "run", "tenfold": "run or be reused", "shown": "run"}
    assert done(one, n=8) == {"half": "run", "tenfold": "be reused", "shown": "run"}
    with pytest.raises(UserError, match="no node 'halves' that could be computed anew"):
        chain.options(refresh=("halves",)).plan(n=8)
    with pytest.raises(UserError, match="It has: half, shown, tenfold"):
        chain.options(refresh=("halves",)).run(n=8)


def test_why_a_cache_is_of_no_use_is_said_when_it_is_published_and_before(platform: InlinePlatform) -> None:
    assert chain.not_reused == {}

    @node(cache=True)
    def guarded(n: int) -> int:
        return n if globals() else 0

    @workflow
    def guarding(n: int) -> Any:
        return guarded(n), loop(half.options(name="halved"), n, while_=lambda n: n > 1, limit=9)

    why = "its code cannot be compared: guarded looks things up by names that are only known when it runs"
    looped = "it is a loop, and only results of single functions are reused"
    assert guarding.not_reused["guarded"] == why
    assert set(guarding.not_reused.values()) == {why, looped}
    assert guarding.plan(n=1)["guarded"].why == why
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CacheWarning)
        guarding.run(n=1).result(WAIT_S)
        guarding.run(n=1).result(WAIT_S)
    said = [str(one.message) for one in caught]
    assert said[0] == f"Node guarded of guarding has a cache, but no result of it is reused: {why}."
    assert len(said) == 2


@workflow
def winding(n: int) -> Any:
    with if_(half(n)):
        large = tenfold(delay(seconds=0.0, value=n))
    with else_():
        small = half(tenfold(n))
    return merge(large, small)


def test_what_hangs_on_a_choice_or_a_wait_is_open(platform: InlinePlatform) -> None:
    winding.run(n=8).result(WAIT_S)
    told = winding.plan(n=8)
    assert told["half"].fate is Fate.REUSED
    assert told["delay"].why == "a wait"
    assert told["tenfold"].fate is Fate.OPEN
    assert told["merge"].why == "a merge, which has no cache"


def test_it_can_be_read(platform: InlinePlatform) -> None:
    first = chain.run(n=8)
    first.result(WAIT_S)
    learn(platform, first, half=0.25, tenfold=4)
    told = chain.plan(n=9)
    assert told.summary == (
        "chain: of 3 nodes 2 would run, 1 would run or be reused. "
        "Expected on 1 slot: between 250 ms and 4.2 s, and what shown takes, never seen before."
    )
    text = str(told)
    assert text.splitlines()[2].split() == ["node", "would", "elements", "takes", "why"]
    assert text.splitlines()[4].startswith("tenfold  run or be reused  1 ")
    assert "<td style='text-align:left'>depends on half, which runs;" in told._repr_html_()
    assert platform.plan(chain, {"n": 9}, RunOptions()).rows
