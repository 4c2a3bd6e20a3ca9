"""Volumes of a pod, made as a kubelet makes them: modes, groups, the ``..data`` dance of key files."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from podlane.kit.errors import PermanentError
from podlane.kit.jsonvalue import JsonObject
from podlane.kit.names import random_suffix
from podlane.node.kubelet import env, sync
from podlane.node.kubelet.claims import claim_of
from podlane.node.kubelet.env import PodContext
from podlane.node.kubelet.podspec import (
    Container,
    DownwardVolume,
    HostPath,
    KeyToPath,
    PodSpec,
    ProjectedVolume,
    Volume,
    VolumeMount,
)
from podlane.node.runtime.bundle import Bind
from podlane.node.runtime.mounts import check_shared, mount_memory

# ``const perm os.FileMode = 0777`` in the kubelet, which leaves a tmpfs its sticky bit.
_MODE, _MEMORY_MODE = 0o777, 0o1777
_NO_KEY = {
    "configmap": "configmap references non-existent config key",
    "secret": "references non-existent secret key",
}
_PROPAGATIONS = {"HostToContainer": "rslave", "Bidirectional": "rshared"}


class MountError(PermanentError):
    """A volume cannot be made yet: ``FailedMount``; the pod waits."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of a key volume."""

    path: str
    data: bytes
    mode: int


def make_volumes(context: PodContext, directory: Path) -> dict[str, Path]:
    """Make all volumes of a pod below ``directory`` and return where each is.

    Idempotent: what a failed call made is made again.

    Raises:
        MountError: what one is made of is missing, or nobody here can mount it.
    """
    fs_group = context.pod.spec.security_context.fs_group
    if fs_group is not None and fs_group > context.max_id:
        raise MountError(
            f"the group {fs_group} (fsGroup) cannot exist on this node: it runs without root and "
            f"has the ids 0 to {context.max_id}"
        )
    made: dict[str, Path] = {}
    for volume in context.pod.spec.volumes:
        try:
            made[volume.name] = _made(context, volume, directory)
        except (MountError, env.ConfigError, OSError) as error:
            why = f"{error.strerror} ({error.filename})" if isinstance(error, OSError) else error
            raise MountError(
                f'MountVolume.SetUp failed for volume "{volume.name}" : {why}'
            ) from error
    return made


def _made(context: PodContext, volume: Volume, directory: Path) -> Path:
    files = key_files(context, volume)
    if files is None:
        return _directory(context, volume, directory / volume.name)
    sensitive = directory / "memory"
    if volume.config_map is None and volume.downward_api is None and not sensitive.is_dir():
        # Secrets never touch the disk.
        sensitive.mkdir(parents=True, mode=0o700)
        mount_memory(sensitive, mode=0o700)
    parent = sensitive if sensitive.is_dir() else directory
    target, fs_group = parent / volume.name, context.pod.spec.security_context.fs_group
    write_files(target, files, fs_group)
    _open_to(target, _MODE if volume.config_map is not None else _MEMORY_MODE, fs_group)
    return target


def _open_to(target: Path, mode: int, fs_group: int | None) -> None:
    """Give a volume's directory its mode; fsGroup adds the group and setgid."""
    if fs_group is not None:
        os.chown(target, 0, fs_group)
    target.chmod(mode | (stat.S_ISGID if fs_group is not None else 0))


def key_files(context: PodContext, volume: Volume) -> list[File] | None:
    """Return the files of a volume that is made of keys, None for other kinds. Pure.

    Raises:
        MountError: a source that is not optional is missing.
    """
    namespace, sources = context.pod.metadata.namespace, context.sources
    if volume.config_map is not None:
        source = volume.config_map
        found = sources.config_map(namespace, source.name)
        wanted = _Wanted("configmap", source.name, source.items, optional=source.optional)
        return _keys(found, wanted, source.default_mode)
    if volume.secret is not None:
        secret = volume.secret
        found = sources.secret(namespace, secret.secret_name)
        wanted = _Wanted("secret", secret.secret_name, secret.items, optional=secret.optional)
        return _keys(found, wanted, secret.default_mode)
    if volume.projected is not None:
        return _projected(context, volume.projected)
    if volume.downward_api is not None:
        return _downward(context, volume.downward_api, volume.downward_api.default_mode)
    return None


