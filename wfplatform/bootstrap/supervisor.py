"""Starts, finds, asks and stops the supervisor of a home. Any number of processes may do so at once; exactly
one supervisor results.

Running means that the supervisor holds its lock and its database answers. Refuses: trusting pids, and
starting what is configured to be elsewhere.
"""

from __future__ import annotations

import dataclasses
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from wfplatform.bootstrap.certificates import ensure_certificates
from wfplatform.bootstrap.order import order_of
from wfplatform.bootstrap.places import POLL_S, Places, is_locked, lock, request
from wfplatform.bootstrap.problem import problem_of
from wfplatform.bootstrap.spec import Order
from wfplatform.bootstrap.survivors import end_survivors
from wfplatform.errors import NotFoundError, PlatformError, UnreachableError
from wfplatform.settings import Settings
from wfplatform.store.child_process import last_lines
from wfplatform.store.server_address import ServerAddress

__all__ = [
    "Attachment",
    "PlatformAddress",
    "ProcessRow",
    "attach",
    "ensure_running",
    "is_supervised",
    "restart",
    "status",
    "stop",
]

START_TIMEOUT_S: Final = 90.0
STOP_TIMEOUT_S: Final = 60.0
ASK_EVERY_S: Final = 0.5
"""While its database does not answer, the supervisor is asked this often whether it ever will."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformAddress:
    """Where a running platform is.

    Attributes:
        dsn: the database, for libpq and psycopg.
        sqlalchemy_url: the database, for SQLAlchemy and SQLModel.
        scheduler_address: the Dask scheduler, tls://host:port; tcp:// if it is one that the settings name.
        cluster_tls: folder of the certificates with which that scheduler is reached; None: as Dask is configured here.
        home: the home folder.
        supervisor_pid: the supervisor's process id; None when nothing had to be supervised.
        started_at: when the supervisor started.
        embedded_database: whether the database is the platform's own.
        version: of the package that runs there.
    """

    dsn: str
    sqlalchemy_url: str
    scheduler_address: str
    cluster_tls: Path | None
    home: Path
    supervisor_pid: int | None
    started_at: datetime
    embedded_database: bool
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRow:
    """One line of the process table; `problem` says why it ends again and again, and is empty when it does not."""

    name: str
    pid: int | None
    state: str
    restarts: int
    since_at: datetime
    last_exit: str
    rss_bytes: int
    log: Path
    problem: str = ""


class Attachment:
    """A client's claim on the running platform: as long as it is open, the platform does not stop for being
    idle.

    The kernel ends it with the process, whatever kills it.
    """

    def __init__(self, address: PlatformAddress, claim: IO[str]) -> None:
        self.address: Final = address
        self._claim = claim

    def close(self) -> None:
        """Gives the claim up; the platform goes on, and stops after a while if nobody needs it."""
        self._claim.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def ensure_running(settings: Settings, *, timeout_s: float = START_TIMEOUT_S, fsync: bool = True) -> PlatformAddress:
    """Finds the running platform of `settings.home` or starts it. Returns in milliseconds when it runs.

    Args:
        settings: what to start; a platform that runs already is taken as it is.
        timeout_s: how long to wait for a start, a recovery or the end of a stop.
        fsync: False for tests only: the embedded database then loses data when the machine stops.

    Raises:
        PlatformError: it could not be started, with the reason.
        UnreachableError: it did not become usable in time.
    """
    with attach(settings, timeout_s=timeout_s, fsync=fsync) as attachment:
        return attachment.address


def attach(settings: Settings, *, timeout_s: float = START_TIMEOUT_S, fsync: bool = True) -> Attachment:
    """Like `ensure_running`, and keeps the platform from stopping until the returned attachment is closed.

    Raises:
        PlatformError: as `ensure_running`; also when its database ends again and again.
        SettingsError: the home cannot be made or written.
    """
    places = Places.of(settings.home)
    places.make()
    deadline = time.monotonic() + timeout_s
    asked_s = time.monotonic()
    while time.monotonic() < deadline:
        if time.monotonic() - asked_s > ASK_EVERY_S:
            asked_s = time.monotonic()
            _raise_problem(settings)
        claim = lock(places.clients_lock, shared=True, timeout_s=max(0.0, deadline - time.monotonic()))
        if claim is None:
            break
        try:
            address = _find_or_start(settings, places, deadline, fsync)
        except BaseException:
            claim.close()
            raise
        if address is not None:
            return Attachment(address, claim)
        claim.close()
        time.sleep(POLL_S)
    raise UnreachableError(
        "platform_silent",
        f"The platform in {settings.home} did not become usable within {timeout_s:g} s.",
        f"See {places.logs}; `wfp down` and `wfp up` start it anew.",
        home=str(settings.home),
    )


def is_supervised(settings: Settings) -> bool:
    """Whether anything of the platform runs in the home; False when all of it is configured to be elsewhere."""
    return not (settings.database_url and settings.scheduler_address and not settings.engines)


def status(settings: Settings) -> list[ProcessRow]:
    """The process table; empty when nothing runs.

    Raises:
        UnreachableError: a supervisor runs and does not answer.
    """
    places = Places.of(settings.home)
    if not is_locked(places.supervisor_lock):
        return []
    rows = request(places.control_path(), {"command": "status"})["processes"]
    return [
        ProcessRow(since_at=datetime.fromtimestamp(row.pop("since_at_s"), UTC), log=Path(row.pop("log")), **row)
        for row in rows
    ]


def restart(settings: Settings, name: str) -> None:
    """Restarts one process of the table by name.

    Raises:
        NotFoundError: there is no such process.
        UnreachableError: nothing runs.
    """
    answer = request(Places.of(settings.home).control_path(), {"command": "restart", "name": name}, timeout_s=60.0)
    if not answer["ok"]:
        raise NotFoundError("process_unknown", str(answer["message"]), "`wfp status` lists the processes.", name=name)


def stop(settings: Settings, *, timeout_s: float = STOP_TIMEOUT_S) -> bool:
    """Stops the platform of `settings.home` and waits until everything has ended. Open executions go on with
    the next start.

    Returns:
        Whether something ran.

    Raises:
        UnreachableError: it did not end in time.
    """
    places = Places.of(settings.home)
    deadline = time.monotonic() + timeout_s
    ran = False
    while is_locked(places.supervisor_lock):
        if not ran:
            try:
                request(places.control_path(), {"command": "stop"})
                ran = True
            except UnreachableError:
                # It is just starting or just ending; ask again as long as it holds its lock.
                if time.monotonic() > deadline:
                    raise
        if time.monotonic() > deadline:
            raise UnreachableError(
                "stop_timeout",
                f"The platform in {settings.home} did not stop within {timeout_s:g} s.",
                f"See {places.logs}.",
            )
        time.sleep(POLL_S)
    return ran


def _raise_problem(settings: Settings) -> None:
    try:
        problem = problem_of(status(settings))
    except UnreachableError:
        return  # It is just starting or ending.
    if problem is not None and problem.code == "no_database":
        raise problem


def _find_or_start(settings: Settings, places: Places, deadline: float, fsync: bool) -> PlatformAddress | None:
    if (found := _running(places)) is not None:
        return found
    if is_locked(places.supervisor_lock):
        # It is starting, stopping, or its database recovers.
        return None
    starting = lock(places.start_lock, timeout_s=max(0.0, deadline - time.monotonic()))
    if starting is None:
        return None
    with starting:
        if is_locked(places.supervisor_lock):
            return None
        end_survivors(places.children)
        order = order_of(settings, fsync=fsync)
        if order.cluster_tls:
            ensure_certificates(Path(order.cluster_tls))
        if not order.children:
            return _address({**dataclasses.asdict(order), "started_at_s": time.time(), "dsn": order.database_url})
        _start(order, places, deadline)
    return _running(places)


def _running(places: Places) -> PlatformAddress | None:
    if not is_locked(places.supervisor_lock) or (document := places.read_state()) is None:
        return None
    if document["embedded_database"] and not ServerAddress(socket_folder=Path(document["socket_folder"])).answers():
        return None
    return _address(document)


def _address(document: Mapping[str, Any]) -> PlatformAddress:
    dsn = str(document["dsn"])
    return PlatformAddress(
        dsn=dsn,
        sqlalchemy_url=dsn.replace("postgresql://", "postgresql+psycopg://", 1),
        scheduler_address=document["scheduler_address"],
        cluster_tls=Path(document["cluster_tls"]) if document.get("cluster_tls") else None,
        home=Path(document["home"]),
        supervisor_pid=document.get("supervisor_pid"),
        started_at=datetime.fromtimestamp(document["started_at_s"], UTC),
        embedded_database=document.get("embedded_database", False),
        version=document["version"],
    )


def _start(order: Order, places: Places, deadline: float) -> None:
    log_path = places.logs / "supervisor.log"
    ready_r, ready_w = os.pipe()
    with os.fdopen(ready_r, encoding="utf-8") as ready:
        try:
            with log_path.open("ab") as log:
                starter = subprocess.Popen(
                    [sys.executable, "-m", "wfplatform.bootstrap.supervisor_process", str(ready_w)],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    pass_fds=(ready_w,),
                    start_new_session=True,
                    cwd=order.home,
                    env=_environment(),
                )
        finally:
            os.close(ready_w)
        starter.communicate(json.dumps(dataclasses.asdict(order), default=str).encode())
        line = _line_before(ready, deadline)
    if line is None:
        # Left alone: it may still come, and the caller's time is over.
        return
    if not line:
        raise PlatformError(
            "supervisor_lost",
            f"The supervisor ended while starting. Its last words:\n{last_lines(log_path)}",
            f"The whole log is {log_path}.",
            log=str(log_path),
        )
    if problem := json.loads(line):
        raise PlatformError(problem["code"], problem["message"], problem["hint"], log=str(log_path))


def _line_before(ready: IO[str], deadline: float) -> str | None:
    readable, _, _ = select.select([ready], [], [], max(0.0, deadline - time.monotonic()))
    return ready.readline() if readable else None


def _environment() -> dict[str, str]:
    env = dict(os.environ)
    source = Path(__file__).parents[2]
    if source.name not in ("site-packages", "dist-packages"):
        # Run from a checkout that may be known to this process only through its working directory.
        env["PYTHONPATH"] = os.pathsep.join([str(source), *filter(None, [env.get("PYTHONPATH")])])
    return env
