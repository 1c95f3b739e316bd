"""The workflow versions an engine has loaded, and their programs in the artifact storage.

Tells apart what will never load from what a service that does not answer keeps from being loaded now.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Final
from uuid import UUID

from wfplatform.authoring.code import Code
from wfplatform.authoring.document import from_document
from wfplatform.compiler.payload import pack_version
from wfplatform.core.graph import Json
from wfplatform.core.ports import StoredVersion, VersionStore
from wfplatform.engine.live import Version
from wfplatform.engine.telling import Telling, telling
from wfplatform.errors import PlatformError, StorageError, WfError

__all__ = ["Versions"]

logger = logging.getLogger(__name__)

_KEPT: Final = 256


class Versions:
    """Loads each version once.

    Args:
        store: where they are published.
        publish: puts a packed version into the artifact storage under its digest, where workers find it.
    """

    def __init__(self, store: VersionStore, publish: Callable[[str, bytes], None]) -> None:
        self._store = store
        self._publish = publish
        self._loaded: OrderedDict[UUID, Version] = OrderedDict()

    def __contains__(self, version_id: object) -> bool:
        return version_id in self._loaded

    def get(self, version_id: UUID, workflow: str = "") -> Version:
        """A version, its program ready for workers.

        Args:
            version_id: which.
            workflow: the name of its workflow, for messages.

        Raises:
            WfError: code `version_unreadable`; it is not there, or cannot be read.
            PlatformError: database or artifact storage do not answer.
        """
        found = self._loaded.get(version_id)
        if found is None:
            try:
                stored = self._store.version(version_id)
            except PlatformError:
                raise
            except Exception as error:
                raise _unreadable(workflow or "that is not known", str(version_id), error) from error
            found = self._load(stored)
        self._loaded.move_to_end(version_id)
        return found

    def named(self, tenant_id: UUID, name: str, digest: Json = None) -> Version:
        """The version of a workflow with this digest, or its current one.

        Raises:
            NotFoundError: there is none.
            WfError, PlatformError: as `get`.
        """
        stored = self._store.find_version(tenant_id, name, str(digest) if digest else None)
        return self._loaded.get(stored.id) or self._load(stored)

    def telling_of(self, version_id: UUID) -> Telling:
        """What of a version is told, be it one that can be run or not; nothing where even that cannot be read.

        Raises:
            PlatformError: the database does not answer.
        """
        found = self._loaded.get(version_id)
        if found is not None:
            return found.telling
        try:
            return telling(self._store.version(version_id), self._store)
        except PlatformError:
            raise
        except Exception as error:  # noqa: BLE001 - a document that is damaged may be so in any way
            logger.warning("hooks are not known", extra={"version": str(version_id), "reason": str(error)})
            return Telling()

    def _load(self, stored: StoredVersion) -> Version:
        told = telling(stored, self._store)
        try:
            definition = from_document(dict(stored.document))
            code = self._store.code(stored.tenant_id, stored.code_digest)
            program = Code.from_bytes(code)
            functions = {key: entry.digest for key, entry in program.functions.items()}
            packed = pack_version(stored.document, code)
        except PlatformError:
            raise
        except Exception as error:
            raise _unreadable(stored.name, f"{stored.number} ({stored.digest[:12]})", error) from error
        self._store_program(stored, packed)
        version = Version(
            stored=stored,
            functions=functions,
            telling=told,
            environment=program.environment,
            definition=definition,
            index={node.id: number for number, node in enumerate(definition.graph.every)},
        )
        self._loaded[stored.id] = version
        if len(self._loaded) > _KEPT:
            self._loaded.popitem(last=False)
        return version

    def _store_program(self, stored: StoredVersion, packed: bytes) -> None:
        try:
            self._publish(stored.digest, packed)
        except PlatformError:
            raise
        except Exception as error:  # whatever a storage raises says nothing against the version
            raise StorageError(
                "program_not_stored",
                f"The program of {stored.name}, version {stored.number}, could not be put into the artifact storage: "
                f"{type(error).__name__}: {error}",
                "See to the artifact storage; it is tried again.",
            ) from error


def _unreadable(workflow: str, version: str, error: Exception) -> WfError:
    reason = error.message if isinstance(error, WfError) else f"{type(error).__name__}: {error}"
    return WfError(
        "version_unreadable",
        f"Version {version} of the workflow {workflow} cannot be read: {reason.rstrip('.')}.",
        "Publish the workflow again and start a new execution. Once the version can be read again, this one can be retried.",
        workflow=workflow,
        version=version,
        reason=reason,
    )
