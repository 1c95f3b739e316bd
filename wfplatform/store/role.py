"""The database roles: who owns the tables, who works under row-level security, who sees every tenant.

They belong to the server, not to one database, so migrations expect them and this module makes them. Refuses: passwords; how an
account logs in and which account may play a role is the operator's matter.
"""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg import errors

from wfplatform.errors import SchemaError
from wfplatform.store.database import Role

__all__ = ["ADMINISTRATOR_SQL", "ensure_roles"]

ADMINISTRATOR_SQL: Final = """\
CREATE ROLE wf_owner NOLOGIN;
CREATE ROLE wf_runtime LOGIN;
CREATE ROLE wf_engine LOGIN BYPASSRLS;
GRANT wf_owner, wf_runtime, wf_engine TO {account};
GRANT USAGE, CREATE ON SCHEMA {schema} TO wf_owner;
GRANT USAGE ON SCHEMA {schema} TO wf_runtime, wf_engine;"""
"""What an administrator runs once where the migrating account may not create roles."""

_ATTRIBUTES: Final = {Role.OWNER: "nologin", Role.RUNTIME: "login", Role.ENGINE: "login"}
_LOCK: Final = "select pg_advisory_xact_lock(7165349001)"


def ensure_roles(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Makes the three roles where they are missing and lets the connected account play them. Safe to repeat.

    Args:
        connection: of the migrating account, outside of a transaction.

    Raises:
        SchemaError: the account may not; the hint holds what an administrator has to run.
    """
    try:
        for role in Role:
            _make(connection, role)
        with connection.transaction():
            schema = _one(connection, "select quote_ident(current_schema())")
            if not _one(connection, "select has_schema_privilege('wf_owner', current_schema(), 'create')"):
                connection.execute(f"grant usage, create on schema {schema} to wf_owner")
            for role in (Role.RUNTIME, Role.ENGINE):
                if not _one(connection, "select has_schema_privilege(%s, current_schema(), 'usage')", role):
                    connection.execute(f"grant usage on schema {schema} to {role}")
    except errors.InsufficientPrivilege as error:
        account = _one(connection, "select quote_ident(session_user)")
        schema = _one(connection, "select quote_ident(current_schema())")
        raise SchemaError(
            "roles_missing",
            f"The account {account} may not make the roles that the tables need: {' '.join(str(error).split())}",
            "Have an administrator run this once in this database, then try again:\n"
            + ADMINISTRATOR_SQL.format(account=account, schema=schema),
        ) from error


def _make(connection: psycopg.Connection[tuple[Any, ...]], role: Role) -> None:
    # Roles are shared by all databases of a server while advisory locks are not: two databases may be migrated at one moment.
    for _ in range(20):
        try:
            with connection.transaction():
                connection.execute(_LOCK)
                if not _one(connection, "select exists (select from pg_roles where rolname = %s)", role):
                    connection.execute(f"create role {role} {_ATTRIBUTES[role]}")
                if role is Role.ENGINE and _one(connection, _MAY_BYPASS):
                    connection.execute(f"alter role {role} bypassrls")
                if not _one(connection, "select pg_has_role(session_user, %s, 'set')", role):
                    account = _one(connection, "select quote_ident(session_user)")
                    connection.execute(f"grant {role} to {account}")
            return
        except (errors.DuplicateObject, errors.UniqueViolation, errors.InternalError_):
            continue  # another database's migration made it in this moment ("tuple concurrently updated")
    raise SchemaError("roles_contended", f"The role {role} could not be made: others kept changing it.", "Try again.")


# COPY is refused under row-level security, so engines bypass it where the migrating account can give that away.
_MAY_BYPASS: Final = """
select exists (select from pg_roles where rolname = session_user and (rolsuper or (rolcreaterole and rolbypassrls)))
   and not exists (select from pg_roles where rolname = 'wf_engine' and rolbypassrls)"""


def _one(connection: psycopg.Connection[tuple[Any, ...]], query: str, *values: object) -> Any:
    row = connection.execute(query, values).fetchone()
    return row[0] if row else None
