"""The workflow versions an engine has loaded, and their programs in the artifact storage."""

from __future__ import annotations

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

__all__ = ["Versions"]

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

    def get(self, version_id: UUID) -> Version:
        """A version, its program ready for workers."""
        found = self._loaded.get(version_id)
        if found is None:
            found = self._load(self._store.version(version_id))
        self._loaded.move_to_end(version_id)
        return found

    def named(self, tenant_id: UUID, name: str, digest: Json = None) -> Version:
        """The version of a workflow with this digest, or its current one.

        Raises:
            NotFoundError: there is none.
        """
        stored = self._store.find_version(tenant_id, name, str(digest) if digest else None)
        return self._loaded.get(stored.id) or self._load(stored)

    def _load(self, stored: StoredVersion) -> Version:
        definition = from_document(dict(stored.document))
        code = self._store.code(stored.tenant_id, stored.code_digest)
        self._publish(stored.digest, pack_version(stored.document, code))
        version = Version(
            stored=stored,
            functions={key: entry.digest for key, entry in Code.from_bytes(code).functions.items()},
            definition=definition,
            index={node.id: number for number, node in enumerate(definition.graph.nodes)},
        )
        self._loaded[stored.id] = version
        if len(self._loaded) > _KEPT:
            self._loaded.popitem(last=False)
        return version
