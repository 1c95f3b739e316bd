"""Retention put together from the settings: for engines, which see to it daily, and for whoever asks for it.

Refuses: starting the platform; whoever calls has its address.
"""

from __future__ import annotations

from datetime import timedelta

from wfplatform.app.retention import Retention
from wfplatform.artifacts import Artifacts
from wfplatform.core.retention import RetentionRules
from wfplatform.settings import Settings
from wfplatform.store.retention import PostgresRetention

__all__ = ["retention_of", "rules_of"]


def rules_of(settings: Settings) -> RetentionRules:
    """What is kept for how long."""
    return RetentionRules(
        executions=timedelta(days=settings.executions_kept_days) if settings.executions_kept_days else None,
        executions_per_workflow=settings.executions_kept_per_workflow or None,
        logs=timedelta(days=settings.logs_kept_days) if settings.logs_kept_days else None,
        unused=timedelta(seconds=settings.artifacts_kept_unused_s),
    )


def retention_of(settings: Settings, dsn: str, artifacts: Artifacts) -> Retention:
    """Retention of a platform.

    Args:
        dsn: its database; the account must be able to play wf_engine.
        artifacts: its storage.
    """
    return Retention(PostgresRetention(dsn, artifacts.aside), rules_of(settings))
