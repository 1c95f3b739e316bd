"""The certificates of the embedded cluster, made at its first start: whoever holds them is let in, and nobody else.

Any account of a machine can reach its loopback interface, and whoever may talk to a Dask scheduler runs code as its owner.
Refuses: keeping the key of the authority. Nothing more can ever be signed; new certificates come from a new one.
"""

from __future__ import annotations

import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from wfplatform.errors import PlatformError
from wfplatform.executors.certificate_files import AUTHORITY, CERTIFICATE, KEY

__all__ = ["ensure_certificates"]

VALID: Final = timedelta(days=20 * 365)
RENEW_AFTER: Final = timedelta(days=365)
"""A start finds certificates that are older than this and makes others."""
CLOCK_SLACK: Final = timedelta(days=1)


def ensure_certificates(folder: Path) -> None:
    """Make the certificates unless they are there. Call it only while no supervisor runs: what uses the old ones is then gone.

    Args:
        folder: where they lie; made, closed to other accounts.

    Raises:
        PlatformError: they cannot be written.
    """
    try:
        if _stand(folder):
            return
        new = folder.with_name(f"{folder.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        for name, pem in _made().items():
            with os.fdopen(os.open(new / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(pem)
        # Killed between these two, the next start finds none and makes them again.
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    except OSError as error:
        raise PlatformError(
            "certificates_failed",
            f"The certificates of the cluster cannot be made in {folder}: {error.strerror or error}.",
            "Check space and permissions of the folder.",
            folder=str(folder),
        ) from error


def _stand(folder: Path) -> bool:
    files = [folder / name for name in (AUTHORITY, CERTIFICATE, KEY)]
    if not all(file.is_file() and file.stat().st_size for file in files):
        return False
    if any(file.stat().st_mode & 0o077 for file in files):
        # Somebody may have read the key.
        return False
    return time.time() - files[-1].stat().st_mtime < RENEW_AFTER.total_seconds()


def _made() -> dict[str, bytes]:
    """File name -> content: an authority, and one certificate signed by it that each of the cluster's processes shows."""
    # Loading takes longer than making; a start that finds its certificates does without.
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # noqa: PLC0415

    def name(common: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])

    def usage(*, signs: bool) -> x509.KeyUsage:
        return x509.KeyUsage(
            digital_signature=not signs, key_cert_sign=signs, crl_sign=signs, content_commitment=False,
            key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
        )  # fmt: skip

    now = datetime.now(UTC)
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority_name = name("wfplatform cluster authority")

    def unsigned(subject: x509.Name, public: ec.EllipticCurvePublicKey, *, signs: bool) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(authority_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCK_SLACK)
            .not_valid_after(now + VALID)
            .add_extension(x509.BasicConstraints(ca=signs, path_length=0 if signs else None), critical=True)
            .add_extension(usage(signs=signs), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
        )

    authority = unsigned(authority_name, authority_key.public_key(), signs=True).sign(authority_key, hashes.SHA256())
    both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    certificate = (
        unsigned(name("wfplatform cluster"), key.public_key(), signs=False)
        .add_extension(both, critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    return {
        AUTHORITY: authority.public_bytes(serialization.Encoding.PEM),
        CERTIFICATE: certificate.public_bytes(serialization.Encoding.PEM),
        KEY: key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    }
