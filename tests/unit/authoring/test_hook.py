"""What can be a hook, what becomes of it, and what is refused where it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from wfplatform import DefinitionError, Notice, Retry, Workflow, env, mail, node, slack, workflow
from wfplatform.core.hook import Occasion


@node
def same(x: Any) -> Any:
    return x


def tell(notice: Notice) -> str:
    return notice.workflow


@node(name="told", retry=Retry(attempts=2))
def told(notice: Notice, loudly: bool = False) -> str:
    return notice.workflow.upper() if loudly else notice.workflow


@workflow
def other(notice: Notice, times: int = 1) -> Any:
    return told(notice)


@workflow
def plain() -> Any:
    return same(1)


@workflow(on_failure=plain)
def calls_itself_by_its_hook() -> Any:
    return same(1)


def made(**hooks: Any) -> Workflow[..., Any]:
    @workflow(name="flights", **hooks)
    def flights(x: int) -> Any:
        return same(x)

    return flights


def test_each_hook_is_a_workflow_with_a_version() -> None:
    flow = made(on_failure=[tell, told, other], on_completion=plain, on_cancellation=mail("ann@example.org"))
    names = [
        ("failure", "flights: on failure"), ("failure", "flights: on failure 2"), ("failure", "other"),
        ("completion", "plain"), ("cancellation", "flights: on cancellation"),
    ]  # fmt: skip
    assert [(hook["on"], hook["workflow"]) for hook in flow.definition["hooks"]] == names
    assert [hook["version"] for hook in flow.definition["hooks"]] == [one.workflow.version for one in flow.hooks]
    (second,) = flow.hooks[1].workflow.graph.nodes
    assert (second.label or second.id, second.policy.attempts) == ("told", 2)


def test_a_hook_is_part_of_the_version_and_none_is_not() -> None:
    bare, one, two = made(), made(on_failure=tell), made(on_failure=told)
    assert "hooks" not in bare.definition
    assert made(on_failure=[], on_completion=None).version == bare.version
    assert len({bare.version, one.version, two.version}) == 3
    assert made(on_failure=tell).version == one.version


def test_what_a_function_takes_says_what_it_is_given() -> None:
    def as_dict(notice: dict[str, Any]) -> Any: ...
    def as_mapping(notice: Mapping[str, Any]) -> Any: ...
    def by_name(*, what: Notice) -> Any: ...
    def unsaid(what): ...  # type: ignore[no-untyped-def]
    async def later(notice: Notice) -> Any: ...
    def unknown(notice: Nowhere) -> Any: ...  # type: ignore[name-defined]  # noqa: F821

    flow = made(on_failure=[as_dict, as_mapping, by_name, unsaid, later, unknown])
    types = [one.workflow.slots["notice"].annotation for one in flow.hooks]
    assert types == [dict[str, Any], dict[str, Any], Notice, Notice, Notice, Notice]
    for one in flow.hooks:
        assert one.workflow.definition["parameters"][0]["required"]


def needs_more(notice: Notice, more: int) -> None: ...
def takes_nothing() -> None: ...
def takes_number(notice: int) -> None: ...
def takes_many(*notices: Notice) -> None: ...


@workflow
def needs(x: int) -> Any:
    return same(x)


@workflow
def takes_list(notice: list[int]) -> Any:
    return same(notice)


@pytest.mark.parametrize(
    ("hook", "sentence"),
    [
        (lambda notice: None, "a lambda"),
        (needs_more, "takes one argument|which takes"),
        (takes_nothing, "which takes"),
        (takes_number, "is a int"),
        (takes_many, "which takes"),
        (needs, "must be given x"),
        (takes_list, r"is a list\[int\]"),
        ("ops@example.org", "no function, workflow or ready-made hook"),
        (5, "no function, workflow or ready-made hook"),
        (Notice, "is a class"),
        ([tell, 5], "no function, workflow or ready-made hook"),
    ],
)
def test_what_cannot_be_told_is_refused_where_it_is_written(hook: Any, sentence: str) -> None:
    with pytest.raises(DefinitionError, match=sentence):
        made(on_failure=hook)


@pytest.mark.parametrize(
    "given",
    [{"late_after_s": 5}, {"on_late": tell}, {"late_after_s": 0, "on_late": tell}, {"late_after_s": "5", "on_late": tell},
     {"late_after_s": 1e9, "on_late": tell}, {"late_after_s": float("nan"), "on_late": tell},
     {"late_after_s": True, "on_late": tell}],
)  # fmt: skip
def test_lateness_says_when_and_who(given: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="late"):
        made(**given)


def test_lateness_stands_in_the_document() -> None:
    flow = made(late_after_s=60, on_late=slack(env("CHANNEL")))
    assert flow.definition["policy"] == {"lateAfterS": 60}
    assert [hook["on"] for hook in flow.definition["hooks"]] == [Occasion.LATENESS]
    assert "CHANNEL" in str(flow.hooks[0].workflow.definition)


def test_a_hook_that_runs_what_it_tells_of_is_refused() -> None:
    @workflow
    def again(notice: Notice) -> Any:
        return first(1)

    @workflow(on_failure=again)
    def first(x: int) -> Any:
        return same(x)

    for flow in (first, again):
        with pytest.raises(DefinitionError, match="first -> again -> first"):
            flow.version  # noqa: B018


def test_a_hook_that_is_written_anew_makes_a_new_version() -> None:
    scope: dict[str, Any] = {"__name__": "__main__", "workflow": workflow, "node": node}
    exec(  # as cells of a notebook are
        "def words(): return 'a'\n"
        "def told(notice): return words()\n"
        "@node\ndef f(): return 1\n"
        "@workflow(on_failure=told)\ndef flow(): return f()\n"
        "@workflow\ndef above(): return flow()\n",
        scope,
    )
    before = scope["flow"].version, scope["above"].version
    exec("def words(): return 'b'\n", scope)
    after = scope["flow"].version, scope["above"].version
    assert before[0] != after[0]
    assert before[1] != after[1]
    exec("def words(): return 'a'\n", scope)
    assert (scope["flow"].version, scope["above"].version) == before
