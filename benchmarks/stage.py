"""Where it all happens: a platform in a temporary home, bare Dask on the same cluster, the counting of records."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import dask.config
from distributed import Client

from benchmarks.contest import Contestant
from benchmarks.recorded import Expected, Records
from wfplatform.authoring.platform import ExecutionHandle, ExecutionHandles, Platform, use_platform
from wfplatform.bootstrap import supervisor
from wfplatform.bootstrap.platform import EmbeddedPlatform
from wfplatform.executors.security import cluster_security
from wfplatform.settings import Settings

__all__ = ["OURS", "Came", "Stage", "stage"]

OURS = "wfplatform"


@dataclass(frozen=True, slots=True)
class Came:
    """What came of a turn of ours: its result and its executions."""

    result: Any
    executions: tuple[UUID, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The platform and what stands beside it.

    Args:
        client: bare Dask on the platform's own cluster, where worker-saturation is inf.
    """

    platform: EmbeddedPlatform
    client: Client
    records: Records

    @property
    def workers(self) -> int:
        """Worker processes, of one thread each."""
        return self.platform.settings.workers

    @property
    def engine_pid(self) -> int:
        """The engine's process."""
        rows = supervisor.status(self.platform.settings)
        return next(row.pid for row in rows if row.name.startswith("engine") and row.pid is not None)

    def ours(
        self,
        run: Callable[[], Sequence[ExecutionHandle]],
        expected: Expected,
        right: Callable[[Any], bool],
        prepare: Callable[[], None] = lambda: None,
    ) -> Contestant:
        """The platform as a contestant.

        Args:
            run: starts executions and returns their handles.
            expected: what must be recorded of them.
            right: whether the list of their results is right.
            prepare: called before each turn.
        """

        def turn() -> Came:
            handles = run()
            if isinstance(handles, ExecutionHandles):
                results = handles.results(600)
            else:
                results = [handle.result(600) for handle in handles]
            return Came(results, tuple(handle.id for handle in handles))

        def check(came: Came) -> str:
            if not right(came.result):
                return "the result is wrong"
            return self.records.missing(came.executions, expected)

        return Contestant(name=OURS, run=turn, check=check, prepare=prepare)

    def forget_artifacts(self) -> None:
        """Remove the stored values of earlier executions: what is there already would not be written again."""
        folder = self.platform.settings.home / "artifacts" / "artifacts"
        for path in folder.rglob("*"):
            if path.is_file():
                path.unlink()


@contextmanager
def stage() -> Iterator[Stage]:
    """Start a platform in a new home, and stop it and remove the home at the end, also when interrupted.

    Yields:
        the stage; `.run()` of workflows runs on its platform.
    """
    root = str(Path(__file__).parents[1])
    # The functions of this folder are loaded by name, on bare Dask's side too.
    os.environ["PYTHONPATH"] = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    home = Path(tempfile.mkdtemp(prefix="wfplatform-bench-"))
    home.chmod(0o755)  # run by root, the database server plays another account, which must be able to enter
    settings = Settings.load(home=home / "home", database_url="", scheduler_address="", engines=1)
    settings.home.mkdir(mode=0o755)
    try:
        platform = EmbeddedPlatform(settings)
        try:
            records = Records(platform)
            security = cluster_security(platform.address.cluster_tls)
            with (
                dask.config.set({"distributed.comm.compression": False}),
                Client(platform.address.scheduler_address, security=security, set_as_default=False) as client,
                use_platform(cast("Platform", platform)),
            ):
                client.wait_for_workers(settings.workers, timeout=60)
                yield Stage(platform=platform, client=client, records=records)
            records.close()
        finally:
            platform.close()
    finally:
        supervisor.stop(settings)
        shutil.rmtree(home, ignore_errors=True)
