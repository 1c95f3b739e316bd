"""Connections to the one database: how a DSN is completed, pools, and sessions bound to a tenant.

Every pooled connection plays one role (`SET ROLE` when it is made), so it does not matter as whom the DSN logs in as long as that
account is a member. Refuses: a session without a tenant, and state that stays on a connection when it goes back to the pool.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.orm import SessionTransaction
from sqlmodel import Session

from wfplatform.errors import SettingsError
from wfplatform.store.failure import explained

__all__ = ["Database", "Role", "connect", "connection_arguments"]

_KEEPALIVES: Final = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    # Without it a write into a network that is cut blocks for a quarter of an hour.
    "tcp_user_timeout": 3000,
}
_CONNECT_TIMEOUT_S: Final = 5
_TENANT: Final = text("select set_config('app.current_tenant_id', :tenant, true)")


class Role(StrEnum):
    """Whom a connection plays."""

    OWNER = "wf_owner"
    """Owns the tables; migrations only."""
    RUNTIME = "wf_runtime"
    """API, command line, triggers: sees one tenant at a time, cannot change an execution."""
    ENGINE = "wf_engine"
    """Engines: every tenant."""


def connection_arguments(dsn: str, *, application: str = "wfplatform") -> dict[str, Any]:
    """What libpq is to be told.

    Args:
        dsn: a PostgreSQL URL (also SQLAlchemy's `postgresql+psycopg://`) or libpq's `key=value` form.
        application: shown in pg_stat_activity.

    Returns:
        Keyword arguments of `psycopg.connect`: what the DSN says, completed by a connection timeout and, for
        hosts reached by TCP, by keepalives and `tcp_user_timeout` of 3 s.

    Raises:
        SettingsError: it is no PostgreSQL DSN.
    """
    plain = dsn.strip()
    scheme, separator, rest = plain.partition("://")
    if separator:
        plain = f"{scheme.removesuffix('+psycopg')}://{rest}"
    try:
        found: dict[str, Any] = {key: value for key, value in conninfo_to_dict(plain).items() if value is not None}
    except psycopg.ProgrammingError:
        # Neither the DSN nor the driver's words about it are shown: both may hold the password.
        got = f"one that begins with {scheme}://" if separator else "text without ://"
        raise SettingsError(
            "bad_dsn",
            f"The database URL cannot be read: expected one that begins with postgresql://, got {got}"
            " or with parts that libpq does not know.",
            "Write it as postgresql://user:password@host:5432/database; encode special characters of the password.",
        ) from None
    hosts = f"{found.get('host') or ''},{found.get('hostaddr') or ''}".split(",")
    if any(host and not host.startswith(("/", "@")) for host in hosts):
        found = {**_KEEPALIVES, **found}
    return {"connect_timeout": _CONNECT_TIMEOUT_S, "application_name": application, **found}


def connect(
    dsn: str,
    *,
    role: Role | None = None,
    autocommit: bool = False,
    application: str = "wfplatform",
    settings: Mapping[str, str] | None = None,
) -> psycopg.Connection[tuple[Any, ...]]:
    """A connection of its own, outside of any pool.

    Args:
        role: whom to play; None: whoever the DSN logs in.
        settings: server settings for this session, by name.

    Raises:
        UnreachableError: nobody answers.
        PlatformError: the account is not a member of the role.
    """
    with explained():
        connection = psycopg.connect(**connection_arguments(dsn, application=application), autocommit=True)
        try:
            if role is not None:
                connection.execute(f"set role {role}")
            for name, value in (settings or {}).items():
                connection.execute("select set_config(%s, %s, false)", (name, value))
            connection.autocommit = autocommit
        except BaseException:
            connection.close()
            raise
        return connection


class Database:
    """A pool of connections that play one role.

    Args:
        dsn: the database.
        role: whom they play.
        application: shown in pg_stat_activity.
        pool_size: connections kept open; as many again are made when needed.
        settings: server settings for each connection, by name.
        pre_ping: whether each use begins with a question to the server, so that a connection that died while it was
            idle is replaced unnoticed.
    """

    def __init__(
        self,
        dsn: str,
        *,
        role: Role = Role.RUNTIME,
        application: str = "wfplatform",
        pool_size: int = 5,
        settings: Mapping[str, str] | None = None,
        pre_ping: bool = True,
    ) -> None:
        self.dsn: Final = dsn
        self.engine: Final[Engine] = create_engine(
            "postgresql+psycopg://",
            creator=lambda: connect(dsn, role=role, application=application, settings=settings),
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=10,
            pool_use_lifo=True,
            pool_pre_ping=pre_ping,
        )

    @contextmanager
    def session(self, tenant_id: UUID) -> Iterator[Session]:
        """A session that sees one tenant; commits when the block ends well, else rolls back.

        Args:
            tenant_id: whose rows are seen.

        Raises:
            UnreachableError: the database does not answer.
        """

        def choose_tenant(_session: Session, _transaction: SessionTransaction, connection: Connection) -> None:
            # Transaction-local: a pooled connection that kept a tenant would show it to the next one.
            connection.execute(_TENANT, {"tenant": str(tenant_id)})

        with explained(), Session(self.engine, expire_on_commit=False) as session:
            event.listen(session, "after_begin", choose_tenant)
            yield session
            session.commit()

    @contextmanager
    def driver(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """A pooled connection as psycopg knows it. Commits when the block ends well, else rolls back.

        Raises:
            psycopg.Error: as the driver raises it.
        """
        pooled = self.engine.raw_connection()
        connection: psycopg.Connection[tuple[Any, ...]] = pooled.driver_connection  # type: ignore[assignment]
        try:
            yield connection
            connection.commit()
        except BaseException:
            if not connection.closed:
                connection.rollback()
            raise
        finally:
            if connection.closed or connection.broken:
                pooled.invalidate()
            pooled.close()

    def forget(self) -> None:
        """Closes idle connections: when one is dead, the server has restarted, and they all are."""
        self.engine.dispose()

    def close(self) -> None:
        """Closes idle connections; those in use are closed when they come back."""
        self.engine.dispose()
