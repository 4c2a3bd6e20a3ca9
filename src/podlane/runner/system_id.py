"""Who this machine is, and how a token is shown (runner-protocol 3.2)."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
from pathlib import Path

_VALID = re.compile(r"[sr]_[0-9a-zA-Z]{12}")
_PREFIX = re.compile(r"glrt-(?:t[123]_)?|t[123]_|glrtr-|glcbt-|GR[0-9A-Fa-f]{7}")
_MACHINE_ID_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
FILE_NAME = ".runner_system_id"
SHORT_TOKEN_LENGTH = 9


def short_token(token: str) -> str:
    """Return the part of a runner token that may be shown: paths, labels, logs."""
    match = _PREFIX.match(token)
    return token[match.end() if match else 0 :][:SHORT_TOKEN_LENGTH]


def from_machine_id(machine_id: str) -> str:
    """Return the system id that GitLab Runner derives from this machine id."""
    digest = hmac.new(machine_id.encode(), b"gitlab-runner", hashlib.sha256).hexdigest()
    return f"s_{digest[:12]}"


def load(directory: Path | None, *, machine_id_files: tuple[Path, ...] = _MACHINE_ID_FILES) -> str:
    """Return the system id of ``directory``'s configuration, and keep it there when it is new."""
    file = directory / FILE_NAME if directory is not None else None
    kept = _read(file) if file is not None else ""
    if _VALID.fullmatch(kept):
        return kept
    machine_id = next(filter(None, map(_read, machine_id_files)), "")
    made = from_machine_id(machine_id) if machine_id else _random()
    if file is not None:
        try:
            file.touch(mode=0o600)
            file.write_text(made)
        except OSError:
            return made  # a read-only configuration directory: a new id next time, as documented
    return made


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _random() -> str:
    alphabet = string.ascii_letters + string.digits
    return "r_" + "".join(secrets.choice(alphabet) for _ in range(12))
