"""How long `import wfplatform` takes in a fresh interpreter, and whether it loads anything heavy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

from benchmarks.result import Result

__all__ = ["LIMIT_MS", "import_time"]

LIMIT_MS = 150.0

_HEAVY = (
    "aiohttp", "alembic", "bokeh", "cloudpickle", "dask", "distributed", "fastapi", "fsspec", "grpc", "msgpack",
    "numpy", "pandas", "panel", "psycopg", "pyarrow", "pydantic", "rich", "sqlalchemy", "sqlmodel", "typer",
)  # fmt: skip
_PROGRAM = """
import json, sys, time
before = set(sys.modules)
started_s = time.perf_counter()
import wfplatform
package_s = time.perf_counter() - started_s
heavy = sorted({name.partition(".")[0] for name in set(sys.modules) - before} & set(json.loads(sys.argv[1])))
from wfplatform import node, workflow
print(json.dumps([package_s, time.perf_counter() - started_s, heavy]))
"""


def import_time(rounds: int) -> Result:
    """Measure it.

    Args:
        rounds: interpreters to start, after one that writes the byte code.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    package_s, names_s, heavy = [], [], set()
    for number in range(rounds + 1):
        ran = subprocess.run(
            [sys.executable, "-c", _PROGRAM, json.dumps(_HEAVY)],
            check=True,
            capture_output=True,
            text=True,
            env=environment,
            cwd=Path(__file__).parents[1],
        )
        one_s, other_s, loaded = json.loads(ran.stdout)
        heavy.update(loaded)
        if number:
            package_s.append(one_s)
            names_s.append(other_s)
    ratio = float("inf") if heavy else median(package_s) * 1e3 / LIMIT_MS
    return Result(
        name="import wfplatform",
        ratio=ratio,
        target=1.0,
        at_most=True,
        ours=f"{median(package_s) * 1e3:.1f} ms" + (f", loads {', '.join(sorted(heavy))}" if heavy else ""),
        theirs=f"{LIMIT_MS:g} ms",
        figures={
            "import": {
                "median_ms": round(median(package_s) * 1e3, 3),
                "most_ms": round(max(package_s) * 1e3, 3),
                "with_node_and_workflow_median_ms": round(median(names_s) * 1e3, 3),
                "heavy": sorted(heavy),
                "rounds": rounds,
            }
        },
    )
