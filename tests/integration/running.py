"""What tests of running workflows share: conditions with a deadline, and the processes of a platform."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
from distributed import Client

from wfplatform.bootstrap.platform import EmbeddedPlatform
from wfplatform.bootstrap.processes import tcp_answers
from wfplatform.bootstrap.supervisor import PlatformAddress, ensure_running, status, stop
from wfplatform.executors.security import cluster_security
from wfplatform.settings import Settings

__all__ = [
    "PATIENCE_S",
    "broken_engines",
    "broken_workers",
    "client_of",
    "dask_process",
    "dask_scheduler",
    "ended",
    "free_port",
    "in_script",
    "inherited",
    "lines",
    "node",
    "nodes",
    "pid_of",
    "rss_bytes",
    "running",
    "script_environment",
    "until",
    "whole",
    "worker_pids",
]

REPOSITORY = Path(__file__).parents[2]
PATIENCE_S = 60.0


def until[Found](condition: Callable[[], Found], what: str = "it") -> Found:
    """Look again and again until something is found."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline_s, f"{what} did not happen within {PATIENCE_S:g} s"
        time.sleep(0.01)


def broken_engines(folder: Path) -> tuple[Path, str]:
    """A way to have engines end as soon as they start, as a wrong installation or configuration does.

    Args:
        folder: where the module that does it is written.

    Returns:
        a file: engines end while it exists; and the PYTHONPATH that all processes of the platform must have.
    """
    return _breaking(folder, "engine", "if 'wfplatform.bootstrap.engine_process' in sys.orig_argv: end()")


def broken_workers(folder: Path) -> tuple[Path, str]:
    """The same for worker processes; their host stays whole."""
    is_server = "any('multiprocessing.forkserver' in word for word in sys.orig_argv)"
    return _breaking(folder, "worker", f"if {is_server}: os.register_at_fork(after_in_child=end)")


def _breaking(folder: Path, what: str, statement: str) -> tuple[Path, str]:
    folder.mkdir()
    broken = folder / "broken"
    (folder / "sitecustomize.py").write_text(
        "import os, sys\n"
        "def end():\n"
        f"    if os.path.exists({str(broken)!r}):\n"
        f"        os.write(2, b'The {what} is broken on purpose.\\n')\n"
        "        os._exit(7)\n"
        f"{statement}\n",
        encoding="utf-8",
    )
    return broken, os.pathsep.join([str(folder), str(REPOSITORY)])


@contextmanager
def inherited(**values: str) -> Iterator[None]:
    """Environment variables that processes started in the `with` block are given."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def whole(settings: Settings) -> Iterator[EmbeddedPlatform]:
    """A platform, started and attached to; stopped at the end."""
    try:
        ensure_running(settings, fsync=False)
        with closing(EmbeddedPlatform(settings)) as made:
            yield made
    finally:
        stop(settings)


def client_of(address: PlatformAddress) -> Client:
    """A client of the Dask cluster of a platform, which is one of those that hold its certificates."""
    return Client(
        address.scheduler_address, security=cluster_security(address.cluster_tls), timeout=30, set_as_default=False
    )


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody holds."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def dask_process(*command: str, path: Sequence[Path] = ()) -> Iterator[subprocess.Popen[bytes]]:
    """A process of Dask as somebody else starts it, such as `worker tcp://127.0.0.1:8786`; ended at the end.

    Args:
        path: folders from which it can import, besides those of the tests.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [REPOSITORY, *path]))}
    process = subprocess.Popen(
        [sys.executable, "-m", "dask", *command],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:  # a worker that is told to end while it ends may wait for ever
            process.kill()
            process.wait()


@contextmanager
def dask_scheduler(address: str, *words: str, path: Sequence[Path] = ()) -> Iterator[subprocess.Popen[bytes]]:
    """A scheduler of somebody else's at this address, which answers."""
    with dask_process("scheduler", "--host", address, "--no-dashboard", *words, path=path) as process:
        until(lambda: tcp_answers(address.partition("://")[2]), "the scheduler")
        yield process


def ended(execution: Any) -> str:
    """The state in which an execution ended."""
    state = str(execution.wait(PATIENCE_S))
    assert state in ("completed", "failed", "cancelled"), f"still {state}: {[*execution.nodes()]}"
    return state


def nodes(execution: Any, name: str) -> list[Any]:
    """What is recorded of a node's elements."""
    return [one for one in execution.nodes() if one.node == name]


def node(execution: Any, name: str, element: tuple[int, ...] = ()) -> Any:
    """What is recorded of one element, or None."""
    return next((one for one in nodes(execution, name) if one.element == element), None)


def lines(file: Path | str) -> Sequence[str]:
    """What was written so far."""
    return Path(file).read_text(encoding="utf-8").split("\n")[:-1] if Path(file).exists() else []


def pid_of(settings: Settings, name: str) -> int:
    """The process id of a process of the platform that runs."""

    def running() -> int | None:
        return next((row.pid for row in status(settings) if row.name == name and row.state == "running"), None)

    found = until(running, f"process {name}")
    assert found is not None
    return found


def rss_bytes(settings: Settings, name: str) -> int:
    """The resident memory of a process of the platform."""
    return int(psutil.Process(pid_of(settings, name)).memory_info().rss)


def worker_pids(platform: EmbeddedPlatform) -> set[int]:
    """The processes in which nodes run."""
    host = psutil.Process(pid_of(platform.settings, "workers"))
    found = set()
    for child in host.children(recursive=True):
        if child.pid != os.getpid() and "forkserver" in " ".join(child.cmdline()) and child.ppid() != host.pid:
            found.add(child.pid)
    return found


def running(execution: Any, name: str) -> bool:
    """Whether an element of a node is recorded as running."""
    return any(str(one.state) == "running" for one in nodes(execution, name))


def script_environment(platform: EmbeddedPlatform) -> dict[str, str]:
    """For a user's script that finds this platform."""
    return {**os.environ, "WFP_HOME": str(platform.settings.home), "PYTHONPATH": str(REPOSITORY)}


def in_script(platform: EmbeddedPlatform, script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a user's script to its end."""
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        env=script_environment(platform), cwd=script.parent, capture_output=True, text=True, check=False, timeout=90,
    )  # fmt: skip
