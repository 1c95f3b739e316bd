"""Artifacts on a real file system, between real processes: memory, many writers, a killed writer, a full disk."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.integration.running import pid_of, until
from wfplatform.artifacts import Artifacts
from wfplatform.bootstrap.platform import EmbeddedPlatform
from wfplatform.cli.words import plain_place


def python(program: str, *arguments: object) -> str:
    """What a Python process of its own prints."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


MEMORY = """
import json, resource, sys
import numpy as np, pandas as pd
from wfplatform.artifacts import Artifacts

def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

artifacts = Artifacts(sys.argv[1])
warm = pd.DataFrame({"n": np.arange(20_000.0), "s": pd.array(["x"] * 20_000, dtype="str")})
artifacts.store(warm).make_durable()
rows = 1_250_000
frame = pd.DataFrame(np.random.default_rng(0).random((16, rows)).T, copy=False)
frame.columns = [f"c{n}" for n in range(16)]
before = peak_bytes()
stored = artifacts.store(frame)
stored.make_durable()
print(json.dumps({"grown": peak_bytes() - before, "frame": 16 * rows * 8, "output": stored.output}))
"""


def test_storing_a_large_frame_needs_no_second_one(tmp_path: Path) -> None:
    seen = json.loads(python(MEMORY, tmp_path))
    assert seen["frame"] == 160_000_000
    assert seen["output"]["codec"] == "arrow"
    assert seen["grown"] < 0.25 * seen["frame"]
    back: Any = Artifacts(str(tmp_path)).load(seen["output"])
    assert back.shape == (1_250_000, 16)
    assert back.iloc[-1, -1] == np.random.default_rng(0).random((16, 1_250_000))[-1, -1]


WRITER = """
import json, sys
import numpy as np, pandas as pd
from wfplatform.artifacts import Artifacts

artifacts = Artifacts(sys.argv[1])
for number in range(20):
    stored = artifacts.store(pd.DataFrame({"a": np.arange(10_000) + number}))
    stored.make_durable()
    print(json.dumps(stored.output))
"""


PERIODS, SPANS = pd.period_range("2020-01", periods=2, freq="M"), pd.interval_range(0, 2)
ODD: list[Any] = [
    pd.DataFrame({"v": [1, 2]}, index=PERIODS),
    pd.DataFrame({"v": [1, 2]}, index=SPANS),
    pd.DataFrame({"p": PERIODS, "i": SPANS}),
    pd.DataFrame({"v": [1, 2], "p": PERIODS, "i": SPANS}).set_index(["p", "i"]),
    pd.Series([1, 2], index=PERIODS),
    pd.Series(pd.Categorical(["x", "y"], ["y", "x"], ordered=True)),
    pd.DataFrame({"t": pd.date_range("2020", periods=2, tz="Europe/Berlin"), "s": pd.array(["a", None], "string")}),
]
LOADED = """
import pickle, sys
from wfplatform.artifacts import Artifacts

artifacts = Artifacts(sys.argv[1])
with open(sys.argv[2], "rb") as file:
    outputs = pickle.load(file)
with open(sys.argv[2], "wb") as file:
    pickle.dump([artifacts.load(output) for output in outputs], file)
"""


def test_a_process_that_never_wrote_a_frame_reads_it_as_it_was(tmp_path: Path) -> None:
    artifacts, passed = Artifacts(str(tmp_path)), tmp_path / "passed"
    outputs = [artifacts.store(value).output for value in ODD]
    assert {output["codec"] for output in outputs} == {"arrow"}
    # One process each: what the first would load is not there for the second.
    for value, output in zip(ODD, outputs, strict=True):
        passed.write_bytes(pickle.dumps([output]))
        python(LOADED, tmp_path, passed)
        (back,) = pickle.loads(passed.read_bytes())
        if isinstance(value, pd.DataFrame):
            pd.testing.assert_frame_equal(back, value, check_exact=True)
        else:
            pd.testing.assert_series_equal(back, value, check_exact=True)


def test_many_processes_write_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        printed = list(pool.map(lambda _: python(WRITER, tmp_path), range(3)))
    assert len(set(printed)) == 1
    outputs = [json.loads(line) for line in printed[0].splitlines()]
    artifacts = Artifacts(str(tmp_path), allow_pickle=False)
    for number, output in enumerate(outputs):
        loaded: Any = artifacts.load(output)
        assert loaded["a"].iloc[0] == number
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(kept) == len(outputs)


