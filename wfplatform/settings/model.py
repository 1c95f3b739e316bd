"""The settings of the platform: one model, read once. Later wins: conf/base.toml, conf/<WFP_ENV>.toml,
environment `WFP_...`, arguments.

Few on purpose: each has an owner, a unit, a default and a reason. Refuses: silent mistakes. A value that does
not fit, or a name in a file that is no setting, is a `SettingsError` that names all of them at once.
"""

from __future__ import annotations

import difflib
import logging
import os
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from wfplatform.errors import SettingsError
from wfplatform.settings.machine import cpu_count, default_home, machine_memory_bytes

__all__ = ["Settings", "conf_folder"]

PREFIX: Final = "WFP_"
MIN_WORKER_MEMORY_BYTES: Final = 128 * 1024 * 1024
WORKERS_MEMORY_SHARE: Final = 0.75
"""The rest is for PostgreSQL, the engine, the scheduler and the user's own notebook."""

logger = logging.getLogger(__name__)


def conf_folder() -> Path:
    """The folder of the settings files: inside the installed package, else of the checkout."""
    packed = Path(__file__).parents[1] / "conf"
    return packed if packed.is_dir() else Path(__file__).parents[2] / "conf"


def _setting(*, owner: str, unit: str, reason: str, default: Any = ..., shown: str = "", **limits: Any) -> Any:
    """A field whose description says what an operator must know before changing it."""
    told = shown or repr(default)
    return Field(
        **({} if "default_factory" in limits else {"default": default}),
        description=f"Owner: {owner}. Unit: {unit}. Default: {told}. {reason}",
        json_schema_extra={"owner": owner, "unit": unit, "reason": reason},
        validate_default=True,
        **limits,
    )


