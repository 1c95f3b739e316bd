"""What nodes declare of their environment, as it is in this process: versions of packages, digests of variables.

Refuses packages that are not installed. Values of variables are not written down, for they may be secrets.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterable

from wfplatform.core.canonical import digest
from wfplatform.core.policy import Cache
from wfplatform.errors import TravelError

__all__ = ["declared_environment"]


def declared_environment(caches: Iterable[Cache]) -> dict[str, str]:
    """Name -> what it is here, of all that caches declare.

    Returns:
        package -> version; `$VARIABLE` -> a digest of its value, or empty where it is not set.

    Raises:
        TravelError: code `package_missing`; a package that is declared is not installed.
    """
    found: dict[str, str] = {}
    for cache in caches:
        for package in cache.packages:
            found[package] = _version(package)
        for variable in cache.variables:
            value = os.environ.get(variable)
            found[f"${variable}"] = (
                "" if value is None else digest(f"{variable}={value}".encode("utf-8", "surrogateescape"))
            )
    return found


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise TravelError(
            "package_missing",
            f"Cache(packages=...) names {package!r}, and no distribution is installed under that name.",
            "Give the name by which it is installed, such as scikit-learn, not that of its module.",
            package=package,
        ) from error
