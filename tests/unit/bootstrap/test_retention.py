"""The settings as rules."""

from __future__ import annotations

from datetime import timedelta

from wfplatform.bootstrap.retention import rules_of
from wfplatform.core.retention import RetentionRules
from wfplatform.settings import Settings


def test_the_settings_say_what_the_rules_say_unless_told_otherwise() -> None:
    assert rules_of(Settings.load()) == RetentionRules()


def test_zero_is_no_bound() -> None:
    rules = rules_of(Settings.load(executions_kept_days=0, executions_kept_per_workflow=0, logs_kept_days=0))
    assert (rules.executions, rules.executions_per_workflow, rules.logs) == (None, None, None)


def test_a_part_of_a_day_counts() -> None:
    rules = rules_of(
        Settings.load(
            executions_kept_days=0.5,
            executions_kept_per_workflow=3,
            logs_kept_days=0.25,
            artifacts_kept_unused_s=90,
        )
    )
    assert rules == RetentionRules(
        executions=timedelta(hours=12), executions_per_workflow=3, logs=timedelta(hours=6), unused=timedelta(seconds=90)
    )
