"""What a supervisor is told: which processes to keep alive, each with its arguments, its order and its patience.

Plain data that travel as JSON from whoever starts the supervisor. Refuses: knowing how a process is kept alive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

__all__ = ["POSTGRES", "ChildSpec", "Order"]

POSTGRES: Final = "postgres"
"""The child that is the embedded server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """One process the supervisor keeps alive.

    Args:
        name: unique, also the name of its log file.
        argv: program and arguments; empty for PostgreSQL, which the supervisor launches through its own
            class.
        env: added to the supervisor's environment.
        after: names of children that must be ready before this one is started.
        needs_database: it is told the addresses of database and scheduler (WFP_DATABASE_URL,
            WFP_SCHEDULER_ADDRESS) when it is started; to all others no WFP_ variable is passed on, since
            workers hold no database credentials.
        tells_ready: it is given `--ready-fd NUMBER` and writes there when it can be used; else it is ready as soon as it runs.
        needed: whoever starts the platform waits until this child is ready.
        start_patience_s: how long it may take to say so before that is a problem; None: as long as it likes.
        stop_timeout_s: how long it may take to end after SIGTERM before it is killed.
        backoff_first_s: pause before the first restart; doubles up to `backoff_max_s`.
        backoff_max_s: longest pause between restarts.
    """

    name: str
    argv: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    needs_database: bool = False
    tells_ready: bool = False
    needed: bool = False
    start_patience_s: float | None = None
    stop_timeout_s: float = 10.0
    backoff_first_s: float = 0.1
    backoff_max_s: float = 30.0

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ChildSpec:
        """The spec written by `dataclasses.asdict` and JSON."""
        return cls(**{**document, "argv": tuple(document["argv"]), "after": tuple(document["after"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a supervisor is to keep alive.

    Attributes:
        home: the home folder.
        children: in the order in which they are started; one named `postgres` is the embedded server.
        idle_stop_s: stop after so many seconds without client, open execution or active schedule.
        database_url: a configured server, or empty.
        scheduler_address: told to clients and engines.
        cluster_tls: folder of the certificates that the scheduler asks for, or empty.
        fsync: False only in tests.
        version: of the package that wrote the order.
    """

    home: Path
    children: tuple[ChildSpec, ...]
    idle_stop_s: float
    database_url: str
    scheduler_address: str
    cluster_tls: str
    fsync: bool
    version: str

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The order written by `dataclasses.asdict` and JSON."""
        children = tuple(ChildSpec.from_json(child) for child in document["children"])
        return cls(**{**document, "home": Path(document["home"]), "children": children})
