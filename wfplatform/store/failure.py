"""What a driver's error means to the platform: who can act, and how.

Refuses: hiding. The driver's own words are always part of the message.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import errors

from wfplatform.errors import ConflictError, PlatformError, SchemaError, UnreachableError, WfError

__all__ = ["FENCED_STATE", "driver_error", "explained", "is_passing", "translated"]

FENCED_STATE: Final = "WF001"
"""The SQLSTATE of `wf_fence()`."""

_PASSING: Final = (errors.SerializationFailure, errors.DeadlockDetected, errors.LockNotAvailable)
_OTHER_SCHEMA: Final = (
    errors.UndefinedTable,
    errors.UndefinedColumn,
    errors.UndefinedFunction,
    errors.InvalidSchemaName,
)


def is_passing(error: BaseException) -> bool:
    """Whether the very same transaction may succeed when it is tried again at once (deadlock, serialisation)."""
    return isinstance(error, _PASSING)


def driver_error(error: BaseException) -> psycopg.Error | None:
    """The driver's error in it, when it is one or is wrapped around one by SQLAlchemy."""
    if isinstance(error, psycopg.Error):
        return error
    inner = getattr(error, "orig", None)
    return inner if isinstance(inner, psycopg.Error) else None


def translated(error: psycopg.Error) -> WfError:
    """The platform's error for a driver's error."""
    said = " ".join(str(error).split()) or type(error).__name__
    if error.sqlstate == FENCED_STATE:
        return ConflictError(
            "fenced",
            "The lease of this engine was taken over; nothing was written.",
            "The engine must forget its executions and register anew.",
        )
    if isinstance(error, _OTHER_SCHEMA):
        return SchemaError(
            "schema_mismatch",
            f"The database does not have what this release expects: {said}",
            "Run `wfp db upgrade`, or use the release that the database belongs to.",
        )
    if isinstance(error, errors.InsufficientPrivilege):
        return PlatformError(
            "database_forbids",
            f"The database role may not do this: {said}",
            "Connect as a role that is a member of wf_runtime or wf_engine; `wfp db upgrade` grants their rights.",
        )
    if isinstance(error, psycopg.OperationalError | errors.ReadOnlySqlTransaction):
        return UnreachableError(
            "database_unreachable",
            f"PostgreSQL does not answer as it should: {said}",
            "Look at the server and its log; nothing that was committed is lost.",
            sqlstate=error.sqlstate,
        )
    return PlatformError("database_failed", f"PostgreSQL refused a statement: {said}", sqlstate=error.sqlstate)


@contextmanager
def explained() -> Iterator[None]:
    """Turns the driver's errors that leave the block into errors of the platform."""
    try:
        yield
    except WfError:
        raise
    except Exception as error:
        cause = driver_error(error)
        if cause is None:
            raise
        raise translated(cause) from error
