"""Packs the default settings into the wheel as wfplatform/conf; a checkout installed in place reads conf/."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class SettingsHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds conf/ to a wheel that leaves the checkout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before a wheel is built; `version` is "standard" or "editable"."""
        if version != "editable":
            build_data["force_include"]["conf"] = "wfplatform/conf"