def test_many_threads_write_the_same_and_others(tmp_path: Path) -> None:
    artifacts = Artifacts(str(tmp_path))
    together = threading.Barrier(8, timeout=60)

    def write(thread: int) -> list[dict[str, Any]]:
        together.wait()
        outputs = []
        for number in range(20):
            for value in (np.full(20_000, number), [thread, number], f"{number}" * 70_000):
                stored = artifacts.store(value)
                stored.make_durable()
                outputs.append(stored.output)
        return outputs

    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(write, range(8)))
    for outputs in written:
        for output in outputs:
            artifacts.load(output)
    located = {output["location"] for outputs in written for output in outputs if "location" in output}
    kept = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert kept == located
    assert len(located) == 40


KILLED = """
import os, signal, sys
from wfplatform.artifacts import Artifacts

stored = Artifacts(sys.argv[1]).store(b"x" * 1_000_000)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_writer_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False, timeout=100)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "artifacts").exists()
    artifacts = Artifacts(str(tmp_path))
    assert artifacts.sweep(older_than_s=-60.0) == 1
    stored = artifacts.store(b"x" * 1_000_000)
    stored.make_durable()
    assert artifacts.load(stored.output) == b"x" * 1_000_000


@pytest.mark.xdist_group("platform")
def test_an_engine_sweeps_when_it_starts(platform: EmbeddedPlatform) -> None:
    folder = Path(plain_place(platform.settings.artifacts_location)) / "temporary"
    folder.mkdir(parents=True, exist_ok=True)
    old, young = folder / "1-old", folder / "1-young"
    for path in (old, young):
        path.write_bytes(b"x")
    two_days_ago_s = young.stat().st_mtime - 2 * 86_400
    os.utime(old, (two_days_ago_s, two_days_ago_s))
    os.kill(pid_of(platform.settings, "engine-0"), signal.SIGTERM)
    until(lambda: not old.exists(), "the sweep")
    assert young.exists()
    young.unlink()


FULL = """
import resource, sys
import numpy as np, pandas as pd
from pathlib import Path
from wfplatform.artifacts import Artifacts
from wfplatform.errors import StorageError

# The kernel refuses to let any file of this process grow beyond a megabyte.
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
artifacts = Artifacts(sys.argv[1])
for value in (b"x" * 5_000_000, np.arange(1e6), pd.DataFrame({"a": np.arange(1e6)}), ("x" * 5_000_000,), "y" * 5_000_000):
    try:
        artifacts.store(value)
    except StorageError as error:
        print(type(value).__name__, error.code, len([p for p in Path(sys.argv[1]).rglob("*") if p.is_file()]))
small = artifacts.store(b"x" * 500_000)
small.make_durable()
print(len(artifacts.load(small.output)))
"""


def test_a_disk_without_room_is_told_and_left_clean(tmp_path: Path) -> None:
    lines = python(FULL, tmp_path).splitlines()
    kinds = ["bytes", "ndarray", "DataFrame", "tuple", "str"]
    assert lines == [f"{kind} storage_full 0" for kind in kinds] + ["500000"]


def test_a_frame_with_text_is_read_from_the_file_itself(tmp_path: Path) -> None:
    artifacts = Artifacts(str(tmp_path))
    stored = artifacts.store(pd.DataFrame({"s": [f"row {number}" for number in range(200_000)]}))
    stored.make_durable()
    import pyarrow as pa

    before = pa.total_allocated_bytes()
    back: Any = artifacts.load(stored.output)
    assert pa.total_allocated_bytes() - before < stored.output["size"] / 10
    assert back["s"].iloc[-1] == "row 199999"
    artifacts.delete(stored.output["location"])
    assert back["s"].iloc[0] == "row 0"


def test_a_probe_goes_from_process_to_process(tmp_path: Path) -> None:
    program = "import sys; from wfplatform.artifacts import Artifacts; print(Artifacts(sys.argv[1]).probe())"
    token = python(program, tmp_path).strip()
    Artifacts(str(tmp_path), allow_pickle=False).read_probe(token)
