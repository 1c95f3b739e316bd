"""The worker host: one process that keeps N worker processes alive, each with one thread for CPU-bound nodes.

It starts Python's fork server before anything heavy: workers are forked from it, already loaded, in a few
hundredths of a second, so that a stuck or poisonous node costs little. Refuses: user code (only workers load
it) and database credentials.
"""

from __future__ import annotations

import argparse
import multiprocessing
import multiprocessing.forkserver
import pkgutil
import sys
from dataclasses import dataclass
from pathlib import Path

import wfplatform.worker

__all__ = ["HostOptions", "main"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOptions:
    """What a worker host is told.

    Args:
        scheduler_address: "tls://host:port" or "tcp://host:port".
        workers: worker processes.
        threads: Dask threads a worker.
        io_slots: nodes of the I/O lane at the same moment in a worker; the engine's setting decides.
        memory_limit_bytes: of one worker.
        local_folder: where workers spill and keep scratch files.
        listen_host: the interface workers listen on.
        tls: folder of the cluster's certificates; None: it has none.
        ready_fd: a pipe that is told when the first worker can be used; None: nobody asked.
    """

    scheduler_address: str
    workers: int
    threads: int
    io_slots: int
    memory_limit_bytes: int
    local_folder: Path
    listen_host: str
    tls: Path | None
    ready_fd: int | None


def main(argv: list[str] | None = None) -> int:
    """Entry point: `python -m wfplatform.worker.host --scheduler ADDRESS --workers N --memory-bytes B
    --local-folder FOLDER`.
    """
    options = _parse(argv)
    _mark_as_first_to_go()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(preloaded_modules())
    multiprocessing.forkserver.ensure_running()
    # Only now: the fork server loads the same modules side by side with this process instead of after it.
    from wfplatform.worker.nannies import run_host  # noqa: PLC0415

    return run_host(options)


def preloaded_modules() -> list[str]:
    """What every worker has loaded when it is forked: Dask's worker and this package, never the user's
    modules.
    """
    # This module is left out: multiprocessing runs it in every worker as __mp_main__, and would find it there
    # twice.
    own = [f"wfplatform.worker.{m.name}" for m in pkgutil.iter_modules(wfplatform.worker.__path__) if m.name != "host"]
    return ["distributed", "distributed.nanny", *own]


def _mark_as_first_to_go() -> None:
    """When the machine runs out of memory, Linux shall end a worker rather than the database."""
    score = Path("/proc/self/oom_score_adj")
    if score.exists():
        score.write_text("500", encoding="ascii")


def _parse(argv: list[str] | None) -> HostOptions:
    parser = argparse.ArgumentParser(prog="wfplatform worker host")
    parser.add_argument("--scheduler", required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--io-slots", type=int, default=50)
    parser.add_argument("--memory-bytes", type=int, required=True)
    parser.add_argument("--local-folder", type=Path, required=True)
    parser.add_argument("--listen-host", default="127.0.0.1")
    parser.add_argument("--tls", type=Path)
    parser.add_argument("--ready-fd", type=int)
    given = parser.parse_args(argv)
    return HostOptions(
        scheduler_address=given.scheduler,
        workers=given.workers,
        threads=given.threads,
        io_slots=given.io_slots,
        memory_limit_bytes=given.memory_bytes,
        local_folder=given.local_folder,
        listen_host=given.listen_host,
        tls=given.tls,
        ready_fd=given.ready_fd,
    )


if __name__ == "__main__":
    sys.exit(main())
