"""Two platforms to do harm to: one that is all its own, and one whose engines reach database and scheduler over a network.

Everything is real and supervised as it is for users. Refuses to leave anything behind: what still runs at the end is told.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.chaos.witness import Witness
from tests.integration.proxy import Proxy, proxied
from tests.integration.running import inherited, until, whole, worker_pids
from wfplatform.bootstrap.platform import EmbeddedPlatform
from wfplatform.bootstrap.supervisor import ensure_running, status, stop
from wfplatform.errors import UnreachableError
from wfplatform.executors.certificate_files import AUTHORITY, CERTIFICATE, KEY
from wfplatform.settings import Settings
from wfplatform.store.embedded import EmbeddedServer
from wfplatform.store.server_address import OWNER, SOCKET_NAME

__all__ = ["Harmed", "apart", "embedded"]

REPOSITORY = Path(__file__).parents[2]
SKEWED = Path(__file__).with_name("skewed")
APART_LEASE_S = 5.0
"""Short, so that an engine can be frozen for longer; but a lease has to be renewed over a slow link too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Harmed:
    """A platform that harm is done to.

    Attributes:
        platform: how a user sees it.
        engines: the settings of the home whose supervisor keeps the engines.
        witness: looks into its database.
        lines: the file in which attempts tell of themselves.
        skew: a file; an engine that starts has a clock that is wrong by the seconds in it.
        server: the database, if it is not the supervisor that keeps it.
        way_to_database: through which engines reach it, if there is one.
        way_to_scheduler: the same of the scheduler.
    """

    name: str
    platform: EmbeddedPlatform
    engines: Settings
    witness: Witness
    lines: Path
    skew: Path
    server: EmbeddedServer | None = None
    way_to_database: Proxy | None = None
    way_to_scheduler: Proxy | None = None

    @property
    def lease_s(self) -> float:
        """How long an engine's lease holds."""
        return self.engines.lease_s

    def engine_pids(self) -> list[int]:
        """Engines that can be used."""
        return self._pids(self.engines, "engine-")

    def scheduler_pid(self) -> int:
        """The Dask scheduler."""
        return until(lambda: next(iter(self._pids(self.platform.settings, "scheduler")), 0), "the scheduler")

    def worker_pids(self) -> set[int]:
        """The processes in which nodes run."""
        try:
            return worker_pids(self.platform)
        except psutil.NoSuchProcess:  # one of them ended while it was looked at
            return set()

    def kill_database(self) -> None:
        """As `pg_ctl stop -m immediate` does: sessions are cut, nothing is written, the next start recovers."""
        if self.server is None:
            pid = until(lambda: next(iter(self._pids(self.platform.settings, "postgres")), 0), "the database")
            os.kill(pid, signal.SIGQUIT)
            return
        process = self.server.process
        assert process is not None
        process.send_signal(signal.SIGQUIT)
        process.wait()

    def start_database(self) -> None:
        """Start it again, if nobody else does."""
        if self.server is not None:
            self.server.start()

    def is_whole(self) -> bool:
        """Whether every process that is to run does."""
        homes = {self.platform.settings.home: self.platform.settings, self.engines.home: self.engines}
        try:
            rows = [row for settings in homes.values() for row in status(settings)]
        except UnreachableError:
            return False
        is_running = {row.state for row in rows} == {"running"}
        return is_running and len(self.worker_pids()) == self.platform.settings.workers

    def _pids(self, settings: Settings, prefix: str) -> list[int]:
        try:
            rows = status(settings)
        except UnreachableError:
            return []
        return [row.pid for row in rows if row.name.startswith(prefix) and row.state == "running" and row.pid]


@contextmanager
def embedded(folder: Path) -> Iterator[Harmed]:
    """Database, scheduler, two workers and one engine under one supervisor, with the leases that users have."""
    skew = folder / "skew"
    settings = Settings.load(home=folder / "home", workers=2, stop_grace_s=0.5, idle_stop_s=600)
    with ExitStack() as stack:
        stack.enter_context(gone_at_the_end())
        stack.enter_context(inherited(PYTHONPATH=_path(), CHAOS_SKEW_FILE=str(skew)))
        platform = stack.enter_context(whole(settings))
        yield Harmed(
            name="embedded",
            platform=platform,
            engines=settings,
            witness=Witness(platform.address.dsn),
            lines=folder / "lines",
            skew=skew,
        )


@contextmanager
def apart(folder: Path) -> Iterator[Harmed]:
    """A database of somebody else's, a home with scheduler and workers, and another with two engines behind two proxies."""
    skew = folder / "skew"
    with ExitStack() as stack:
        stack.enter_context(gone_at_the_end())
        stack.enter_context(inherited(PYTHONPATH=_path(), CHAOS_SKEW_FILE=str(skew)))
        server = stack.enter_context(EmbeddedServer(folder=folder / "server", fsync=False))
        cluster = Settings.load(
            home=folder / "cluster",
            database_url=server.address.dsn,
            engines=0,
            workers=2,
            stop_grace_s=0.5,
            idle_stop_s=600,
        )
        stack.callback(stop, cluster)
        address = ensure_running(cluster)
        assert address.cluster_tls is not None
        to_database = stack.enter_context(proxied(server.address.socket_folder / SOCKET_NAME))
        to_scheduler = stack.enter_context(proxied(int(address.scheduler_address.rpartition(":")[2])))
        engines = Settings.load(
            home=folder / "engines",
            database_url=f"postgresql://{OWNER}@127.0.0.1:{to_database.port}/{server.address.database}",
            scheduler_address=f"tls://127.0.0.1:{to_scheduler.port}",
            artifacts_url=cluster.artifacts_location,
            engines=2,
            lease_s=APART_LEASE_S,
            stop_grace_s=0.5,
            idle_stop_s=600,
        )
        platform = stack.enter_context(closing(EmbeddedPlatform(cluster)))
        # The scheduler is somebody else's to them: its certificates are configured as for any other client of Dask.
        tls = {"CA_FILE": AUTHORITY, "CLIENT__CERT": CERTIFICATE, "CLIENT__KEY": KEY}
        words = {f"DASK_DISTRIBUTED__COMM__TLS__{name}": str(address.cluster_tls / file) for name, file in tls.items()}
        stack.enter_context(inherited(**words))
        stack.callback(stop, engines)
        ensure_running(engines)
        made = Harmed(
            name="apart",
            platform=platform,
            engines=engines,
            witness=Witness(server.address.dsn),
            lines=folder / "lines",
            skew=skew,
            server=server,
            way_to_database=to_database,
            way_to_scheduler=to_scheduler,
        )
        until(lambda: len(made.engine_pids()) == engines.engines, "the engines")
        yield made


@contextmanager
def gone_at_the_end() -> Iterator[None]:
    """Nothing that was started in the `with` block runs after it.

    Raises:
        AssertionError: something does.
    """
    os.environ["CHAOS_MARK"] = mark = f"{os.getpid()}-{time.monotonic_ns()}"
    try:
        yield
    finally:
        del os.environ["CHAOS_MARK"]
    until(lambda: not marked(mark), "the end of what was started")


def marked(mark: str) -> list[str]:
    """Processes that were started with this mark in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("CHAOS_MARK") == mark:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def _path() -> str:
    return os.pathsep.join([str(SKEWED), str(REPOSITORY)])
