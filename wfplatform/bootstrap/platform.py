"""The platform as the user's own process sees it: finds or starts what is needed and runs workflows on it."""

from __future__ import annotations

import getpass
import logging
import time
from collections.abc import Mapping
from typing import Any

from wfplatform.app.changes import ChangeCounter
from wfplatform.app.dead_letters import DeadLetters
from wfplatform.app.executions import Executions
from wfplatform.app.platform import WorkflowPlatform
from wfplatform.app.requirement import RequirementCheck
from wfplatform.artifacts import Artifacts
from wfplatform.bootstrap import supervisor
from wfplatform.bootstrap.health import Health
from wfplatform.bootstrap.retention import retention_of
from wfplatform.bootstrap.system import SystemIds
from wfplatform.compiler.tree import open_output
from wfplatform.core.announcement import EXECUTION_CHANNEL
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.settings import Settings
from wfplatform.store import migration
from wfplatform.store.catalog import Catalog
from wfplatform.store.database import Database
from wfplatform.store.dead_letter import PostgresDeadLetters
from wfplatform.store.notify import Listener, PostgresNotifier
from wfplatform.store.past import PastReader
from wfplatform.store.reader import Reader
from wfplatform.store.server_address import with_network_timeouts
from wfplatform.store.shared import Shared

__all__ = ["EmbeddedPlatform"]


class EmbeddedPlatform(WorkflowPlatform):
    """Runs workflows on the platform of a home folder, which it finds or starts.

    Args:
        settings: which home, and whether database and cluster are elsewhere.

    Attributes:
        retention: what is kept for how long, what would go now, and removing it.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        # As libraries do: what this process's threads log goes where the program sends it, and else nowhere.
        if not (logger := logging.getLogger("wfplatform")).handlers:
            logger.addHandler(logging.NullHandler())
        self.settings = settings or Settings.load()
        if self.settings.database_url:
            # A server that does not answer is told before anything is started for its sake.
            migration.upgrade(with_network_timeouts(self.settings.database_url))
        self._attachment = supervisor.attach(self.settings)
        self.address = self._attachment.address
        if not self.settings.database_url:
            migration.upgrade(self.address.dsn)
        self._database = Database(self.address.dsn)
        self._health = Health(self.settings, self._database)
        self.reader = Reader(self._database)
        self._notifier = PostgresNotifier(self.address.dsn)
        changes = ChangeCounter()
        self._listener = Listener(
            self.address.dsn,
            channels=[EXECUTION_CHANNEL],
            on_notification=changes.count,
            on_connected=changes.count,
        )
        self.artifacts = Artifacts(
            self.settings.artifacts_location, inline_limit_bytes=self.settings.inline_limit_bytes
        )
        self.retention = retention_of(self.settings, self.address.dsn, self.artifacts)
        executions = Executions(
            catalog=Catalog(self._database),
            records=self.reader,
            past=PastReader(self._database),
            shared=Shared(self._database),
            changes=changes,
            notifier=self._notifier,
            open_value=self._open,
            ids=SystemIds(),
            tenant_id=DEFAULT_TENANT,
            actor=_actor(),
            check=RequirementCheck(
                lambda version_id: self.reader.surroundings(DEFAULT_TENANT, version_id), sleep=self._pause
            ),
            check_platform=self.check,
        )
        letters = DeadLetters(
            executions=executions,
            store=PostgresDeadLetters(self._database),
            records=self.reader,
            open_value=self._open,
            tenant_id=DEFAULT_TENANT,
            kept_s=self.settings.dead_letters_kept_s,
        )
        super().__init__(executions, letters)

    def check(self) -> None:
        """Ask whether executions can go on here.

        Raises:
            PlatformError: no engine, scheduler, worker or database runs, or no engine anywhere holds a lease; with the reason.
        """
        self._health.check()

    def _open(self, output: Mapping[str, Any]) -> Any:
        return open_output(output, self.artifacts.load)

    def _pause(self, seconds: float) -> None:
        """Waiting for the first worker makes no sense when none can come."""
        time.sleep(seconds)
        self.check()

    def close(self) -> None:
        """Let go of the platform; it goes on, and stops by itself when nobody needs it."""
        self._listener.close()
        self._notifier.close()
        self._database.close()
        self._attachment.close()


def _actor() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""  # an account without a name
