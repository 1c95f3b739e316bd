"""What a driver's error means to the platform: who can act, and how.

Refuses: hiding. The driver's own words are always part of the message.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import errors

from wfplatform.errors import ConflictError, PlatformError, SchemaError, UnreachableError, UnstorableError, WfError

__all__ = ["FENCED_STATE", "driver_error", "explained", "is_passing", "refusal", "translated"]

FENCED_STATE: Final = "WF001"
"""The SQLSTATE of `wf_fence()`."""

_PASSING: Final = (errors.SerializationFailure, errors.DeadlockDetected, errors.LockNotAvailable)
_REFUSED: Final = (psycopg.DataError, psycopg.IntegrityError)
_TOO_LARGE: Final = "54"
"""The class of SQLSTATEs of what exceeds a limit of the server's: a key in an index, an object in JSON, its depth."""
_NOT_WRITTEN: Final = (ValueError, TypeError, ArithmeticError, LookupError, RecursionError)
"""What Python raises where a value cannot be made into a row."""
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


def refusal(error: Exception) -> UnstorableError | None:
    """What to raise when it is not the server but what was to be written that is to blame; None if it is not.

    Code `commit_refused`. The same will be refused whenever it is tried again.
    """
    if isinstance(error, psycopg.Error):
        if not isinstance(error, _REFUSED) and not (error.sqlstate or "").startswith(_TOO_LARGE):
            return None
        # Without the context, which quotes whatever else was written.
        parts = (error.diag.message_primary or str(error), error.diag.message_detail)
        said = ": ".join(" ".join(part.split()) for part in parts if part) or type(error).__name__
    elif isinstance(error, _NOT_WRITTEN):
        said = f"{type(error).__name__}: {error}"
    else:
        return None
    return UnstorableError(
        "commit_refused", f"PostgreSQL cannot hold it: {said}", sqlstate=getattr(error, "sqlstate", None)
    )


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
