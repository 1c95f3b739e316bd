"""The composition root: the only place that knows concrete classes, and the processes it starts.

This file loads nothing before it is asked for: the supervisor's process stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wfplatform.bootstrap.platform import EmbeddedPlatform

__all__ = ["default_platform"]


def default_platform() -> EmbeddedPlatform:
    """The platform the settings name, found or started at the first call of this process."""
    from wfplatform.bootstrap.shared import shared_platform  # noqa: PLC0415  # the supervisor never needs it

    return shared_platform()