def write_files(target: Path, files: list[File], fs_group: int | None) -> None:
    """Write a key volume: files in a stamped directory, ``..data`` to it, a link per name."""
    target.mkdir(parents=True, exist_ok=True, mode=0o755)
    stamped = target / f"..{random_suffix(10)}"
    stamped.mkdir(mode=0o755)
    for file in files:
        path = _inside(stamped, file.path)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        path.write_bytes(file.data)
        # As the kubelet does: with fsGroup, the group may read what the owner may.
        mode = file.mode | 0o440 if fs_group is not None else file.mode
        path.chmod(mode)
        if fs_group is not None:
            os.chown(path, 0, fs_group)
    link = target / "..data_tmp"
    link.symlink_to(stamped.name)
    link.rename(target / "..data")
    for name in {file.path.split("/")[0] for file in files}:
        if not (target / name).is_symlink():
            (target / name).symlink_to(Path("..data") / name)


def container_binds(
    container: Container, volumes: Mapping[str, Path], variables: Mapping[str, str], pod: PodSpec
) -> tuple[Bind, ...]:
    """Return the mounts of a container.

    Raises:
        env.ConfigError: a mount names no volume of the pod, or its sub-path leads out of it.
        OSError: a mount shall be shared, and the machine does not share what it is of.
    """
    read_only = {
        volume.name
        for volume in pod.volumes
        if volume.persistent_volume_claim is not None and volume.persistent_volume_claim.read_only
    }
    binds = []
    for mount in container.volume_mounts:
        bind = _bind(mount, volumes, variables)
        binds.append(replace(bind, read_only=bind.read_only or mount.name in read_only))
    return tuple(binds)


def _bind(mount: VolumeMount, volumes: Mapping[str, Path], variables: Mapping[str, str]) -> Bind:
    source = volumes.get(mount.name)
    if source is None:
        raise env.ConfigError(f'volume "{mount.name}" of mount {mount.mount_path} not found')
    sub_path = mount.sub_path or env.expand(mount.sub_path_expr, variables)
    if sub_path:
        root = Path(os.path.realpath(source))
        source = Path(os.path.realpath(root / sub_path.lstrip("/")))
        if source != root and root not in source.parents:
            raise env.ConfigError(
                f'failed to prepare subPath for volumeMount "{mount.name}": '
                f"{sub_path} leads out of the volume"
            )
        _make_sub_path(root, source)
    propagation = _PROPAGATIONS.get(mount.mount_propagation, "rprivate")
    check_shared(source, propagation)
    return Bind(
        source=str(source),
        target=mount.mount_path,
        read_only=mount.read_only,
        propagation=propagation,
    )


def _make_sub_path(root: Path, target: Path) -> None:
    """Make what is missing on the way, with the mode of the volume's root (``SafeMakeDir``)."""
    missing = [path for path in (target, *target.parents) if root in path.parents]
    mode = stat.S_IMODE(root.stat().st_mode)
    for path in reversed(missing):
        if not path.exists():
            path.mkdir()
            path.chmod(mode)


def _directory(context: PodContext, volume: Volume, target: Path) -> Path:
    if volume.host_path is not None:
        return _host_path(volume.host_path)
    name = claim_of(context.pod, volume)
    if name:
        return _claim(context, name)
    _check_driver(volume)
    if volume.empty_dir is not None and volume.empty_dir.medium not in ("", "Memory"):
        raise MountError(f'unknown storage medium "{volume.empty_dir.medium}"')
    in_memory = volume.empty_dir is not None and volume.empty_dir.medium == "Memory"
    if not target.is_dir():
        target.mkdir(parents=True)
        if volume.empty_dir is not None and in_memory:
            limit = volume.empty_dir.size_limit
            size = sync.memory_room(context.pod.spec, context.memory_bytes, limit)
            mount_memory(target, size_bytes=size, mode=_MEMORY_MODE)
    fs_group = context.pod.spec.security_context.fs_group
    _open_to(target, _MEMORY_MODE if in_memory else _MODE, fs_group)
    return target


