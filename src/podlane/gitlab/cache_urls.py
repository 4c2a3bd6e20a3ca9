"""Addresses of caches that a Podlane coordinator keeps: presigned by the job's token, for both sides.

The token itself is not in the address. A signature for ``read`` opens GET and HEAD, one for ``write``
opens PUT; both end with the job.
"""

from __future__ import annotations

import hmac
from urllib.parse import quote

PATH = "/podlane/v1/jobs/{id}/cache/{name:.+}"
SIGNATURE = "x-podlane-signature"
READ, WRITE = "read", "write"


def cache_url(server_url: str, job_id: int, job_token: str, access: str, name: str) -> str:
    """Return the address of the object ``name``; ``access`` is ``read`` or ``write``."""
    signature = _signature(job_id, job_token, access, name)
    path = f"/podlane/v1/jobs/{job_id}/cache/{quote(name)}"
    return f"{server_url.rstrip('/')}{path}?{SIGNATURE}={signature}"


def is_signed(job_id: int, job_token: str, access: str, name: str, signature: str) -> bool:
    """Whether ``signature`` was made with the job's token for just this."""
    wanted = _signature(job_id, job_token, access, name)
    return hmac.compare_digest(wanted.encode(), signature.encode())


def _signature(job_id: int, job_token: str, access: str, name: str) -> str:
    message = f"{access}\n{job_id}\n{name}".encode()
    return hmac.digest(job_token.encode(), message, "sha256").hex()
