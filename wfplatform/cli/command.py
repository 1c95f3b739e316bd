"""How a function becomes a command: `--json` and `--debug` on each, errors as message and hint, exit codes.

0 completed; 1 an execution failed or was cancelled; 2 what was asked cannot be right; 3 the platform cannot be reached; 130
interrupted. Refuses: tracebacks, unless asked for.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

import typer

from wfplatform.cli.screen import Screen
from wfplatform.errors import PlatformError, WfError
from wfplatform.telemetry.log_lines import log_lines

__all__ = [
    "COMPLETED",
    "FAILED",
    "INTERRUPTED",
    "UNREACHABLE",
    "USAGE",
    "command",
    "command_group",
    "guarded",
]

COMPLETED: Final = 0
FAILED: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3
INTERRUPTED: Final = 130

AsJson = Annotated[bool, typer.Option("--json", help="Write one JSON document to standard output.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error, and what is logged.")]


def command_group(name: str, help: str) -> typer.Typer:  # noqa: A002 - as typer calls it
    """A group of commands: `wfp executions ...`."""
    # Plain help pages: the pretty ones would take longer to load than to read.
    group = typer.Typer(
        name=name, help=help, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False
    )

    @group.callback()
    def options(as_json: AsJson = False, debug: Debug = False) -> None:
        del as_json, debug  # Found again by `_asked`, wherever on the line they stand.

    return group


def command(group: typer.Typer, name: str = "") -> Callable[[Callable[..., int | None]], Callable[..., None]]:
    """Add a function to a group; its first argument is the screen, it returns an exit code (None = 0).

    Args:
        group: as `command_group` makes it, or the root.
        name: of the command; default: the function's.
    """

    def decorate(function: Callable[..., int | None]) -> Callable[..., None]:
        @functools.wraps(function)
        def run(context: typer.Context, as_json: bool, debug: bool, **arguments: Any) -> None:
            screen = Screen(as_json=as_json or _asked(context, "as_json"), debug=debug or _asked(context, "debug"))
            with guarded(screen):
                raise typer.Exit(function(screen, **arguments) or COMPLETED)

        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        kind = inspect.Parameter.KEYWORD_ONLY
        more = [
            inspect.Parameter("context", kind, annotation=typer.Context),
            inspect.Parameter("as_json", kind, annotation=AsJson, default=False),
            inspect.Parameter("debug", kind, annotation=Debug, default=False),
        ]
        parameters = [*(one.replace(kind=kind) for one in own), *more]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        group.command(name or None)(run)
        return run

    return decorate


@contextmanager
def guarded(screen: Screen) -> Iterator[None]:
    """Turns errors of the block into words and an exit code."""
    _log(logging.INFO if screen.debug else logging.ERROR)
    try:
        yield
    except WfError as error:
        screen.error(error)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        screen.note("Interrupted.")
        raise typer.Exit(INTERRUPTED) from None
    except (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):
        raise  # They are typer's own affair; the last one means that nobody reads on.
    except OSError as error:
        refused = _refused(error)
        screen.error(refused, cause=error)
        raise typer.Exit(refused.exit_code) from None
    except Exception as error:  # noqa: BLE001 - the last who can say it in words
        screen.error(_defect(error), cause=error)
        raise typer.Exit(FAILED) from None


def _refused(error: OSError) -> PlatformError:
    """What the operating system refused, in words."""
    what = error.strerror or str(error) or type(error).__name__
    where = f": {error.filename}" if error.filename else ""
    return PlatformError(
        "system_refused",
        f"The operating system refused something: {what}{where}.",
        "See to the rights, the room or the connection it speaks of; --debug shows where it happened.",
    )


def _defect(error: Exception) -> WfError:
    return WfError(
        "defect",
        f"This should not have happened: {type(error).__name__}: {error}",
        "It is a defect of wfplatform; --debug shows where, and a report of it helps.",
    )


def _log(level: int) -> None:
    log_lines(level, shape="%(levelname)s %(name)s: %(message)s")
    # A misspelt setting is the user's to mend; what the platform's own threads warn of mends itself.
    logging.getLogger("wfplatform.settings").setLevel(logging.WARNING)


def _asked(context: typer.Context, name: str) -> bool:
    parent = context.parent
    while parent is not None:
        if parent.params.get(name):
            return True
        parent = parent.parent
    return False
