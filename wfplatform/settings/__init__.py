"""The settings of the platform, and what of the machine they start from."""

from wfplatform.settings.machine import cpu_count, machine_memory_bytes
from wfplatform.settings.model import Settings, conf_folder

__all__ = ["Settings", "conf_folder", "cpu_count", "machine_memory_bytes"]
