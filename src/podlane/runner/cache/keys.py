"""Cache keys as GitLab Runner makes them, so that existing caches stay valid (runner-protocol 6.5).

A key becomes a part of a path and of an object's name; whatever it says, it stays below its project.
"""

from __future__ import annotations

import hashlib
import posixpath
import re

_SLASH = re.compile(r"%2f|\\", re.IGNORECASE)
_DOT = re.compile(r"%2e", re.IGNORECASE)
PROTECTED_SUFFIX = "-protected"
ARCHIVE = "cache.zip"
_SHARD = 2


class UnusableKeyError(Exception):
    """Nothing is left of the key; the sentence says so."""


def sanitized(raw: str) -> str:
    """Return a key that is a relative path; an empty key stays empty.

    Raises:
        UnusableKeyError: nothing is left.
    """
    if not raw:
        return ""
    text = _DOT.sub(".", _SLASH.sub("/", raw))
    key = _trimmed(text)
    while key != _trimmed(key):  # what was ".. " is ".." without its blank
        key = _trimmed(key)
    if not key:
        raise UnusableKeyError(f"cache key {raw!r} could not be sanitized")
    return key


def _trimmed(text: str) -> str:
    """Return a path without ``.``, ``..`` and blanks at its end; what was only these is dropped."""
    parts = posixpath.normpath(f"/{text}").lstrip("/").split("/")
    while parts:
        parts[-1] = parts[-1].rstrip()
        if parts[-1]:
            break
        parts.pop()
    return "/".join(parts)


def hashed(raw: str) -> str:
    """Return the name of a key under ``FF_HASH_CACHE_KEYS``."""
    return hashlib.sha256(raw.encode()).hexdigest()


def local_file(directory: str, name: str) -> str:
    """Return the local archive of the key ``name`` in the project's cache ``directory``."""
    return posixpath.join(directory, name, ARCHIVE)


def object_name(prefix: str, name: str, *, is_hash: bool) -> str:
    """Return the remote object of the key ``name``; hashes are spread over 256 folders."""
    return posixpath.join(prefix, name[:_SHARD], name) if is_hash else posixpath.join(prefix, name)


def object_prefix(path: str, runner: str, project_id: int) -> str:
    """Return where a project's objects are; ``runner`` is empty for a shared cache."""
    own = f"runner/{runner}" if runner else ""
    return posixpath.join(path.strip("/"), own, f"project/{project_id}").lstrip("/")
