"""The processes of the platform, on the real thing: starts, crashes, idleness, stop, accounts."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from distributed.comm import connect

from tests.integration import workload
from tests.integration.other_account import NOBODY_UID, copied_interpreter
from tests.integration.running import PATIENCE_S, broken_engines, client_of, inherited, running, until
from wfplatform import workflow
from wfplatform.bootstrap.certificates import ensure_certificates
from wfplatform.bootstrap.order import order_of
from wfplatform.bootstrap.places import Places, is_locked
from wfplatform.bootstrap.platform import EmbeddedPlatform
from wfplatform.bootstrap.processes import Child, ChildState, rotate
from wfplatform.bootstrap.spec import ChildSpec
from wfplatform.bootstrap.supervisor import ProcessRow, attach, ensure_running, restart, status, stop
from wfplatform.bootstrap.survivors import end_survivors, identity_of, write_down
from wfplatform.errors import NotFoundError, PlatformError, UnreachableError
from wfplatform.executors.security import cluster_security
from wfplatform.settings import Settings

REPOSITORY = Path(__file__).parents[2]
ELSEWHERE = "tcp://127.0.0.1:9"
"""Names a cluster that is not started by the platform: tests of the rest need none."""


@pytest.fixture(scope="module")
def platform(folder: Path) -> Iterator[Settings]:
    """A whole platform: database, scheduler, two workers."""
    settings = Settings.load(home=folder / "whole", engines=0, workers=2)
    ensure_running(settings, fsync=False)
    yield settings
    stop(settings)


@pytest.fixture
def database_only(folder: Path, request: pytest.FixtureRequest) -> Iterator[Settings]:
    """Settings of a platform of its own without cluster; not started."""
    home = folder / request.node.name[5:40]
    settings = Settings.load(home=home, engines=0, scheduler_address=ELSEWHERE)
    yield settings
    stop(settings)


def row(settings: Settings, name: str) -> ProcessRow:
    return next(row for row in status(settings) if row.name == name)


def kill(settings: Settings, name: str) -> int:
    pid = row(settings, name).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    return pid


def scalar(dsn: str, query: bytes) -> object:
    with psycopg.connect(dsn) as link:
        found = link.execute(query).fetchone()
    return found and found[0]


def test_six_cold_starts_give_one_platform(database_only: Settings) -> None:
    code = (
        "import sys; from pathlib import Path; from wfplatform.settings import Settings;"
        "from wfplatform.bootstrap.supervisor import ensure_running;"
        f"settings = Settings.load(home=Path(sys.argv[1]), engines=0, scheduler_address={ELSEWHERE!r});"
        "address = ensure_running(settings, fsync=False); import psycopg;"
        "link = psycopg.connect(address.dsn);"
        "print(address.supervisor_pid, link.execute('select pg_postmaster_start_time()').fetchone()[0]);"
        "link.close()"
    )
    argv = [sys.executable, "-c", code, str(database_only.home)]
    starters = [
        subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY)
        for _ in range(6)
    ]
    said = [starter.communicate() for starter in starters]
    assert [starter.returncode for starter in starters] == [0] * 6, said
    assert len({out for out, _ in said}) == 1
    assert [row.name for row in status(database_only)] == ["supervisor", "postgres"]
    assert len((database_only.home / "log" / "supervisor.log").read_text().split("platform ready")) == 2


def test_the_supervisor_is_detached_light_and_private(platform: Settings) -> None:
    address = ensure_running(platform)
    supervisor = psutil.Process(address.supervisor_pid)
    assert os.getsid(supervisor.pid) != os.getsid(0)
    assert supervisor.ppid() != os.getpid()
    probe = "import sys, wfplatform.bootstrap.supervisor_process; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    heavy = {
        "dask",
        "distributed",
        "pandas",
        "numpy",
        "pydantic",
        "sqlalchemy",
        "sqlmodel",
        "psycopg",
        "asyncio",
    }
    assert heavy & set(loaded.stdout.split()) == set()
    assert Places.of(platform.home).control_path().stat().st_mode & 0o777 == 0o600
    assert (platform.home / "run").stat().st_mode & 0o777 == 0o700


def test_a_running_platform_is_found_not_started(platform: Settings) -> None:
    first = ensure_running(platform)
    assert ensure_running(platform) == first
    assert first.embedded_database
    assert scalar(first.dsn, b"select 1") == 1
    until(lambda: {row.state for row in status(platform)} == {"running"})
    assert [row.name for row in status(platform)] == ["supervisor", "scheduler", "postgres", "workers"]
    assert all(row.rss_bytes > 1_000_000 and row.pid for row in status(platform))


def test_workers_join_and_everything_listens_on_loopback_only(platform: Settings) -> None:
    address = ensure_running(platform)
    with client_of(address) as client:
        client.wait_for_workers(2, timeout=30)
        workers = client.scheduler_info()["workers"].values()
        assert [worker["nthreads"] for worker in workers] == [1, 1]
        assert [worker["resources"] for worker in workers] == [{}, {}], "lanes are the worker's own affair"
        assert {worker["memory_limit"] for worker in workers} == {platform.worker_memory_limit_bytes}
        environment = client.submit(dict, client.submit(os.environ.copy)).result()
        assert [name for name in environment if name.startswith("WFP_")] == []
        # Python forbids this to daemons, and user code may want it.
        assert client.submit(start_process).result() == 0
    processes = psutil.Process(address.supervisor_pid).children(recursive=True)
    listening = [c for p in processes for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert len(listening) >= 3
    assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}


def start_process() -> int | None:
    import multiprocessing

    process = multiprocessing.get_context("fork").Process(target=os.getpid)
    process.start()
    process.join()
    return process.exitcode


def test_a_killed_scheduler_comes_back_at_its_address_and_workers_rejoin(platform: Settings) -> None:
    address = ensure_running(platform)
    until(lambda: row(platform, "scheduler").state == "running")
    before = kill(platform, "scheduler")
    until(lambda: (found := row(platform, "scheduler")).state == "running" and found.pid != before)
    with client_of(address) as client:
        client.wait_for_workers(2, timeout=30)
        assert client.submit(sum, [1, 2]).result(timeout=30) == 3


def test_a_killed_worker_is_replaced(platform: Settings) -> None:
    with client_of(ensure_running(platform)) as client:
        client.wait_for_workers(2, timeout=30)
        old = client.run(os.getpid)
        os.kill(next(iter(old.values())), signal.SIGKILL)
        until(lambda: len(now := client.run(os.getpid, on_error="ignore")) == 2 and now != old)


def test_a_killed_worker_host_is_replaced_with_its_workers(platform: Settings) -> None:
    with client_of(ensure_running(platform)) as client:
        client.wait_for_workers(2, timeout=30)
        old = set(client.run(os.getpid).values())
        kill(platform, "workers")
        until(lambda: not any(psutil.pid_exists(pid) for pid in old))
        until(lambda: len(now := client.run(os.getpid, on_error="ignore")) == 2 and not old & set(now.values()))


def test_killed_postgres_comes_back_with_every_acknowledged_commit(platform: Settings) -> None:
    address = ensure_running(platform)
    with psycopg.connect(address.dsn, autocommit=True) as link:
        link.execute("create table entry (number int)")
        for number in range(100):
            link.execute("insert into entry values (%s)", [number])
        before = kill(platform, "postgres")
    assert ensure_running(platform) == address, "the call waits for the recovery"
    assert scalar(address.dsn, b"select count(*) from entry") == 100
    found = row(platform, "postgres")
    assert found.pid != before
    assert found.restarts >= 1
    assert found.last_exit


def test_one_process_can_be_restarted_by_name(platform: Settings) -> None:
    before = row(platform, "scheduler").pid
    restart(platform, "scheduler")
    until(lambda: (found := row(platform, "scheduler")).state == "running" and found.pid != before)
    with pytest.raises(NotFoundError, match="No child is called 'nonsense'; there are scheduler, postgres, workers"):
        restart(platform, "nonsense")


def test_after_kill_9_of_the_supervisor_nothing_stays_and_the_next_start_works(platform: Settings) -> None:
    address = ensure_running(platform)
    with psycopg.connect(address.dsn, autocommit=True) as link:
        link.execute("create table survivor as select 7 as number")
    assert address.supervisor_pid is not None
    children = psutil.Process(address.supervisor_pid).children(recursive=True)
    assert len(children) > 8
    os.kill(address.supervisor_pid, signal.SIGKILL)
    until(lambda: not is_locked(Places.of(platform.home).supervisor_lock), "the end of the supervisor")
    again = ensure_running(platform)
    assert again.supervisor_pid != address.supervisor_pid
    assert (again.dsn, again.scheduler_address) == (address.dsn, address.scheduler_address)
    assert scalar(again.dsn, b"select number from survivor") == 7
    until(lambda: not any(child.is_running() for child in children))
    with client_of(again) as client:
        client.wait_for_workers(2, timeout=30)


def test_a_process_that_outlives_its_killed_supervisor_is_ended_before_the_next_start(platform: Settings) -> None:
    address = ensure_running(platform)
    until(lambda: {row.state for row in status(platform)} == {"running"}, "the start")
    frozen = psutil.Process(row(platform, "scheduler").pid)
    # Stopped, it never hears that its parent is gone, and keeps its port.
    frozen.suspend()
    assert address.supervisor_pid is not None
    os.kill(address.supervisor_pid, signal.SIGKILL)
    until(lambda: not is_locked(Places.of(platform.home).supervisor_lock), "the end of the supervisor")
    again = ensure_running(platform)
    assert again.scheduler_address == address.scheduler_address
    assert not frozen.is_running() or frozen.status() == psutil.STATUS_ZOMBIE
    with client_of(again) as client:
        client.wait_for_workers(2, timeout=30)


def test_only_who_was_written_down_is_ended(tmp_path: Path) -> None:
    notes = tmp_path / "children.json"
    assert end_survivors(notes) == []
    deaf = (
        "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", deaf], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "deaf\n"
        write_down(notes, {"deaf": process.pid})
        assert end_survivors(notes, patience_s=0.1) == ["deaf"]
        assert process.wait(30) == -signal.SIGKILL
    assert identity_of(process.pid) == ""
    # Another process has got the number of one that was written down.
    write_down(notes, {"other": os.getpid()})
    known = json.loads(notes.read_text())
    known["other"]["identity"] = "some other boot 1"
    notes.write_text(json.dumps(known))
    assert end_survivors(notes, patience_s=0.1) == []
    assert not notes.exists()


def test_the_cluster_lets_in_nobody_without_its_certificate(platform: Settings, tmp_path: Path) -> None:
    address = ensure_running(platform)
    assert address.scheduler_address.startswith("tls://127.0.0.1:")
    assert address.cluster_tls is not None
    assert address.cluster_tls.stat().st_mode & 0o777 == 0o700
    files = sorted(address.cluster_tls.iterdir())
    assert [(file.name, file.stat().st_mode & 0o777) for file in files] == [
        ("authority.pem", 0o600), ("certificate.pem", 0o600), ("key.pem", 0o600),
    ]  # fmt: skip
    before = [file.read_bytes() for file in files]
    ensure_certificates(address.cluster_tls)
    assert [file.read_bytes() for file in files] == before, "they are made once"

    with client_of(address) as client:
        client.wait_for_workers(2, timeout=30)
        workers = client.scheduler_info()["workers"]
        services = [address.scheduler_address, *workers, *(worker["nanny"] for worker in workers.values())]
    assert len(services) == 5
    own = credentials(address.cluster_tls)
    ensure_certificates(tmp_path / "foreign")
    foreign = credentials(tmp_path / "foreign")
    # Knows whom to trust, and has nothing to show.
    nameless = ssl.create_default_context(cafile=str(files[0]))
    nameless.check_hostname = False
    for service in services:
        listening = service.removeprefix("tls://")
        assert answer(f"tls://{listening}", own) == "answered"
        assert answer(f"tls://{listening}", foreign) == "refused"
        assert answer(f"tls://{listening}", {"ssl_context": nameless}) == "refused"
        assert answer(f"tcp://{listening}", {}) == "refused"
        # Somebody else's scheduler at this address would not be believed either.
        deceived = {"ssl_context": trusting(tmp_path / "foreign", showing=address.cluster_tls)}
        assert answer(f"tls://{listening}", deceived) == "refused"


def credentials(folder: Path) -> dict[str, Any]:
    security = cluster_security(folder)
    assert security is not None
    found: dict[str, Any] = security.get_connection_args("client")
    return found


def trusting(authority: Path, *, showing: Path) -> ssl.SSLContext:
    """One who shows a certificate of one authority and believes another."""
    made = ssl.create_default_context(cafile=str(authority / "authority.pem"))
    made.check_hostname = False
    made.load_cert_chain(showing / "certificate.pem", showing / "key.pem")
    return made


def answer(address: str, arguments: dict[str, Any]) -> str:
    """What one who wants to take part in the cluster hears."""

    async def ask() -> str:
        try:
            link = await connect(address, timeout=2, **arguments)
        except OSError:
            return "refused"
        try:
            await link.write({"op": "identity", "reply": True})
            said = await link.read()
        except OSError:
            return "refused"
        finally:
            await link.close()
        return "answered" if said["type"] else "nothing"

    return asyncio.run(ask())


def test_an_engine_that_ends_again_and_again_is_told_and_mended(folder: Path) -> None:
    broken, path = broken_engines(folder / "breaking")
    settings = Settings.load(home=folder / "looping", workers=1, lease_s=2)
    try:
        with inherited(PYTHONPATH=path):
            ensure_running(settings, fsync=False)
        with closing(EmbeddedPlatform(settings)) as platform:

            @workflow
            def held(mark: str) -> int:
                return workload.hold(mark)

            mark = str(folder / "held")
            execution = platform.run(held, {"mark": mark})
            until(lambda: running(execution, "hold"), "the start")
            broken.touch()
            kill(settings, "engine-0")
            with pytest.raises(PlatformError, match="The engine is broken on purpose") as caught:
                execution.result(PATIENCE_S)
            assert caught.value.code == "no_engine"
            assert "exit code 7" in caught.value.message
            assert str(settings.home / "log" / "engine-0.log") in caught.value.hint
            with pytest.raises(PlatformError, match="No engine runs"):
                execution.wait()
            found = row(settings, "engine-0")
            assert found.restarts >= 5
            assert "broken on purpose" in found.problem
            assert [one.name for one in status(settings) if one.problem] == ["engine-0"]
            broken.unlink()
            restart(settings, "engine-0")
            Path(f"{mark}.go").touch()
            assert execution.result(PATIENCE_S) > 0
            assert row(settings, "engine-0").problem == ""
    finally:
        stop(settings)


def test_stop_ends_every_process(platform: Settings) -> None:
    address = ensure_running(platform)
    supervisor = psutil.Process(address.supervisor_pid)
    until(lambda: row(platform, "workers").state == "running")
    everybody = [supervisor, *supervisor.children(recursive=True)]
    assert stop(platform) is True
    until(lambda: not any(process.is_running() for process in everybody))
    assert stop(platform) is False
    assert status(platform) == []
    assert Places.of(platform.home).read_state() is None
    log = (platform.home / "log" / "postgres.log").read_text()
    assert log.rstrip().endswith("database system is shut down"), "not killed"


def test_it_stops_when_idle_but_not_while_anybody_needs_it(database_only: Settings) -> None:
    settings = database_only.model_copy(update={"idle_stop_s": 0.3})
    lock_path = Places.of(settings.home).supervisor_lock
    with attach(settings, fsync=False) as attachment:
        dsn = attachment.address.dsn
        with psycopg.connect(dsn, autocommit=True) as link:
            link.execute("create table execution (state text)")
            link.execute("insert into execution values ('running'), ('completed')")
    log = settings.home / "log" / "supervisor.log"
    until(lambda: log.read_text().count("still needed") >= 2)
    assert is_locked(lock_path), "an open execution keeps it"
    with attach(settings):
        with psycopg.connect(dsn, autocommit=True) as link:
            link.execute("update execution set state = 'completed'")
        seen = log.read_text().count("still needed")
        assert is_locked(lock_path)
    until(lambda: not is_locked(lock_path))
    assert "reason=idle" in log.read_text()
    assert log.read_text().count("still needed") <= seen + 1
    assert scalar(ensure_running(settings, fsync=False).dsn, b"select count(*) from execution") == 2


def test_a_claim_ends_with_a_killed_client(database_only: Settings) -> None:
    settings = database_only.model_copy(update={"idle_stop_s": 0.3})
    code = (
        "import sys, time; from pathlib import Path; from wfplatform.settings import Settings;"
        "from wfplatform.bootstrap.supervisor import attach;"
        "settings = Settings.load(home=Path(sys.argv[1]), engines=0, idle_stop_s=0.3,"
        f"scheduler_address={ELSEWHERE!r});"
        "claim = attach(settings, fsync=False); print('attached', flush=True); time.sleep(600)"
    )
    argv = [sys.executable, "-c", code, str(settings.home)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "attached\n"
        client.kill()
    until(lambda: not is_locked(Places.of(settings.home).supervisor_lock))


def test_a_start_that_cannot_work_says_why_and_leaves_nothing(database_only: Settings) -> None:
    data = database_only.home / "postgres" / "server" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9\n")
    with pytest.raises(PlatformError, match="made by PostgreSQL 9") as caught:
        ensure_running(database_only)
    assert caught.value.code == "postgres_version"
    assert not is_locked(Places.of(database_only.home).supervisor_lock)


def test_what_is_configured_elsewhere_is_not_started(folder: Path) -> None:
    settings = Settings.load(
        home=folder / "bare",
        engines=0,
        scheduler_address=ELSEWHERE,
        database_url="postgresql://db.example/wfp",
    )
    address = ensure_running(settings)
    assert address.supervisor_pid is None
    assert address.dsn.startswith("postgresql://db.example/wfp?connect_timeout=5&keepalives_idle=5")
    assert address.scheduler_address == ELSEWHERE
    assert not address.embedded_database
    assert status(settings) == []
    with pytest.raises(UnreachableError, match="does not answer"):
        restart(settings, "postgres")


def test_engines_wait_for_the_database_and_get_all_settings(folder: Path) -> None:
    settings = Settings.load(home=folder / "order", engines=2, workers=3, lease_s=7)
    children = {child.name: child for child in order_of(settings).children}
    assert list(children) == ["scheduler", "postgres", "workers", "engine-0", "engine-1"]
    engine = children["engine-1"]
    assert engine.after == ("postgres",)
    assert engine.needs_database
    assert engine.env["WFP_LEASE_S"] == "7.0"
    assert not children["workers"].needs_database
    assert ChildSpec.from_json(json.loads(json.dumps(dataclasses.asdict(engine)))) == engine
    assert order_of(settings).scheduler_address == order_of(settings).scheduler_address, "stable"


def test_a_port_that_somebody_else_holds_is_left_alone(folder: Path) -> None:
    settings = Settings.load(home=folder / "crowded", engines=0)
    wanted = order_of(settings).scheduler_address
    with socket.create_server(("127.0.0.1", int(wanted.rpartition(":")[2]))):
        assert order_of(settings).scheduler_address != wanted
    assert order_of(settings).scheduler_address == wanted


def test_a_child_that_dies_is_started_again_with_growing_pauses(folder: Path) -> None:
    script = "import os; print(*[n for n in os.environ if n.startswith('WFP_')], flush=True); raise SystemExit(3)"
    spec = ChildSpec(
        name="failing",
        argv=(sys.executable, "-c", script),
        env={"WFP_GIVEN": "1"},
        backoff_first_s=0.01,
        backoff_max_s=0.03,
    )
    child = Child(spec, log_path=folder / "failing.log")
    pauses = []
    while child.restarts < 4:
        restarts = child.restarts
        pause_s = child.step(may_start=True)
        if child.restarts > restarts:
            pauses.append(pause_s)
    child.stop()
    assert [round(pause, 2) for pause in pauses] == [0.01, 0.02, 0.03, 0.03]
    assert child.last_exit == "exit code 3"
    assert child.state is ChildState.STOPPED
    assert child.describe()["problem"] == "", "four times may be an accident"
    assert set((folder / "failing.log").read_text().split()) == {"WFP_GIVEN"}


def test_a_log_is_bounded_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "some.log"
    with path.open("ab", buffering=0) as log:
        for number in range(5):
            log.write(b"%d" % number * 100)
            assert rotate(path, limit_bytes=50, keep=2)
        log.write(b"last")
    assert path.read_bytes() == b"last"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["some.log", "some.log.1", "some.log.2"]
    assert (tmp_path / "some.log.1").read_bytes() == b"4" * 100
    assert not rotate(path, limit_bytes=50, keep=2)


if os.geteuid() == 0:  # Only root can be somebody else.

    def test_an_ordinary_account_has_a_whole_platform_of_its_own(folder: Path) -> None:
        other = copied_interpreter(folder)
        home = other.folder(folder / "nobodys")
        code = (
            "import os, sys; from pathlib import Path; from wfplatform.settings import Settings;"
            "from wfplatform.bootstrap.supervisor import ensure_running, stop;"
            "from distributed import Client;"
            "settings = Settings.load(home=Path(sys.argv[1]), engines=0, workers=1);"
            "address = ensure_running(settings, fsync=False);"
            "from wfplatform.executors.security import cluster_security;"
            "security = cluster_security(address.cluster_tls);"
            "client = Client(address.scheduler_address, security=security, timeout=30);"
            "print(client.submit(os.getuid).result(timeout=30)); client.close(); stop(settings)"
        )
        ended = other.run(code, str(home), uid=NOBODY_UID)
        assert ended.stdout == f"{NOBODY_UID}\n", ended.stderr
