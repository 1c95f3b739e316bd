"""A plain Dask cluster with Dask's own settings, in processes of its own.

`python -m benchmarks.cluster WORKERS` runs one until its standard input closes: when its starter ends, however that ends.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["main", "plain_cluster"]


@contextmanager
def plain_cluster(workers: int) -> Iterator[str]:
    """A cluster for a `with` block.

    Args:
        workers: processes of one thread each.

    Yields:
        the scheduler's address.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.cluster", str(workers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # an interrupt from the keyboard is for the starter, which ends this one cleanly
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        if not address.startswith("tcp://"):
            raise RuntimeError(f"The plain Dask cluster did not start: expected an address, got {address!r}.")
        yield address
    finally:
        process.stdin.close()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def main() -> int:
    """Entry point."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=int(sys.argv[1]), threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
    ) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
