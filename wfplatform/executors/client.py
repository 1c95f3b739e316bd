"""A client of a Dask scheduler that survives connections which break while they are made.

A connection that breaks as TLS begins raises a `ValueError`, where Dask's client expects an `OSError`: it stops trying without a
word, cannot be closed, and holds up the end of the process for a minute. Refuses to let such an error reach it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from distributed import Client, Security
from distributed.comm.core import CommClosedError

from wfplatform.errors import UnreachableError

__all__ = ["BROKEN", "connect"]

BROKEN: Final = (OSError, ValueError)
"""What a connection raises that is lost; of `OSError` are also those of Dask and those for want of time."""


class _Client(Client):
    async def _ensure_connected(self, timeout: Any = None) -> None:  # noqa: ASYNC109 - as Dask calls it
        connecting: Any = super()._ensure_connected
        try:
            await connecting(timeout)
        except ValueError as error:
            raise CommClosedError(f"It broke while it was made: {error}") from error


def connect(address: str, security: Security | None) -> Client:
    """A client.

    Args:
        address: the scheduler's.
        security: how it is reached over TLS; None: as Dask is configured here.

    Raises:
        UnreachableError: the scheduler does not answer.
    """
    make: Callable[..., Client] = _Client
    try:
        return make(address, security=security, name="wfplatform-engine", set_as_default=False, timeout=30)
    except OSError as error:
        raise UnreachableError(
            "scheduler_unreachable",
            f"The Dask scheduler at {address} does not answer: {error}",
            "Start it, or set WFP_SCHEDULER_ADDRESS to the address of one that runs.",
            address=address,
        ) from error
