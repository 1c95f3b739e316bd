"""What libpq is told for a DSN."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors
from sqlalchemy.exc import OperationalError

from wfplatform.errors import ConflictError, PlatformError, SchemaError, SettingsError, UnreachableError
from wfplatform.store.database import connection_arguments
from wfplatform.store.failure import FENCED_STATE, driver_error, explained, is_passing, translated


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:p@db.example:5433/w",
        "postgresql+psycopg://u:p@db.example:5433/w",
        "postgres://u:p@db.example:5433/w",
        "host=db.example port=5433 user=u password=p dbname=w",
        "  postgresql://u:p@db.example:5433/w\n",
    ],
)
def test_a_network_host_is_never_waited_for_in_vain(dsn: str) -> None:
    found = connection_arguments(dsn, application="test")
    assert (found["host"], found["port"], found["user"], found["password"]) == ("db.example", "5433", "u", "p")
    assert (found["dbname"], found["application_name"]) == ("w", "test")
    assert (found["tcp_user_timeout"], found["keepalives"], found["connect_timeout"]) == (3000, 1, 5)


@pytest.mark.parametrize("dsn", ["postgresql://u@/w?host=%2Ftmp%2Fs", "dbname=w", "host=/tmp/s dbname=w"])
def test_a_socket_has_no_keepalives(dsn: str) -> None:
    assert not {"tcp_user_timeout", "keepalives"} & set(connection_arguments(dsn))


def test_what_the_dsn_says_wins() -> None:
    found = connection_arguments("postgresql://h/w?tcp_user_timeout=99&connect_timeout=7&application_name=mine")
    assert (found["tcp_user_timeout"], found["connect_timeout"], found["application_name"]) == ("99", "7", "mine")
    both = connection_arguments("host=/tmp/s,db.example dbname=w")
    assert both["tcp_user_timeout"] == 3000


@pytest.mark.parametrize("dsn", ["mysql://u:secret@h/w", "nonsense", "postgresql://h/w?colour=secret"])
def test_what_is_no_dsn_is_refused_without_repeating_it(dsn: str) -> None:
    with pytest.raises(SettingsError) as caught:
        connection_arguments(dsn)
    assert "postgresql://" in caught.value.hint
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (psycopg.OperationalError("gone"), UnreachableError),
        (errors.AdminShutdown("gone"), UnreachableError),
        (errors.ReadOnlySqlTransaction("standby"), UnreachableError),
        (errors.DiskFull("full"), UnreachableError),
        (errors.UndefinedTable("no table"), SchemaError),
        (errors.InsufficientPrivilege("no"), PlatformError),
        (errors.UniqueViolation("twice"), PlatformError),
    ],
)
def test_an_error_says_who_can_act(error: psycopg.Error, kind: type[Exception]) -> None:
    found = translated(error)
    assert type(found) is kind
    assert str(error) in found.message
    with pytest.raises(kind), explained():
        raise error
    with pytest.raises(kind), explained():
        raise OperationalError("select 1", {}, error)


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), explained():
        raise ZeroDivisionError
    with pytest.raises(ConflictError), explained():
        raise ConflictError("x", "y")
    assert driver_error(ValueError()) is None


def test_only_what_passes_is_tried_again() -> None:
    assert is_passing(errors.DeadlockDetected())
    assert is_passing(errors.SerializationFailure())
    assert not is_passing(psycopg.OperationalError())
    assert FENCED_STATE == "WF001"
