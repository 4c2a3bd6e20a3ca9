"""Change ``config.toml`` and leave everything else in it as its user wrote it: comments, order, blanks.

The file has mode 0600 and its directory 0700, as with GitLab Runner; it is replaced in one step, so
that a reader never sees half of it.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Table

from podlane.kit.errors import UsageError
from podlane.kit.jsonvalue import JsonObject

# What GitLab Runner writes into a new file.
_FRESH = """\
concurrent = 1
check_interval = 0
shutdown_timeout = 0
"""
# How GitLab Runner begins an entry.
_HEAD = ("name", "url", "id", "token", "token_obtained_at", "token_expires_at", "executor")
_REPLACE_IN_PLACE = frozenset({errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerToken:
    """What a coordinator gives out. Times in seconds since the epoch; ``expires_at`` None: never."""

    token: str
    id: int = 0
    obtained_at: float = 0.0
    expires_at: float | None = None


class ConfigEdit:
    """The file's content, to be changed and saved."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        try:
            self._document = tomlkit.parse(text)
        except TOMLKitError as error:
            raise UsageError(f"cannot change {path}: {error}", hint="mend its syntax") from error

    @classmethod
    def open(cls, path: Path) -> ConfigEdit:
        """Read the file; where there is none, begin with what GitLab Runner begins with.

        Raises:
            UsageError: it cannot be read, or is no TOML.
        """
        try:
            return cls(path, path.read_text())
        except FileNotFoundError:
            return cls(path, _FRESH)
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read {path}: {error}") from error

    def text(self) -> str:
        """Return the file as it would be saved."""
        return tomlkit.dumps(self._document)

    def add(self, entry: JsonObject, given: RunnerToken | None = None) -> None:
        """Append a ``[[runners]]`` entry, with the token that it was given."""
        table = _table(entry, {} if given is None else token_fields(given))
        runners = self._document.get("runners")
        if not isinstance(runners, AoT):
            self._document.pop("runners", None)
            runners = tomlkit.aot()
            self._document.add(tomlkit.nl())
            self._document.append("runners", runners)
        runners.append(table)

    def remove(self, index: int) -> None:
        """Remove the entry at ``index``, counted from 0."""
        runners = self._document.get("runners")
        if isinstance(runners, AoT):
            del runners[index]
            if not runners:
                del self._document["runners"]

    def renew(self, index: int, old: str, given: RunnerToken) -> None:
        """Write the new token of the runner at ``index``, whose token was ``old``.

        The file may have changed meanwhile; then the runner is found by its old token.

        Raises:
            UsageError: the runner is not there any more.
        """
        runners = self._document.get("runners")
        tables: list[Table] = list(runners) if isinstance(runners, AoT) else []
        found = [table for table in tables[index : index + 1] if _has_token(table, old)]
        found += [table for table in tables if table.get("token") == old]
        if not found:
            raise UsageError(
                f"{self._path} has the runner no more whose token was renewed",
                hint="register it again, or leave the file alone while tokens are renewed",
            )
        found[0].update(token_fields(given))

    def save(self) -> None:
        """Write the file.

        Raises:
            UsageError: it cannot be written.
        """
        try:
            write_private(self._path.resolve(), self.text())
        except OSError as error:
            raise UsageError(
                f"cannot write {self._path}: {error.strerror}",
                hint="make the file and its directory writable for this user",
            ) from error


def _has_token(table: Table, token: str) -> bool:
    """Whether the table has this token, as text or by a variable of the environment."""
    written = str(table.get("token", ""))
    return written == token or "$" in written


def token_fields(given: RunnerToken) -> dict[str, str | int | datetime]:
    """Return the keys that describe a token, with the types that GitLab Runner writes."""
    fields: dict[str, str | int | datetime] = {"id": given.id} if given.id else {}
    expires = datetime.min.replace(tzinfo=UTC)  # GitLab Runner's "never"
    if given.expires_at is not None:
        expires = datetime.fromtimestamp(int(given.expires_at), UTC)
    return {
        **fields,
        "token": given.token,
        "token_obtained_at": datetime.fromtimestamp(int(given.obtained_at), UTC),
        "token_expires_at": expires,
    }


def is_writable(path: Path) -> bool:
    """Whether :meth:`ConfigEdit.save` would succeed as far as permissions go."""
    target = path.resolve()
    return os.access(target, os.W_OK) if target.exists() else os.access(target.parent, os.W_OK)


def write_private(target: Path, text: str) -> None:
    """Replace ``target`` in one step where that is possible; its owner stays.

    A file that is mounted into a container cannot be replaced, so it is overwritten.

    Raises:
        OSError: it cannot be written.
    """
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with _removed_on_error(fresh):
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            _keep_owner(target, fresh)
            fresh.replace(target)
    except OSError as error:
        if error.errno not in _REPLACE_IN_PLACE or not target.exists():
            raise
        target.write_text(text)


def _keep_owner(target: Path, fresh: Path) -> None:
    with contextlib.suppress(FileNotFoundError, PermissionError):
        status = target.stat()
        os.chown(fresh, status.st_uid, status.st_gid)


@contextlib.contextmanager
def _removed_on_error(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _table(entry: JsonObject, extra: Mapping[str, str | int | datetime] | None = None) -> Table:
    """Return a TOML table: values before tables, as the format wants it."""
    table = tomlkit.table()
    plain = {key: value for key, value in entry.items() if not isinstance(value, dict)}
    scalars = {**plain, **(extra or {})}
    for key in dict.fromkeys([*_HEAD, *scalars]):
        if key in scalars:
            table.add(key, tomlkit.item(scalars[key]))
    for key, value in entry.items():
        if isinstance(value, dict):
            table.add(key, _table(value))
    return table
