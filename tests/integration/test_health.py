"""Nobody waits in silence: workers that never come up, and a platform without any engine, are told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration import workload
from tests.integration.running import (
    PATIENCE_S,
    REPOSITORY,
    broken_workers,
    inherited,
    lines,
    running,
    until,
    whole,
    worker_pids,
)
from wfplatform import workflow
from wfplatform.bootstrap.operation import problem_now
from wfplatform.bootstrap.supervisor import restart, status
from wfplatform.errors import PlatformError
from wfplatform.settings import Settings


@workflow
def held(mark: str) -> Any:
    return workload.hold(mark)


@pytest.mark.filterwarnings("ignore::wfplatform.app.requirement.RequirementWarning")  # where the machine is slow
def test_workers_that_never_come_up_are_told_and_mended(folder: Path, mark: str) -> None:
    broken, path = broken_workers(folder / "breaking")
    settings = Settings.load(home=folder / "workerless", workers=1, lease_s=2)
    broken.touch()
    with inherited(PYTHONPATH=path), whole(settings) as platform:
        with pytest.raises(PlatformError, match="The worker is broken on purpose") as caught:
            platform.run(held, {"mark": mark}).result(PATIENCE_S)
        assert caught.value.code == "no_host"
        assert "no worker comes up" in caught.value.message
        assert str(settings.home / "log" / "workers.log") in caught.value.hint
        assert [one.name for one in status(settings) if one.problem] == ["workers"]

        broken.unlink()
        restart(settings, "workers")
        until(lambda: not any(one.problem for one in status(settings)), "the mending")
        execution = platform.run(held, {"mark": f"{mark}.2"})
        until(lambda: running(execution, "hold"), "the start")

        # The same with workers that were up once: others that take their place never are.
        broken.touch()
        os.kill(int(lines(f"{mark}.2.held")[0]), signal.SIGKILL)
        with pytest.raises(PlatformError, match="No worker host runs"):
            execution.result(PATIENCE_S)
        broken.unlink()
        restart(settings, "workers")
        Path(f"{mark}.2.go").touch()
        assert execution.result(PATIENCE_S) > 0
        assert len(worker_pids(platform)) == 1


def test_a_platform_without_an_engine_says_so_until_one_runs_elsewhere(folder: Path, mark: str) -> None:
    settings = Settings.load(home=folder / "engineless", engines=0, workers=1, lease_s=2)
    with whole(settings) as platform:
        address = platform.address
        found = problem_now(settings, address)
        assert found is not None
        assert found.code == "no_engine"
        with pytest.raises(PlatformError, match="none elsewhere holds a lease") as caught:
            platform.run(held, {"mark": mark}).result(PATIENCE_S)
        assert (caught.value.code, "WFP_ENGINES" in caught.value.hint) == ("no_engine", True)

        with subprocess.Popen(
            [sys.executable, "-m", "wfplatform.bootstrap.engine_process", "--tls", str(address.cluster_tls)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={
                **os.environ,
                **settings.as_environment(),
                "WFP_DATABASE_URL": address.dsn,
                "WFP_SCHEDULER_ADDRESS": address.scheduler_address,
                "PYTHONPATH": str(REPOSITORY),
            },
        ) as engine:
            until(lambda: problem_now(settings, address) is None, "the engine elsewhere")
            Path(f"{mark}.go").touch()
            assert platform.run(held, {"mark": mark}).result(PATIENCE_S) > 0
            engine.terminate()
            assert engine.wait(30) == 0
        assert problem_now(settings, address) is not None, "it has taken its leave"
