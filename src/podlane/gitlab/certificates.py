"""The certificates that a server was verified with, for jobs that are to trust it as we do."""

from __future__ import annotations

import ssl
from dataclasses import dataclass


@dataclass(slots=True)
class Chain:
    """PEM, from the server's certificate to a root that this machine trusts; of the last handshake."""

    pem: str = ""


def note_chain(context: ssl.SSLContext) -> Chain:
    """Return where the chain of each handshake with ``context`` is noted from now on."""
    chain = Chain()

    class Noting(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()  # raises until it is complete
            chain.pem = verified_chain(self) or chain.pem

    context.sslobject_class = Noting
    return chain


def verified_chain(tls: ssl.SSLObject) -> str:
    """Return the chain of a finished handshake as PEM, "" where Python does not tell."""
    # Public since Python 3.13; before, the object behind has it.
    behind: object = getattr(tls, "_sslobj", None)
    told: object = getattr(tls, "get_verified_chain", None) or getattr(
        behind, "get_verified_chain", None
    )
    chain: object = told() if callable(told) else None
    return "".join(map(_pem, chain)) if isinstance(chain, list) else ""


def _pem(certificate: object) -> str:
    if isinstance(certificate, bytes):
        return ssl.DER_cert_to_PEM_cert(certificate)
    written: object = getattr(certificate, "public_bytes", None)
    text: object = written() if callable(written) else ""
    return text if isinstance(text, str) else ""
