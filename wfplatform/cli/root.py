"""The table of commands and the entry point of `wfp`."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from wfplatform.cli import approvals, database, dead_letters, executions, platform, retention, run, sharing, workflows
from wfplatform.cli.command import AsJson, Debug
from wfplatform.cli.usage import Root

__all__ = ["application", "main"]


def application() -> typer.Typer:
    """All commands."""
    root = typer.Typer(
        name="wfp",
        cls=Root,
        help="Run workflows on the platform of a home folder, watch them, and look after the platform.",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        epilog="Exit codes: 0 completed, 1 failed or cancelled, 2 what was asked is not right, 3 unreachable, 130 interrupted.",
    )

    @root.callback()
    def options(
        as_json: AsJson = False,
        debug: Debug = False,
        version: Annotated[
            bool,
            typer.Option("--version", help="Show the release and exit.", callback=_version, is_eager=True),
        ] = False,
    ) -> None:
        del as_json, debug, version  # The first two are found again by each command.

    for family in (run, platform, executions, approvals, dead_letters, workflows, sharing, retention, database):
        family.add_to(root)
    return root


def main() -> None:
    """Entry point; ends the process with the exit code of the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # Text of users may hold half a surrogate pair, or what this terminal has no letter for. As an escape it can be
            # shown, and is the same text to who reads JSON.
            stream.reconfigure(errors="backslashreplace")
    application()(prog_name="wfp")


def _version(wanted: bool) -> None:
    if wanted:
        from wfplatform.bootstrap.system import release

        sys.stdout.write(f"wfp {release()}\n")
        raise typer.Exit
