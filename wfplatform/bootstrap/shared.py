"""The one platform of a process, made at first use."""

from __future__ import annotations

import os
from functools import cache

from wfplatform.bootstrap.platform import EmbeddedPlatform

__all__ = ["shared_platform"]


def shared_platform() -> EmbeddedPlatform:
    """The platform of this process. A forked child gets one of its own: connections do not survive a fork."""
    return _platform_of(os.getpid())


@cache
def _platform_of(pid: int) -> EmbeddedPlatform:
    del pid
    return EmbeddedPlatform()
