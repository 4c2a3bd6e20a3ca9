"""The certificates of the node's API: a CA and a server certificate for this machine's loopback.

Made once per data directory by the ``openssl`` command and used by every node there; the CA's key is
thrown away at once, so nothing else can ever be signed by it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import ssl
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from podlane.kit.errors import PermanentError

_DAYS = 820
_RENEW_AFTER_SECONDS = 300 * 24 * 3600
_CONFIG = """\
[req]
distinguished_name = name
prompt = no
[name]
CN = podlane node
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = IP:127.0.0.1, IP:::1, DNS:localhost
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pki:
    """Where the certificates are."""

    ca: Path
    certificate: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        """Return what a server needs."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate, self.key)
        return context


def ensure_pki(directory: Path) -> Pki:
    """Return the certificates below ``directory``, made now if missing or soon too old. Blocks.

    Raises:
        PermanentError: there is no ``openssl`` command, or it failed.
    """
    pki = Pki(
        ca=directory / "ca.crt", certificate=directory / "server.crt", key=directory / "server.key"
    )
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_good(pki):
            _make(directory)
    finally:
        os.close(lock)
    return pki


def _is_good(pki: Pki) -> bool:
    files = (pki.ca, pki.key, pki.certificate)
    if not all(path.is_file() for path in files):
        return False
    age = time.time() - pki.certificate.stat().st_mtime
    return 0 <= age < _RENEW_AFTER_SECONDS


def _make(directory: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        raise PermanentError(
            "the certificate of the node's API cannot be made: there is no openssl command",
            hint="install it, for example with: apt-get install openssl",
        )
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        (Path(scratch) / "config").write_text(_CONFIG, encoding="ascii")
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        base = [openssl, "req", "-config", "config", *new_key]
        days = ["-days", str(_DAYS)]
        _run([*base, "-x509", "-extensions", "ca", *days, "-keyout", "ca.key", "-out", "ca.crt",
              "-subj", "/CN=podlane node CA"], scratch)  # fmt: skip
        _run([*base, "-keyout", "server.key", "-out", "server.csr"], scratch)
        _run([openssl, "x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
              "-set_serial", str(time.time_ns()), "-extfile", "config", "-extensions", "server",
              *days, "-out", "server.crt"], scratch)  # fmt: skip
        for name in ("ca.crt", "server.key", "server.crt"):
            path = Path(scratch) / name
            path.chmod(0o600)
            path.rename(directory / name)


def _run(argv: list[str], directory: str) -> None:
    done = subprocess.run(
        argv, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise PermanentError(
            "the certificate of the node's API cannot be made: "
            f"openssl {argv[1]} said: {said[-1] if said else 'nothing'}"
        )
