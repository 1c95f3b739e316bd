"""What is kept of an exception begins in the user's code, whatever lies before it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from wfplatform import node, workflow
from wfplatform.authoring.call import caller, follow
from wfplatform.authoring.context import NodeStopped
from wfplatform.bootstrap.inline import InlinePlatform
from wfplatform.core.graph import PathStep
from wfplatform.errors import NodeError
from wfplatform.worker.async_loop import AsyncLoop
from wfplatform.worker.attempt import Attempt
from wfplatform.worker.failure import describe_error
from wfplatform.worker.trail import MAX_TRAIL_CHARS, format_error


def raised(act: Callable[[], Any]) -> BaseException:
    """What an act raises, as the runner sees it: without the frame of this module."""
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - whatever it is
        act()
    error = caught.value
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__ and trace.tb_next is not None:
        if trace.tb_frame.f_code.co_name not in ("raised", "<lambda>"):
            break
        trace = trace.tb_next
    return error.with_traceback(trace)


async def waits(x: int) -> float:
    await asyncio.sleep(0)
    return 1 / x


class Strange:
    @property
    def part(self) -> None:
        raise KeyError("of the user's")


def names(text: str) -> list[str]:
    """The functions a traceback goes through."""
    return [line.rpartition(" in ")[2] for line in text.splitlines() if line.startswith("  File")]


def test_an_async_function() -> None:
    loop = AsyncLoop()
    try:
        error = raised(lambda: loop.run(caller(waits)({"x": 0})))
    finally:
        loop.close()
    assert names(format_error(error)) == ["waits"]


def test_causes_are_shown_and_begin_there_too() -> None:
    def outer() -> None:
        try:
            plain(0)
        except ZeroDivisionError as error:
            raise ValueError("worse") from error

    text = format_error(raised(lambda: caller(outer)({})))
    assert names(text) == ["outer", "plain", "outer"]
    assert "direct cause" in text


def test_what_the_platform_finds_wrong_is_said_without_its_frames() -> None:
    error = raised(lambda: follow({}, [PathStep("a")], "`load`"))
    assert isinstance(error, NodeError)
    assert names(format_error(error)) == []
    assert "most recent call" not in format_error(error).rpartition("\n\n")[2]
    assert "`load` is a dict without ['a']" in format_error(error)


def test_a_fault_of_the_platform_keeps_its_frames() -> None:
    error = raised(lambda: follow({}, None, ""))  # type: ignore[arg-type]
    assert names(format_error(error)) == ["follow"]


def test_groups_and_their_members() -> None:
    def together() -> None:
        raise BaseExceptionGroup("both", [raised(lambda: caller(part)({})), ValueError("second")])

    def part() -> None:
        raise KeyError("first")

    text = format_error(raised(lambda: caller(together)({})))
    assert "in part" in text
    assert "call.py" not in text
    assert "ValueError: second" in text


def test_an_end_by_timeout_is_called_so() -> None:
    def long() -> None:
        raise NodeStopped

    attempt = Attempt("e", UUID(int=1), 1, "s", 0, (), 1)
    attempt.reason, attempt.timeout_s = "timeout", 2.5
    described = describe_error(raised(lambda: caller(long)({})), attempt)
    assert described["traceback"].endswith("raise NodeStopped\nNodeTimeout: It ran longer than its timeout of 2.5 s.\n")
    assert names(described["traceback"]) == ["long"]


def test_files_get_the_names_their_user_knows() -> None:
    def one() -> None:
        compile("a b", __file__, "exec")

    text = format_error(raised(lambda: caller(one)({})), lambda file: "/there.py" if file == __file__ else file)
    assert __file__ not in text
    assert text.count("/there.py") == 2, "the frame, and the file with the wrong syntax"
    assert 'compile("a b", __file__, "exec")' in text


def test_of_a_long_one_the_middle_is_left_out() -> None:
    error = raised(lambda: caller(lambda: "x".index("y" * 3 * MAX_TRAIL_CHARS))({}))
    error.args = ("z" * 3 * MAX_TRAIL_CHARS,)
    text = format_error(error)
    assert len(text) < MAX_TRAIL_CHARS + 10
    assert "\n...\n" in text


def test_a_long_chain_is_no_trouble() -> None:
    error: BaseException = ValueError("first")
    for _ in range(3000):
        made = ValueError("next")
        made.__cause__, error = error, made
    assert "first" in format_error(error) or "\n...\n" in format_error(error)


@node
async def broken(x: int) -> float:
    return await waits(x)


@node
def through(x: int) -> float:
    return plain(x)


@node
def plain(x: int) -> float:
    return 1 / x


@pytest.mark.parametrize(("which", "expected"), [(broken, ["broken", "waits"]), (through, ["through", "plain"])])
def test_the_result_of_an_execution_shows_the_users_frames_only(which: Any, expected: list[str]) -> None:
    @workflow
    def flow() -> Any:
        return which(0)

    with InlinePlatform() as platform:
        execution = platform.run(flow, {})
        with pytest.raises(NodeError) as caught:
            execution.result(60)
    assert names(str(caught.value)) == expected
    assert names(caught.value.facts["traceback"]) == expected
    assert f'File "{__file__}"' in str(caught.value)
