"""Tokens: made from one key that never leaves the data directory, compared in constant time.

A job's token is derived (HMAC-SHA256 of its id), so none is stored and a restart forgets none. A
runner's token is random; the database has its hash.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path

_KEY_BYTES = 32
_CREATED, _REGISTERED = "glrt-", "glrtr-"


class TokenMaker:
    """Makes and checks the tokens of one coordinator."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def job_token(self, job_id: int) -> str:
        """Return a job's token."""
        digest = hmac.digest(self._key, f"job:{job_id}".encode(), "sha256")
        return f"glcbt-{base64.urlsafe_b64encode(digest[:24]).decode()}"

    def is_job_token(self, job_id: int, token: str) -> bool:
        """Whether ``token`` is the job's."""
        return same(self.job_token(job_id), token)


def same(left: str, right: str) -> bool:
    """Compare without telling by time where they differ."""
    return hmac.compare_digest(left.encode(), right.encode())


def hashed(token: str) -> str:
    """Return what is kept of a runner token: its hash, after the prefix of a registered runner's."""
    digest = hashlib.sha256(token.encode()).hexdigest()
    return f"{_REGISTERED}{digest}" if token.startswith(_REGISTERED) else digest


def is_of_registered(kept: str) -> bool:
    """Whether what is kept of a token is of a runner that came with a registration token."""
    return kept.startswith(_REGISTERED)


def new_runner_token(*, registered: bool = False) -> str:
    """Return a fresh runner token.

    By its prefix a runner knows that unregistering removes it (``registered``) and not one of its
    managers, as in GitLab.
    """
    return f"{_REGISTERED if registered else _CREATED}{secrets.token_urlsafe(20)}"


def secret_file(path: Path, fresh: str) -> str:
    """Return the text of a file that only we can read, written with ``fresh`` if there is none.

    Raises:
        OSError: it cannot be read or written.
    """
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        pass
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{fresh}\n")
    temporary.replace(path)
    return fresh


def new_key() -> str:
    """Return a fresh key for :class:`TokenMaker`, as text."""
    return secrets.token_hex(_KEY_BYTES)
