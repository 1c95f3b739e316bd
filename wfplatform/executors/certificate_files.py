"""How the files of a cluster's certificates are called, for those who make them and those who read them."""

from __future__ import annotations

from typing import Final

__all__ = ["AUTHORITY", "CERTIFICATE", "KEY"]

AUTHORITY: Final = "authority.pem"
"""The certificate by which the others are judged."""
CERTIFICATE: Final = "certificate.pem"
"""What each process shows."""
KEY: Final = "key.pem"
"""The private key of that certificate."""
