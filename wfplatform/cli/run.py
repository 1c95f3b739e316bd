"""`wfp run` and `wfp demo`: start an execution of a workflow of the user's, or of the one that comes along."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from wfplatform.cli.command import COMPLETED, command
from wfplatform.cli.connection import connected
from wfplatform.cli.screen import Screen
from wfplatform.core.forecast import FORECAST_HEADS
from wfplatform.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wfplatform.bootstrap.platform import EmbeddedPlatform
    from wfplatform.core.record import ExecutionRecord

__all__ = ["add_to"]

DEMO: Final = "wfplatform.examples.flights:flights"

Target = Annotated[
    str,
    typer.Argument(
        metavar="MODULE:WORKFLOW",
        help="A module or a .py file, and the workflow in it: shop:daily, flows/shop.py:daily.",
    ),
]
Given = Annotated[
    list[str] | None,
    typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="A parameter, as JSON or text; may be repeated."),
]
Refresh = Annotated[
    bool, typer.Option("--refresh", help="Compute every node anew, whatever is kept of earlier executions.")
]
RefreshNode = Annotated[
    list[str] | None, typer.Option("--refresh-node", metavar="NODE", help="Compute this node anew; may be repeated.")
]


def add_to(root: typer.Typer) -> None:
    """Add the commands to the root."""
    command(root)(demo)
    command(root)(run)
    command(root)(plan)


def run(
    screen: Screen,
    workflow: Target,
    parameter: Given = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show the progress, wait for the end, print the result.")
    ] = False,
    priority: Annotated[int | None, typer.Option(help="Larger runs earlier.", min=-32_768, max=32_767)] = None,
    timeout_s: Annotated[
        float | None,
        typer.Option(
            "--timeout", metavar="SECONDS", help="How long it may have work on the cluster; waits do not count."
        ),
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A word to find it by; may be repeated.")] = None,
    refresh: Refresh = False,
    refresh_node: RefreshNode = None,
) -> int:
    """Run a workflow.

    Exit codes: 0 it completed (or, without --watch, was started), 1 it failed or was cancelled, 2 the workflow or a parameter
    is not right, 3 the platform cannot be reached, 130 interrupted.
    """
    from wfplatform.authoring.platform import RunOptions
    from wfplatform.cli.parameter import bound, given_parameters
    from wfplatform.cli.target import find_workflow
    from wfplatform.settings import Settings

    texts = given_parameters(parameter or [])
    longest_s = Settings.load().execution_timeout_max_s
    if timeout_s is not None and not 0 < timeout_s <= longest_s:
        raise UserError(
            "bad_timeout",
            f"--timeout: expected more than 0 and at most {longest_s:g} seconds, got {timeout_s:g}.",
            "The setting execution_timeout_max_s raises the limit.",
        )
    found = find_workflow(workflow)
    parameters = bound(found.parameters, texts)
    # Whatever cannot travel to a worker is refused before anything is started.
    _ = found.version, found.code
    options = RunOptions(
        priority=priority, timeout_s=timeout_s, tags=tuple(tag or ()), refresh=_anew(refresh, refresh_node)
    )
    with connected(screen) as platform:
        execution = platform.run(found, parameters, options)
        if watch:
            from wfplatform.cli.ending import follow, tell_end

            return tell_end(screen, platform, follow(screen, platform, execution.id))
        from wfplatform.cli.view import execution_document
        from wfplatform.cli.words import command_name

        screen.document(execution_document(execution.record))
        screen.say(f"Execution {execution.id} of {found.name} was started.")
        screen.say(f"Watch it with `{command_name()} executions show {execution.id} --watch`.")
    return COMPLETED


def plan(
    screen: Screen,
    workflow: Target,
    parameter: Given = None,
    refresh: Refresh = False,
    refresh_node: RefreshNode = None,
) -> int:
    """Tell what a run would do: what would run, what would be reused and why, and how long it may take. Nothing is run.

    Exit codes: 0 it was told, 2 the workflow or a parameter is not right, 3 the platform cannot be reached.
    """
    from wfplatform.authoring.platform import RunOptions
    from wfplatform.cli.parameter import bound, given_parameters
    from wfplatform.cli.screen import table
    from wfplatform.cli.target import find_workflow
    from wfplatform.cli.view import forecast_document

    texts = given_parameters(parameter or [])
    found = find_workflow(workflow)
    parameters = bound(found.parameters, texts)
    _ = found.version, found.code
    with connected(screen) as platform:
        told = platform.plan(found, parameters, RunOptions(refresh=_anew(refresh, refresh_node)))
    screen.document(forecast_document(told))
    screen.say(told.summary)
    screen.say()
    screen.say(table(FORECAST_HEADS, told.rows(), right=("elements", "takes")))
    return COMPLETED


def _anew(refresh: bool, nodes: list[str] | None) -> tuple[str, ...]:
    from wfplatform.core.policy import ALL_NODES

    return (ALL_NODES,) if refresh else tuple(nodes or ())


def demo(
    screen: Screen,
    folder: Annotated[
        Path | None,
        typer.Argument(help="Where the chart and the data set go; default: the folder demo in the platform's home."),
    ] = None,
    year: Annotated[int, typer.Option(help="The year of the flights; the data hold 2013.")] = 2013,
) -> int:
    """Run the example that comes along: the delays of 336,776 flights, with a chart and a Parquet data set.

    The default folder lies in the platform's home, since it is known to be writable and goes with the platform; the working
    folder may be anybody's checkout.
    """
    from wfplatform.cli.ending import follow
    from wfplatform.cli.parameter import bound
    from wfplatform.cli.target import find_workflow
    from wfplatform.core.execution import ExecutionState
    from wfplatform.settings import Settings

    place = (folder or Settings.load().home / "demo").expanduser().absolute()
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        other = "Name another: wfp demo FOLDER." if folder else "It lies in the platform's home, which WFP_HOME names."
        raise UserError("bad_folder", f"The folder {place} cannot be made: {error.strerror}.", other) from error
    found = find_workflow(DEMO)
    data = place / "flights"
    parameters = bound(found.parameters, {"year": str(year), "folder": str(data)})
    with connected(screen) as platform:
        execution = platform.run(found, parameters)
        screen.say(f"Running {found.name} as execution {execution.id} on the platform in {platform.settings.home}.")
        record = follow(screen, platform, execution.id)
        if record.state is not ExecutionState.COMPLETED:
            from wfplatform.cli.ending import tell_end

            return tell_end(screen, platform, record)
        _tell_demo(screen, platform, record, place / "delays.html", data)
    return COMPLETED


def _tell_demo(screen: Screen, platform: EmbeddedPlatform, record: ExecutionRecord, chart: Path, data: Path) -> None:
    from importlib import import_module

    from wfplatform.cli.ending import artifacts_of, sight_document, tell_execution
    from wfplatform.cli.outcome import pictures, value_document
    from wfplatform.cli.sight import Observer
    from wfplatform.cli.words import command_name, masked, plain_place, size

    result: Mapping[str, Any] = platform.executions.result(record.id, 0.0)
    chart.write_text(result["chart"], encoding="utf-8")
    sight = Observer(platform, record.id).look()
    artifacts = artifacts_of(platform, record)
    if screen.as_json:
        tables = {name: value for name, value in result.items() if name != "chart"}
        more = {
            "result": value_document(tables),
            "artifacts": artifacts,
            "chart": str(chart),
            "dataSet": str(data),
        }
        screen.document({**sight_document(sight), **more})
        return
    for title, one in import_module(DEMO.partition(":")[0]).printable_tables(result).items():
        screen.say(*pictures(one, title, width=screen.out.width))
    tell_execution(screen, platform, sight)
    files = result["files"]
    total = size(sum(one["size_bytes"] for one in files))
    lines = (
        ("chart", str(chart)),
        ("data set", f"{data} ({len(files)} Parquet files, {total})"),
        (
            "artifacts",
            f"{plain_place(platform.settings.artifacts_location)} ({len(artifacts)} of the result; small ones in the database)",
        ),
        ("every node", f"{command_name()} executions show {record.id} --nodes"),
        ("what it wrote", f"{command_name()} executions logs {record.id}"),
        (
            "from Python",
            f"from wfplatform.bootstrap import default_platform as p; p().execution('{record.id}').result()",
        ),
        ("in SQL", f"psql '{masked(platform.address.dsn)}'   (tables execution, node_execution, node_log)"),
        ("the data set", f"pandas.read_parquet('{data}')"),
    )
    screen.say()
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        screen.say(f"{name:<{width}}  {text}")
