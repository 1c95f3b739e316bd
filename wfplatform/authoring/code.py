"""Code on its way: what a worker needs to run the functions of a workflow, as bytes.

Refuses to load any of it; that is `worker.program`. API, engine and scheduler only carry these bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import msgpack

from wfplatform.errors import TravelError

__all__ = ["ByReference", "ByValue", "Code", "FunctionEntry", "Listing"]

_FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ByReference:
    """A function that is found by importing its module.

    Args:
        digest: what the function does, with the helpers it reaches; None if that cannot be told.
        reason: why it cannot be told, else empty.
    """

    module: str
    qualname: str
    digest: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ByValue:
    """A function that travels itself, for nobody else can import it.

    Args:
        pickle: bytes of cloudpickle.
        digest: what the function does, with the helpers it reaches; None if that cannot be told.
        reason: why it cannot be told, else empty.
    """

    pickle: bytes
    digest: str | None = None
    reason: str = ""


type FunctionEntry = ByReference | ByValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Source lines of functions that travel by value, so that their tracebacks can show them.

    Args:
        file: the file name that the functions' code carries.
        blocks: (number of the first line, text) each.
        shown: what the user knows the file by, if that is something else: the cell of a notebook.
    """

    file: str
    blocks: tuple[tuple[int, str], ...]
    shown: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """Everything that the functions of one workflow need on a worker, apart from installed packages.

    Args:
        digest: SHA-256 over the content; the same in every process and on every machine.
        python: version of the Python that packed it, as `3.13`.
        functions: function key -> how to get it.
        sources: path relative to an import root (`pkg/mod.py`) -> content of a file of the user's project.
        sources_digest: over `sources` alone.
        constants: digest -> bytes of cloudpickle.
        parameter_types: parameter -> bytes of cloudpickle.
        requirements: distribution -> version that was installed when it was packed; `Python` -> `python`, if there are
            pickles among all this, which no other Python opens.
        listings: source lines of functions by value.
        origins: path in `sources` -> where that file was when it was packed; not part of the digest.
        environment: what nodes declare of their environment, as it was where it was packed: package -> version,
            `$VARIABLE` -> digest of its value.
    """

    digest: str
    python: str
    functions: Mapping[str, FunctionEntry]
    sources: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))
    sources_digest: str = ""
    constants: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))
    parameter_types: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))
    requirements: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    listings: tuple[Listing, ...] = ()
    origins: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def to_bytes(self) -> bytes:
        """As MessagePack.

        Returns:
            bytes that `from_bytes` reads. Packs of one digest may differ in bytes: a pickle is not canonical.
        """
        functions = {
            key: {
                "module": entry.module,
                "qualname": entry.qualname,
                "digest": entry.digest,
                "reason": entry.reason,
            }
            if isinstance(entry, ByReference)
            else {"pickle": entry.pickle, "digest": entry.digest, "reason": entry.reason}
            for key, entry in self.functions.items()
        }
        return bytes(
            msgpack.packb(
                {
                    "format": _FORMAT,
                    "digest": self.digest,
                    "python": self.python,
                    "functions": functions,
                    "sources": dict(self.sources),
                    "sources_digest": self.sources_digest,
                    "constants": dict(self.constants),
                    "parameter_types": dict(self.parameter_types),
                    "requirements": dict(self.requirements),
                    "listings": [
                        [listing.file, [list(block) for block in listing.blocks], listing.shown]
                        for listing in self.listings
                    ],
                    "origins": dict(self.origins),
                    "environment": dict(self.environment),
                },
                use_bin_type=True,
            )
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> Code:
        """Read what `to_bytes` wrote. Nothing is unpickled or imported.

        Args:
            content: MessagePack.

        Returns:
            the code.

        Raises:
            TravelError: `not_code`: the bytes are something else; `code_format`: another release wrote them.
        """
        try:
            fields: dict[str, Any] = msgpack.unpackb(content, raw=False, strict_map_key=True)
            version = fields["format"]
        except Exception as error:
            raise TravelError(
                "not_code",
                f"Expected the packed code of a workflow, got {len(content)} other bytes.",
                "Register the workflow again.",
            ) from error
        if version != _FORMAT:
            raise TravelError(
                "code_format",
                f"The code was packed in format {version!r}; this release reads format {_FORMAT}.",
                "Run the release of wfplatform that registered the workflow, or register it again.",
            )
        return cls(
            digest=fields["digest"],
            python=fields["python"],
            functions={
                key: ByValue(**entry) if "pickle" in entry else ByReference(**entry)
                for key, entry in fields["functions"].items()
            },
            sources=fields["sources"],
            sources_digest=fields["sources_digest"],
            constants=fields["constants"],
            parameter_types=fields["parameter_types"],
            requirements=fields["requirements"],
            listings=tuple(
                Listing(file=file, blocks=tuple((line, text) for line, text in blocks), shown="".join(shown))
                for file, blocks, *shown in fields["listings"]
            ),
            environment=fields.get("environment", {}),
            origins=fields.get("origins", {}),  # neither of these two changes the digest: older packs lack them
        )
