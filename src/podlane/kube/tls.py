"""One TLS context for a server: its CA from the kubeconfig, our certificate if we have one."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

import anyio.to_thread

from podlane.kube.access import Access
from podlane.kube.credentials import Identity
from podlane.kube.errors import AccessError


class TlsContexts:
    """Makes the context once, and again when a plugin gives another client certificate."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._made: ssl.SSLContext | None = None
        self._for: bytes | None = None

    async def context(self, identity: Identity) -> ssl.SSLContext | bool:
        """Return the context for an identity.

        Raises:
            AccessError: CA or certificate cannot be used.
        """
        if self._access.server.startswith("http://"):
            return True
        if self._made is None or self._for != identity.cert_data:
            self._made = await anyio.to_thread.run_sync(_context, self._access, identity)
            self._for = identity.cert_data
        return self._made


def _context(access: Access, identity: Identity) -> ssl.SSLContext:
    where = f"kubeconfig {access.source}"
    try:
        ca = access.ca_data.decode() if access.ca_data is not None else None
        context = ssl.create_default_context(cadata=ca)
    except (ssl.SSLError, UnicodeDecodeError, ValueError) as error:
        raise AccessError(f"{where}: certificate-authority is not a PEM certificate") from error
    if access.insecure_skip_tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if identity.cert_data is not None:
        if identity.key_data is None:
            raise AccessError(f"{where}: client-certificate without client-key")
        _load_pair(context, identity.cert_data, identity.key_data, where)
    return context


def _load_pair(context: ssl.SSLContext, cert: bytes, key: bytes, where: str) -> None:
    """Load certificate and key; OpenSSL takes them from a file only (0600, gone at once)."""
    with tempfile.TemporaryDirectory(prefix="podlane-") as directory:
        pair = Path(directory, "pair.pem")
        pair.touch(mode=0o600)
        pair.write_bytes(cert + b"\n" + key)
        try:
            context.load_cert_chain(pair)
        except (ssl.SSLError, OSError) as error:
            raise AccessError(f"{where}: client certificate or key cannot be used") from error
