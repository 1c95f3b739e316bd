"""Settings: where values come from, which wins, and what a wrong one is told."""

from __future__ import annotations

import logging
import os
import tomllib
from pathlib import Path

import pytest

from wfplatform.errors import SettingsError
from wfplatform.settings import Settings, conf_folder, cpu_count, machine_memory_bytes


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("WFP_")]:
        monkeypatch.delenv(name)


def test_defaults_are_what_the_descriptions_say() -> None:
    settings = Settings.load(home=Path("/somewhere"))
    assert settings.database_url == settings.scheduler_address == ""
    assert settings.workers == cpu_count() >= 1
    assert (settings.io_threads, settings.engines, settings.idle_stop_s, settings.lease_s) == (50, 1, 300, 10)
    assert (settings.execution_timeout_s, settings.execution_timeout_max_s) == (30 * 60, 24 * 3600)
    assert (settings.inline_limit_bytes, settings.max_concurrent_executions) == (65_536, 1000)
    assert settings.artifacts_location == "file:///somewhere/artifacts"
    assert 0 < settings.worker_memory_limit_bytes * settings.workers < machine_memory_bytes()


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_every_setting_has_owner_unit_default_and_reason(name: str) -> None:
    field = Settings.model_fields[name]
    extra = field.json_schema_extra
    assert isinstance(extra, dict)
    assert extra["owner"]
    assert extra["unit"]
    assert str(extra["reason"]).endswith(".")
    assert field.description is not None
    assert field.description.startswith("Owner: ")
    assert " Default: " in field.description


def test_a_number_of_seconds_or_bytes_says_so_in_its_name() -> None:
    for name, field in Settings.model_fields.items():
        extra = field.json_schema_extra
        assert isinstance(extra, dict)
        unit = str(extra["unit"]).split()[0]
        assert name.removesuffix("_max").endswith({"seconds": "_s", "bytes": "_bytes"}.get(unit, "")), name


def test_arguments_win_over_environment_over_files(monkeypatch: pytest.MonkeyPatch) -> None:
    file = tomllib.loads((conf_folder() / "base.toml").read_text())
    assert Settings.load().lease_s == file["lease_s"]
    monkeypatch.setenv("WFP_LEASE_S", "20")
    assert Settings.load().lease_s == 20
    assert Settings.load(lease_s=30).lease_s == 30


def test_home_is_absolute_and_knows_the_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WFP_HOME", "~/mine")
    assert Settings.load().home == Path.home() / "mine"
    assert Settings.load(home=Path("here")).home == Path.cwd() / "here"


def test_every_wrong_value_is_named_with_what_was_expected_and_what_came(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WFP_WORKERS", "many")
    with pytest.raises(SettingsError) as caught:
        Settings.load(lease_s=0.1, log_level="loud", scheduler_address="localhost", lease=3)
    problems = "\n".join(caught.value.facts["problems"])
    assert caught.value.code == "settings_invalid"
    assert "workers (WFP_WORKERS): expected a valid integer" in problems
    assert "got 'many'" in problems
    assert "lease_s (WFP_LEASE_S): expected greater than or equal to 1, got 0.1" in problems
    assert "log_level (WFP_LOG_LEVEL): expected 'debug', 'info', 'warning' or 'error', got 'loud'" in problems
    assert "scheduler_address (WFP_SCHEDULER_ADDRESS): expected tcp://host:port" in problems
    assert "lease: is no setting; did you mean lease_s?" in problems


def test_an_environment_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WFP_ENV", "prodution")
    with pytest.raises(SettingsError, match=r"env .WFP_ENV.: expected 'development', 'staging' or 'production'"):
        Settings.load()


def test_a_timeout_above_the_maximum_is_refused() -> None:
    with pytest.raises(SettingsError, match="execution_timeout_s expected at most execution_timeout_max_s"):
        Settings.load(execution_timeout_s=100_000)


def test_a_password_is_not_shown() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load(database_url="mysql://me:hunter2@host/db")
    assert "hunter2" not in str(caught.value)
    assert "expected a URL postgresql://" in str(caught.value)


def test_workers_are_told_of_the_mail_server_and_of_nothing_else() -> None:
    settings = Settings.load(
        database_url="postgresql://me:hunter2@host/db", smtp_host="mail.example.org", smtp_user="me", smtp_password="pw"
    )
    assert settings.for_workers() == {
        "WFP_SMTP_HOST": "mail.example.org", "WFP_SMTP_SECURITY": "starttls", "WFP_SMTP_USER": "me",
        "WFP_SMTP_PASSWORD": "pw",
    }  # fmt: skip
    assert "pw" not in repr(settings)
    with pytest.raises(SettingsError) as caught:
        Settings.load(smtp_password=["hunter2"])
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_database_url_has_one_form(scheme: str) -> None:
    assert Settings.load(database_url=f"{scheme}://host/db").database_url == "postgresql://host/db"


def test_a_child_process_gets_exactly_these_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.load(home=Path("/h"), workers=3, idle_stop_s=1.5, worker_memory_bytes=2**30, env="staging")
    for name, value in settings.as_environment().items():
        monkeypatch.setenv(name, value)
    assert Settings.load() == settings


def test_a_misspelt_variable_is_reported(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("WFP_WORKER", "3")
    monkeypatch.setenv("WFP_SOMETHING_ELSE", "3")
    with caplog.at_level(logging.WARNING):
        Settings.load()
    assert [(record.__dict__["variable"], record.__dict__["did_you_mean"]) for record in caplog.records] == [
        ("WFP_WORKER", "WFP_WORKERS")
    ]


def test_settings_do_not_change() -> None:
    settings = Settings.load()
    with pytest.raises(ValueError, match="frozen"):
        settings.workers = 9
