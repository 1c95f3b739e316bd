"""How the processes of one cluster know each other: TLS 1.3, where both sides show a certificate of the cluster's authority.

Refuses: whatever Dask is configured to trust elsewhere. A folder of certificates stands for one cluster and no other.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from distributed import Security

from wfplatform.executors.certificate_files import AUTHORITY, CERTIFICATE, KEY

__all__ = ["cluster_security"]


def cluster_security(folder: Path | None) -> Security | None:
    """What Dask needs to take part in a cluster.

    Args:
        folder: where the certificates lie; None: the cluster has none of its own.

    Returns:
        for `Client(address, security=...)`, schedulers and workers; None: as Dask is configured here.
    """
    if folder is None:
        return None
    authority, certificate, key = (str(folder / name) for name in (AUTHORITY, CERTIFICATE, KEY))
    return Security(
        require_encryption=True,
        tls_min_version=ssl.TLSVersion.TLSv1_3,
        tls_max_version=None,
        tls_ciphers=None,
        tls_ca_file=authority,
        tls_client_cert=certificate,
        tls_client_key=key,
        tls_scheduler_cert=certificate,
        tls_scheduler_key=key,
        tls_worker_cert=certificate,
        tls_worker_key=key,
    )