def _claim(context: PodContext, name: str) -> Path:
    """Return the directory of a claim; its content and its mode are its users' affair."""
    target, fs_group = context.claims[name], context.pod.spec.security_context.fs_group
    if fs_group is not None:
        os.chown(target, -1, fs_group)
        target.chmod(stat.S_IMODE(target.stat().st_mode) | 0o070 | stat.S_ISGID)
    return target


def _check_driver(volume: Volume) -> None:
    """Refuse what needs a driver, in the words of a kubelet whose machine lacks it."""
    if volume.csi is not None:
        raise MountError(
            "kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: driver name "
            f"{volume.csi.driver} not found in the list of registered CSI drivers"
        )
    if volume.nfs is not None:
        share = f"{volume.nfs.server}:{volume.nfs.path}"
        raise MountError(
            f"mount failed: mount -t nfs {share}: this node has no NFS client "
            "(/sbin/mount.nfs); bad option; for several filesystems (e.g. nfs, cifs) you might "
            "need a /sbin/mount.<type> helper program"
        )


def _host_path(source: HostPath) -> Path:
    path = Path(source.path)
    if source.type == "DirectoryOrCreate" or (not source.type and not path.exists()):
        # Without a type nothing is checked; containerd makes the directory then.
        path.mkdir(parents=True, exist_ok=True, mode=0o755)
    if source.type == "FileOrCreate":
        path.touch(mode=0o644)
    checks = {
        "Directory": path.is_dir,
        "DirectoryOrCreate": path.is_dir,
        "File": path.is_file,
        "FileOrCreate": path.is_file,
        "Socket": path.is_socket,
        "CharDevice": path.is_char_device,
        "BlockDevice": path.is_block_device,
    }
    if not checks.get(source.type, path.exists)():
        kind = source.type or "path"
        raise MountError(f"hostPath type check failed: {source.path} is not a {kind.lower()}")
    return path


@dataclass(frozen=True, slots=True)
class _Wanted:
    kind: str
    name: str
    items: tuple[KeyToPath, ...]
    optional: bool


def _keys(found: JsonObject | None, wanted: _Wanted, default_mode: int) -> list[File]:
    if found is None:
        if wanted.optional:
            return []
        raise MountError(f'{wanted.kind} "{wanted.name}" not found')
    values = env.contents(found)
    if not wanted.items:
        return [File(key, data, default_mode) for key, data in values.items()]
    files = []
    for item in wanted.items:
        if item.key in values:
            mode = default_mode if item.mode is None else item.mode
            files.append(File(item.path, values[item.key], mode))
        elif not wanted.optional:
            raise MountError(f"{_NO_KEY[wanted.kind]}: {item.key}")
    return files


def _projected(context: PodContext, volume: ProjectedVolume) -> list[File]:
    namespace, files = context.pod.metadata.namespace, list[File]()
    for source in volume.sources:
        if source.config_map is not None:
            part = source.config_map
            found = context.sources.config_map(namespace, part.name)
            wanted = _Wanted("configmap", part.name, part.items, part.optional)
            files += _keys(found, wanted, volume.default_mode)
        if source.secret is not None:
            part = source.secret
            found = context.sources.secret(namespace, part.name)
            wanted = _Wanted("secret", part.name, part.items, part.optional)
            files += _keys(found, wanted, volume.default_mode)
        if source.downward_api is not None:
            files += _downward(context, source.downward_api, volume.default_mode)
    return files


def _downward(context: PodContext, volume: DownwardVolume, default_mode: int) -> list[File]:
    files = []
    for item in volume.items:
        value = ""
        if item.field_ref is not None:
            value = env.field_value(context, item.field_ref)
        elif item.resource_field_ref is not None:
            nobody = Container(name="")
            value = env.resource_value(context, nobody, item.resource_field_ref)
        mode = default_mode if item.mode is None else item.mode
        files.append(File(item.path, value.encode(), mode))
    return files


def _inside(root: Path, relative: str) -> Path:
    parts = Path(relative).parts
    if not parts or ".." in parts or parts[0] == "/":
        raise MountError(f"the path {relative} of a key leads out of its volume")
    return root.joinpath(*parts)
