"""A command line that cannot be understood, told to a program that asked for `--json` as any other error is.

Refuses: other words for people than typer's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import typer
from typer.core import TyperGroup

from wfplatform.cli.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Root"]

# Typer brings its own click or takes the one that is installed, as its releases go; the class of an error leads to the right one.
UsageError: Final = cast("type[Exception]", typer.BadParameter.__base__)
_AS_JSON: Final = "wfplatform.as_json"


class Root(TyperGroup):
    """The group of all commands."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse what stands before the first command."""
        as_json = "--json" in _options(args)
        try:
            context = super().make_context(info_name, args, parent, **extra)
        except UsageError as error:
            _tell(error, as_json=as_json)
            raise
        context.meta[_AS_JSON] = as_json
        return context

    def invoke(self, ctx: Any) -> Any:
        """Parse the rest, and run the command."""
        try:
            return super().invoke(ctx)
        except UsageError as error:
            _tell(error, as_json=ctx.meta[_AS_JSON])
            raise


def _options(args: list[str]) -> Iterator[str]:
    """The words of a command line up to `--`; taken before it is parsed, for it may be the parsing that fails."""
    for word in args:
        if word == "--":
            return
        yield word


def _tell(error: Any, *, as_json: bool) -> None:
    context = error.ctx
    message = error.format_message()
    command = "wfp" if context is None else context.command_path
    if context is not None and message == context.get_help():  # a group by itself: typer then shows its page
        message = f"`{command}` expects a command."
    Screen(as_json=as_json).error_document("usage", message, f"`{command} --help` tells what it takes.")
