"""`wfp up`, `wfp down`, `wfp status`: the processes of the platform of a home folder."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from wfplatform.cli.command import COMPLETED, UNREACHABLE, command
from wfplatform.cli.screen import STYLE, Screen
from wfplatform.core.execution import ExecutionState
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.errors import UnreachableError, WfError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wfplatform.bootstrap.supervisor import PlatformAddress, ProcessRow
    from wfplatform.settings import Settings

__all__ = ["add_to"]

OPEN: Final = (ExecutionState.PENDING, ExecutionState.RUNNING, ExecutionState.WAITING)
LATELY: Final = timedelta(hours=24)


def add_to(root: typer.Typer) -> None:
    """Add the commands to the root."""
    command(root)(up)
    command(root)(down)
    command(root)(status)


def up(
    screen: Screen,
    timeout_s: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", help="How long to wait until it is ready.", min=1)
    ] = 90.0,
) -> int:
    """Start the platform and wait until it is ready; one that runs already is left as it is."""
    import time

    from wfplatform.bootstrap import supervisor
    from wfplatform.bootstrap.operation import find_running, upgrade_schema, worker_pids
    from wfplatform.bootstrap.problem import problem_of
    from wfplatform.settings import Settings

    settings = Settings.load()
    deadline_s = time.monotonic() + timeout_s
    if settings.database_url:
        upgrade_schema(settings)  # A server that does not answer is told before anything is started for its sake.
    ran = find_running(settings) is not None
    waiting = screen.err.status(f"Starting the platform in {settings.home} …") if screen.is_live else nullcontext()
    with waiting, supervisor.attach(settings, timeout_s=timeout_s) as attachment:
        if not settings.database_url:
            upgrade_schema(settings)
        rows = supervisor.status(settings)
        while late := _not_ready(settings, rows, len(worker_pids(rows))):
            if (problem := problem_of(rows)) is not None:
                raise problem
            if time.monotonic() > deadline_s:
                raise UnreachableError(
                    "platform_silent",
                    f"The platform in {settings.home} was not ready within {timeout_s:g} s: {', '.join(late)}.",
                    f"See the logs in {settings.home / 'log'}; `wfp status` shows how it goes on.",
                )
            time.sleep(0.1)
            rows = supervisor.status(settings)
        address = attachment.address
    document = {"started": not ran, **_address_document(address, rows, len(worker_pids(rows)))}
    screen.document(document)
    screen.say(f"The platform {'runs already' if ran else 'is up'}.")
    _tell_address(screen, address, settings, rows, len(worker_pids(rows)))
    screen.say(
        f"\nIdle, it stops by itself after {settings.idle_stop_s:g} s, and the next run starts it; `wfp down` stops it."
    )
    return COMPLETED


def down(
    screen: Screen,
    timeout_s: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", help="How long to wait for the end.", min=1)
    ] = 60.0,
) -> int:
    """Stop the platform cleanly. Executions that are open go on when it starts again."""
    from wfplatform.bootstrap import supervisor
    from wfplatform.bootstrap.operation import find_running, is_supervised
    from wfplatform.settings import Settings

    settings = Settings.load()
    open_count: int | None = None
    trouble = ""
    try:
        if is_supervised(settings) and find_running(settings) is not None:
            open_count, _ = _counts(settings)
    except WfError as error:
        trouble = error.message  # It is stopped all the same.
    waiting = screen.err.status(f"Stopping the platform in {settings.home} …") if screen.is_live else nullcontext()
    with waiting:
        ran = supervisor.stop(settings, timeout_s=timeout_s)
    screen.document({"stopped": ran, "home": str(settings.home), "openExecutions": open_count if ran else None})
    if not ran:
        screen.say(f"The platform in {settings.home} did not run.")
        return COMPLETED
    screen.say(f"The platform in {settings.home} is stopped.")
    if trouble:
        screen.say(f"How many executions are open is not known: {trouble}")
    elif open_count:
        screen.say(
            f"{open_count} execution{'s are' if open_count > 1 else ' is'} open and will go on when it starts again: `wfp up`."
        )
    else:
        screen.say("No execution is open.")
    return COMPLETED


def status(screen: Screen) -> int:
    """Show the processes, addresses and executions of the platform. Exit code 3 when it does not run or can run nothing."""
    from wfplatform.bootstrap import supervisor
    from wfplatform.bootstrap.operation import find_running, problem_now, schema_status, worker_pids
    from wfplatform.bootstrap.problem import problem_of
    from wfplatform.bootstrap.system import release
    from wfplatform.cli.view import process_document
    from wfplatform.settings import Settings

    settings = Settings.load()
    rows = supervisor.status(settings)
    problem = problem_of(rows)
    if problem is not None and problem.code == "no_database":
        # Whatever else there is to know would have to be asked of it.
        screen.document({"running": True, **_told(problem), "processes": [process_document(row) for row in rows]})
        if not screen.as_json:
            _tell_status(screen, rows)
            screen.error(problem)
        return UNREACHABLE
    address = find_running(settings)
    if address is None:
        screen.document({"running": False, "home": str(settings.home), "release": release()})
        screen.say(f"The platform in {settings.home} does not run. `wfp up` starts it, and so does running a workflow.")
        return UNREACHABLE
    rows = supervisor.status(settings)
    workers = len(worker_pids(rows))
    schema = schema_status(settings)
    open_count, lately = _counts(settings)
    # Only now: engines elsewhere are known to the database alone, and only just was it brought to this release.
    problem = problem_now(settings, address)
    screen.document(
        {
            "running": True,
            **_told(problem),
            **_address_document(address, rows, workers),
            "release": release(),
            "schema": None
            if schema is None
            else {
                "state": schema.state.capitalize(),
                "revision": schema.revision,
                "expected": schema.expected,
            },
            "processes": [process_document(row) for row in rows],
            "executions": {
                "open": open_count,
                "lastDay": {state.capitalize(): lately.get(state, 0) for state in ExecutionState},
            },
        }
    )
    if not screen.as_json:
        _tell_status(screen, rows)
        _tell_address(screen, address, settings, rows, workers)
        _tell_line(
            screen,
            "release",
            release() + (f"; running: {address.version}" if address.version != release() else ""),
        )
        if schema is not None:
            _tell_line(screen, "schema", f"{schema.revision} ({schema.state})")
        told = ", ".join(f"{count} {state}" for state, count in sorted(lately.items())) or "none"
        _tell_line(screen, "executions", f"{open_count} open; of the last 24 hours: {told}")
    if problem is None:
        return COMPLETED
    if not screen.as_json:
        screen.say()
        screen.error(problem)
    return UNREACHABLE


def _told(problem: WfError | None) -> dict[str, Any]:
    return {} if problem is None else {"problem": {"code": problem.code, "message": problem.message}}


def _not_ready(settings: Settings, rows: Sequence[ProcessRow], workers: int) -> list[str]:
    late = [
        f"{row.name} is {row.state}" + (f" ({row.last_exit})" if row.last_exit else "")
        for row in rows
        if row.state != "running"
    ]
    if any(row.name == "workers" for row in rows) and workers < settings.workers:
        late.append(f"{workers} of {settings.workers} workers run")
    return late


def _counts(settings: Settings) -> tuple[int, dict[ExecutionState, int]]:
    from contextlib import closing

    from wfplatform.bootstrap.platform import EmbeddedPlatform

    with closing(EmbeddedPlatform(settings)) as platform:
        open_count = platform.reader.executions(DEFAULT_TENANT, states=OPEN, limit=1, total=True).total or 0
        return open_count, dict(platform.reader.counts(DEFAULT_TENANT, since_at=datetime.now(UTC) - LATELY))


def _address_document(address: PlatformAddress, rows: Sequence[ProcessRow], workers: int) -> dict[str, Any]:
    from wfplatform.cli.words import masked

    return {
        "home": str(address.home),
        "database": masked(address.dsn),
        "embeddedDatabase": address.embedded_database,
        "scheduler": address.scheduler_address,
        "workers": workers if any(row.name == "workers" for row in rows) else None,
        "engines": sum(row.name.startswith("engine") for row in rows),
        "supervisorPid": address.supervisor_pid,
        "startedAt": address.started_at.isoformat(),
        "runningRelease": address.version,
    }


def _tell_address(
    screen: Screen, address: PlatformAddress, settings: Settings, rows: Sequence[ProcessRow], workers: int
) -> None:
    from wfplatform.cli.words import masked, plain_place

    _tell_line(screen, "home", str(address.home))
    _tell_line(screen, "database", masked(address.dsn))
    _tell_line(screen, "scheduler", address.scheduler_address)
    if any(row.name == "workers" for row in rows):
        _tell_line(screen, "workers", f"{workers} of {settings.workers} processes")
    _tell_line(screen, "artifacts", plain_place(settings.artifacts_location))
    _tell_line(screen, "logs", str(address.home / "log"))


def _tell_line(screen: Screen, name: str, text: str) -> None:
    screen.say(f"{name:<12}{text}")


def _tell_status(screen: Screen, rows: Sequence[ProcessRow]) -> None:
    from rich.text import Text

    from wfplatform.cli.screen import table
    from wfplatform.cli.words import duration, first_line, instant, size, span_s

    now = datetime.now(UTC)
    if not rows:
        return
    screen.say(
        table(
            ("process", "pid", "state", "since", "for", "memory", "restarts", "last exit"),
            [
                (
                    row.name,
                    str(row.pid or "-"),
                    Text(row.state, style=STYLE.get(row.state, "")),
                    instant(row.since_at, now=now),
                    duration(span_s(row.since_at, now)),
                    size(row.rss_bytes) if row.rss_bytes else "-",
                    str(row.restarts),
                    first_line(row.last_exit, 60) or "-",
                )
                for row in rows
            ],
            right=("pid", "for", "memory", "restarts"),
        )
    )
    screen.say()
