"""``[runners.kubernetes.volumes]``: its tables, and what can be wrong with them before any job."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from podlane.executors.kubernetes.settings.base import Table
from podlane.kit.diagnostics import Diagnostic, Place, Severity
from podlane.kit.units import quantity

TOOLS_DIR = "/podlane"
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_OF_A_JOB = re.compile(r"(scripts|logs)-[0-9]+-[0-9]+")
_PROPAGATIONS = ("None", "HostToContainer", "Bidirectional")
_OURS = ("scripts", "logs")
_READABLE = "write it as Kubernetes does: 512Mi, 1Gi; without a limit the volume may fill the node"


class HostPath(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of ``volumes.host_path``. Without ``host_path`` it is the path of ``mount_path``."""

    name: str = ""
    mount_path: str = ""
    sub_path: str = ""
    read_only: bool = False
    host_path: str = ""
    mount_propagation: str = ""


class Claim(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of ``volumes.pvc``. Several of one name are mounts of one volume."""

    name: str = ""
    mount_path: str = ""
    sub_path: str = ""
    read_only: bool = False
    mount_propagation: str = ""


class KeyVolume(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of ``volumes.config_map`` or ``volumes.secret``. ``items``: key to path."""

    name: str = ""
    mount_path: str = ""
    sub_path: str = ""
    read_only: bool = False
    items: dict[str, str] = msgspec.field(default_factory=dict)


class EmptyDir(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of ``volumes.empty_dir``."""

    name: str = ""
    mount_path: str = ""
    sub_path: str = ""
    medium: str = ""
    size_limit: str = ""
    mount_propagation: str = ""


class Csi(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of ``volumes.csi``."""

    name: str = ""
    mount_path: str = ""
    sub_path: str = ""
    driver: str = ""
    fs_type: str = ""
    read_only: bool = False
    volume_attributes: dict[str, str] = msgspec.field(default_factory=dict)


class Nfs(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of ``volumes.nfs``."""

    name: str = ""
    mount_path: str = ""
    sub_path: str = ""
    server: str = ""
    path: str = ""
    read_only: bool = False


Entry: TypeAlias = HostPath | Claim | KeyVolume | EmptyDir | Csi | Nfs


class Volumes(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``volumes``. Empty: the pods have but our own."""

    host_path: tuple[HostPath, ...] = ()
    pvc: tuple[Claim, ...] = ()
    config_map: tuple[KeyVolume, ...] = ()
    secret: tuple[KeyVolume, ...] = ()
    empty_dir: tuple[EmptyDir, ...] = ()
    csi: tuple[Csi, ...] = ()
    nfs: tuple[Nfs, ...] = ()

    def entries(self) -> Iterator[tuple[str, int, Entry]]:
        """Yield kind, index and table of each entry, in the order of GitLab Runner's mounts."""
        for kind in ("host_path", "secret", "pvc", "config_map", "empty_dir", "csi", "nfs"):
            group: tuple[Entry, ...] = getattr(self, kind)
            for index, entry in enumerate(group):
                yield kind, index, entry


_MUST: dict[type[Entry], tuple[str, ...]] = {
    Csi: ("name", "mount_path", "driver"),
    Nfs: ("name", "mount_path", "server", "path"),
}


def problems(volumes: Volumes, bases: tuple[str, str], place: Place) -> list[Diagnostic]:
    """Return everything that is wrong. ``bases``: ``scripts_base_dir`` and ``logs_base_dir``."""
    findings: list[Diagnostic] = []
    mounted: dict[str, str] = {}
    names: dict[str, str] = {}
    for kind, index, entry in volumes.entries():
        where = f"runners.kubernetes.volumes.{kind}[{index}]"
        for message, hint in _entry_problems(entry, bases):
            findings.append(_error(f"{where}: {message}", place, hint))
        path = posixpath.normpath(entry.mount_path) if entry.mount_path else ""
        if path and path in mounted:
            message = f"{where}: {mounted[path]} is mounted at {entry.mount_path} too"
            findings.append(_error(message, place, "give each volume a mount_path of its own"))
        elif path:
            mounted[path] = where.removeprefix("runners.kubernetes.")
        if entry.name in names and not kind == names[entry.name] == "pvc":
            message = f'{where}: there is a volume called "{entry.name}" already'
            findings.append(_error(message, place, "only several pvc entries may share a name"))
        if entry.name:
            names.setdefault(entry.name, kind)
        if isinstance(entry, EmptyDir) and entry.size_limit.strip():
            findings += _size_problem(entry, where, place)
    return findings


def _error(message: str, place: Place, hint: str | None) -> Diagnostic:
    return Diagnostic(code="setting-value", message=message, place=place, hint=hint)


def _size_problem(entry: EmptyDir, where: str, place: Place) -> list[Diagnostic]:
    size = quantity(entry.size_limit)
    if size is not None and size >= 0:
        return []
    if size is not None:
        message = f'{where}: size_limit "{entry.size_limit}" is less than nothing'
        return [_error(message, place, _READABLE)]
    message = f'{where}: size_limit "{entry.size_limit}" is not a quantity and has no effect'
    return [
        Diagnostic(
            code="setting-value", severity=Severity.WARNING, message=message, place=place,
            hint=_READABLE,
        )
    ]  # fmt: skip


def _entry_problems(entry: Entry, bases: tuple[str, str]) -> Iterator[tuple[str, str | None]]:
    missing = [key for key in _MUST.get(type(entry), ("name", "mount_path"))
               if not getattr(entry, key)]  # fmt: skip
    if missing:
        yield f"{' and '.join(missing)} must be set", None
    if entry.name and "$" not in entry.name and not _LABEL.fullmatch(entry.name):
        yield (
            f'"{entry.name}" cannot be the name of a volume',
            "Kubernetes wants at most 63 lower-case letters, digits and inner dashes",
        )
    if entry.name in _OURS:
        yield f'"{entry.name}" is the name of a volume that every job has', "choose another name"
    if entry.mount_path and "$" not in entry.mount_path:
        problem = mount_problem(entry.mount_path, bases)
        if problem is not None:
            yield problem
    if not sub_path_is_inside(entry.sub_path):
        yield f'sub_path "{entry.sub_path}" leads out of the volume', "write it without / and .."
    propagation: str = getattr(entry, "mount_propagation", "")
    if propagation and propagation not in _PROPAGATIONS:
        hint = f"use one of {', '.join(_PROPAGATIONS)}"
        yield f'"{propagation}" is not a mount propagation', hint
    if isinstance(entry, EmptyDir) and not _is_medium(entry.medium):
        yield f'"{entry.medium}" is not a medium', "write Memory, or nothing for the node's disk"
    if isinstance(entry, HostPath) and entry.host_path and not entry.host_path.startswith("/"):
        yield f'host_path "{entry.host_path}" is not an absolute path', None


def mount_problem(path: str, bases: tuple[str, str]) -> tuple[str, str | None] | None:
    """Return what is wrong with a path that has no variables (any more), and what to change.

    ``bases`` as in :func:`problems`. Scripts and logs in a volume of somebody else would belong to
    root, and what is mounted over them would take their place.
    """
    if not path.startswith("/"):
        return f'mount_path "{path}" is not an absolute path', "begin it with /"
    if ":" in path:
        return f'mount_path "{path}" has a colon, which Kubernetes does not allow', None
    clean = posixpath.normpath("/" + path.lstrip("/"))
    if clean == "/":
        return 'mount_path "/" would hide the whole image', "mount it at a directory of its own"
    if _is_below(clean, TOOLS_DIR):
        return f"mount_path {path} is where the tools of every job are", "choose another path"
    for base, key in zip(bases, ("scripts_base_dir", "logs_base_dir"), strict=True):
        clean_base = posixpath.normpath("/" + base.strip("/"))
        if base.strip("/") and _is_below(clean_base, clean):
            hint = f"mount it elsewhere, or set {key} to another directory"
            return f"mount_path {path} is above {key} {base}", hint
        rest = clean.removeprefix(clean_base.rstrip("/") + "/")
        if rest != clean and _OF_A_JOB.fullmatch(rest.split("/")[0]):
            return f"mount_path {path} is where a job has its scripts or logs", None
    return None


def sub_path_is_inside(path: str) -> bool:
    """Whether a sub-path, which may have variables still, stays in its volume."""
    return not path.startswith("/") and ".." not in path.split("/")


def _is_below(path: str, other: str) -> bool:
    return path == other or path.startswith(other.rstrip("/") + "/")


def _is_medium(medium: str) -> bool:
    return medium in ("", "Memory") or medium.startswith("HugePages")