class Settings(BaseSettings):
    """Everything that can be set. Made with `Settings.load()`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, env_ignore_empty=True)

    env: Literal["development", "staging", "production"] = _setting(
        owner="operator",
        unit="name of a file in conf/",
        default="development",
        reason=(
            "Chooses the second settings file; production refuses what is only good enough for one person's machine."
        ),
    )
    home: Path = _setting(
        owner="supervisor",
        unit="folder",
        default_factory=default_home,
        shown="the user's data folder /wfplatform; for root /var/lib/wfplatform",
        reason="Data of the embedded server, artifacts, logs and sockets lie here; one platform a home.",
    )
    database_url: str = _setting(
        owner="store",
        unit="postgresql:// URL",
        default="",
        reason=("Empty: the platform runs its own PostgreSQL inside the home. Set it to use a server that exists."),
    )
    scheduler_address: str = _setting(
        owner="executors",
        unit="tcp://host:port or tls://host:port",
        default="",
        reason=("Empty: the platform runs its own Dask cluster on this machine. Set it to use a cluster that exists."),
    )
    workers: int = _setting(
        owner="worker",
        unit="processes",
        default_factory=cpu_count,
        shown="the CPUs this process may use",
        reason=("CPU-bound nodes run one at a time in a worker process, so more workers than CPUs gain nothing."),
        ge=1,
        le=1024,
    )
    io_threads: int = _setting(
        owner="worker",
        unit="nodes at once, a worker",
        default=50,
        reason=("async and I/O-marked nodes mostly wait; they share this lane and do not hold up CPU-bound nodes."),
        ge=1,
        le=10_000,
    )
    worker_memory_bytes: int | None = _setting(
        owner="worker",
        unit="bytes a worker",
        default=None,
        reason=(
            "None: an equal share of three quarters of the machine's memory. A worker at 95 "
            "% of it is ended and replaced."
        ),
        ge=MIN_WORKER_MEMORY_BYTES,
    )
    engines: int = _setting(
        owner="engine",
        unit="processes",
        default=1,
        reason=(
            "One drives thousands of executions; a second takes over at once when the first "
            "is lost. 0: they run elsewhere."
        ),
        ge=0,
        le=64,
    )
    idle_stop_s: float = _setting(
        owner="supervisor",
        unit="seconds",
        default=300.0,
        reason=(
            "With no client attached, no open execution and no active schedule for this "
            "long, the platform stops by itself."
        ),
        gt=0,
    )
    lease_s: float = _setting(
        owner="engine",
        unit="seconds",
        default=10.0,
        reason=(
            "How long a lost engine's executions lie still before another takes them; shorter suffers from pauses."
        ),
        ge=1,
        le=600,
    )
    stop_grace_s: float = _setting(
        owner="worker",
        unit="seconds",
        default=5.0,
        reason=(
            "How long a cancelled or timed-out node may clean up before it is interrupted, and again before its "
            "worker process is replaced."
        ),
        ge=0.1,
        le=600,
    )
    execution_timeout_s: float = _setting(
        owner="engine",
        unit="seconds with work on the cluster",
        default=1800.0,
        reason="For executions that set none; waits do not count.",
        gt=0,
    )
    execution_timeout_max_s: float = _setting(
        owner="engine",
        unit="seconds with work on the cluster",
        default=86_400.0,
        reason="The longest timeout an execution may ask for.",
        gt=0,
    )
    artifacts_url: str = _setting(
        owner="artifacts",
        unit="fsspec URL",
        default="",
        shown="home/artifacts",
        reason="Where values are kept; every worker and engine must reach it under the same URL.",
    )
    inline_limit_bytes: int = _setting(
        owner="artifacts",
        unit="bytes",
        default=65_536,
        reason="Smaller JSON values are stored in the database; larger rows slow it down.",
        ge=0,
        le=1_048_576,
    )
    executions_kept_days: float = _setting(
        owner="retention",
        unit="days from their end",
        default=90.0,
        reason=(
            "Older executions go, with all that was recorded of them. Those that are open never do. 0: by age none goes. "
            "Workflows and their versions are kept for ever."
        ),
        ge=0,
        le=36_500,
    )
    executions_kept_per_workflow: int = _setting(
        owner="retention",
        unit="executions that have ended, a workflow",
        default=0,
        reason=(
            "Bounds what a workflow leaves that runs every minute; the oldest go first, none within an hour of its end. "
            "0: any number."
        ),
        ge=0,
    )
    logs_kept_days: float = _setting(
        owner="retention",
        unit="days from the end of the execution",
        default=30.0,
        reason="Lines of logs are most of what grows, and seldom read late. 0: as long as their execution.",
        ge=0,
        le=36_500,
    )
    artifacts_kept_unused_s: float = _setting(
        owner="retention",
        unit="seconds",
        default=86_400.0,
        reason=(
            "How long nobody must have referred to an artifact before it is deleted; longer than an outcome can be on its way "
            "from a worker into the database."
        ),
        ge=60,
    )
    dead_letters_kept_s: float = _setting(
        owner="retention",
        unit="seconds from the failure",
        default=86_400.0,
        reason=(
            "How long what failed for good is listed as a dead letter and can be replayed; its execution's records stay longer."
        ),
        gt=0,
        le=3_155_760_000,
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        owner="telemetry", unit="level", default="info", reason="debug costs time with every node."
    )
    max_concurrent_executions: int = _setting(
        owner="engine",
        unit="executions with work on the cluster, an engine",
        default=1000,
        reason=(
            "Bounds memory of engine and scheduler; the others stay pending. Executions that only wait do not count."
        ),
        ge=1,
    )

    smtp_host: str = _setting(
        owner="nodes",
        unit="host name",
        default="",
        reason="The server by which hooks send mail. Empty: none can be sent. Workers elsewhere take it from their environment.",
    )
    smtp_port: int | None = _setting(
        owner="nodes",
        unit="TCP port",
        default=None,
        reason="None: 587 with starttls, 465 with tls, 25 with none.",
        ge=1,
        le=65_535,
    )
    smtp_security: Literal["starttls", "tls", "none"] = _setting(
        owner="nodes",
        unit="starttls, tls or none",
        default="starttls",
        reason="Without encryption no password is sent.",
    )
    smtp_user: str = _setting(owner="nodes", unit="text", default="", reason="Empty: the server asks for none.")
    smtp_password: str = _setting(
        owner="nodes",
        unit="text",
        default="",
        reason="Set it in the environment, never in a file; it goes to workers only.",
        repr=False,
    )
    smtp_sender: str = _setting(
        owner="nodes",
        unit="mail address",
        default="",
        reason="In whose name mail is sent. Empty: smtp_user, if that is an address.",
    )

    @classmethod
    def load(cls, **arguments: Any) -> Self:
        """Reads files and environment; arguments win.

        Raises:
            SettingsError: a value does not fit or a name is unknown; every such place is named with what was
            expected and what came.
        """
        try:
            settings = cls(**arguments)
        except ValidationError as error:
            lines = [_problem(dict(p), cls) for p in error.errors(include_url=False)]
            raise SettingsError(
                "settings_invalid",
                "The settings do not fit:\n" + "\n".join(f"  {line}" for line in lines),
                f"They come from arguments, the environment ({PREFIX}...) and the files in "
                f"{conf_folder()}, in this order.",
                problems=lines,
            ) from None
        for name in os.environ:
            _warn_of_misspelling(name, [f"{PREFIX}{field.upper()}" for field in cls.model_fields])
        return settings

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The order of sources, strongest first."""
        env = init_settings().get("env") or os.environ.get(f"{PREFIX}ENV") or "development"
        folder = conf_folder()
        files = [folder / "base.toml", folder / f"{env}.toml"]
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=files)

    @property
    def artifacts_location(self) -> str:
        """The URL where artifacts are kept."""
        return self.artifacts_url or (self.home / "artifacts").as_uri()

    @property
    def worker_memory_limit_bytes(self) -> int:
        """The memory limit of one worker."""
        if self.worker_memory_bytes is not None:
            return self.worker_memory_bytes
        return max(MIN_WORKER_MEMORY_BYTES, int(machine_memory_bytes() * WORKERS_MEMORY_SHARE) // self.workers)

    def as_environment(self) -> dict[str, str]:
        """These settings as environment variables: a child process that loads them gets exactly these
        values.
        """
        values = self.model_dump(mode="json")
        return {f"{PREFIX}{name.upper()}": str(value) for name, value in values.items() if value not in (None, "")}

    def for_workers(self) -> dict[str, str]:
        """What of these settings workers are told, as environment variables."""
        return {name: value for name, value in self.as_environment().items() if name.startswith(f"{PREFIX}SMTP_")}

    @field_validator("home", mode="after")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @field_validator("database_url", mode="after")
    @classmethod
    def _postgres_only(cls, url: str) -> str:
        url = (
            url.strip().replace("postgresql+psycopg://", "postgresql://", 1).replace("postgres://", "postgresql://", 1)
        )
        if url and not url.startswith("postgresql://"):
            raise ValueError("expected a URL postgresql://user:password@host:port/database")
        return url

    @field_validator("scheduler_address", mode="after")
    @classmethod
    def _scheduler_url(cls, address: str) -> str:
        if address and not (address.startswith(("tcp://", "tls://")) and address.rpartition(":")[2].isdigit()):
            raise ValueError("expected tcp://host:port or tls://host:port")
        return address

    @model_validator(mode="after")
    def _timeouts_in_order(self) -> Self:
        if self.execution_timeout_s > self.execution_timeout_max_s:
            raise ValueError(
                "execution_timeout_s expected at most execution_timeout_max_s "
                f"({self.execution_timeout_max_s:g}), "
                f"got {self.execution_timeout_s:g}"
            )
        return self


def _problem(problem: dict[str, Any], model: type[Settings]) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not name:
        return message
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, model.model_fields, n=1)
        return f"{name}: is no setting" + (f"; did you mean {near[0]}?" if near else "")
    message = message.replace("Input should be", "expected", 1)
    return f"{name} ({PREFIX}{name.upper()}): {message}, got {_shown(name, problem['input'])}"


def _shown(name: str, value: Any) -> str:
    # A URL may hold a password; an error message goes to screens and logs.
    return {"database_url": "another kind of address", "smtp_password": "another kind of text"}.get(name) or repr(value)


def _warn_of_misspelling(name: str, known: list[str]) -> None:
    if (
        name.startswith(PREFIX)
        and name not in known
        and (near := difflib.get_close_matches(name, known, n=1, cutoff=0.85))
    ):
        logger.warning("environment variable is no setting", extra={"variable": name, "did_you_mean": near[0]})
