"""The platform in the hands of a command: found or started, told so where somebody waits, let go at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from wfplatform.cli.screen import Screen

if TYPE_CHECKING:
    from wfplatform.bootstrap.platform import EmbeddedPlatform

__all__ = ["connected"]


@contextmanager
def connected(screen: Screen) -> Iterator[EmbeddedPlatform]:
    """The platform of the settings; started if it does not run, as `workflow.run()` does.

    Raises:
        PlatformError: it cannot be started or reached.
        SettingsError: the settings do not fit.
    """
    from wfplatform.settings import Settings

    settings = Settings.load()
    waiting = screen.err.status(f"Connecting to the platform in {settings.home} …") if screen.is_live else nullcontext()
    with waiting:
        # Here, for loading it is most of the wait.
        from wfplatform.bootstrap.platform import EmbeddedPlatform

        platform = EmbeddedPlatform(settings)
    try:
        yield platform
    finally:
        platform.close()
