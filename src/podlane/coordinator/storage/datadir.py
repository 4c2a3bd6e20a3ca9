"""The data directory: one coordinator at a time, and the secrets that are kept in it. Blocking."""

from __future__ import annotations

import errno
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from podlane.coordinator.storage import tokens
from podlane.coordinator.storage.blobs import Blobs
from podlane.kit.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """The key that others are derived from, and the two tokens that let clients in."""

    key: bytes
    runner_token: str
    admin_token: str


def lock(data_dir: Path) -> int:
    """Return a descriptor that keeps other coordinators out of the data directory.

    Raises:
        UsageError: another one is in it, or it cannot be made.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(data_dir, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise UsageError(
            f"another coordinator uses the data directory {data_dir}",
            hint="stop it, or give this one a directory of its own",
        ) from error
    return descriptor


def prepare(data_dir: Path, blobs: Blobs) -> Secrets:
    """Make what has to be there; return the secrets, which are made at the first start.

    Raises:
        UsageError: a file cannot be read or written, or is damaged.
    """
    try:
        blobs.prepare()
        return Secrets(
            key=bytes.fromhex(tokens.secret_file(data_dir / "key", tokens.new_key())),
            runner_token=tokens.secret_file(data_dir / "runner-token", tokens.new_runner_token()),
            admin_token=tokens.secret_file(data_dir / "admin-token", tokens.new_key()),
        )
    except OSError as error:
        raise _unusable(data_dir, error) from error
    except ValueError as error:
        raise UsageError(
            f"the file {data_dir / 'key'} is damaged", hint="remove it; running jobs are lost"
        ) from error


def _unusable(data_dir: Path, error: OSError) -> UsageError:
    hint = {
        errno.ENOSPC: "free some space, or use another data directory",
        errno.EDQUOT: "free some space, or use another data directory",
        errno.EACCES: "change its permissions, or use another data directory",
        errno.EROFS: "use a data directory on a file system that can be written",
    }.get(error.errno or 0, "use another data directory")
    return UsageError(
        f"cannot use the data directory {data_dir}: {error.strerror or error}", hint=hint
    )
