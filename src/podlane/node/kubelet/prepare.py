"""Pod, container and image put together to a bundle on disk. Blocks: call it in a thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from podlane.kit.errors import PermanentError
from podlane.kit.jsonvalue import JsonObject, obj
from podlane.node.images.config import StoredImage
from podlane.node.images.users import resolve_user
from podlane.node.kubelet import env, security, sync
from podlane.node.kubelet.env import ConfigError, PodContext
from podlane.node.kubelet.node import Node
from podlane.node.kubelet.podspec import Container
from podlane.node.kubelet.sandbox import Sandbox
from podlane.node.kubelet.volumes import container_binds
from podlane.node.runtime.bundle import DEFAULT_PATH, TTY_GROUP, Bind, Bundle, User, config_json
from podlane.node.runtime.cgroups import Layout
from podlane.node.runtime.mounts import mount_rootfs


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a container is going to run."""

    node: Node
    context: PodContext
    sandbox: Sandbox
    volumes: Mapping[str, Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A bundle that is ready to be run."""

    directory: Path
    cgroup: str | None
    termination_file: Path
    process: JsonObject


def prepare(place: Place, container: Container, image: StoredImage, run: int) -> Prepared:
    """Write the bundle of one run.

    Raises:
        ConfigError: the pod asks for what is not there, or is not allowed.
        OSError: the machine does not let us.
    """
    bundle = describe(place, container, image, run)
    directory = place.sandbox.directory / f"{container.name}-{run}"
    directory.mkdir(mode=0o700)
    termination_file = directory / "termination-log"
    termination_file.touch()
    termination_file.chmod(0o666)
    mount_rootfs(image.layers, directory)
    config = config_json(bundle)
    (directory / "config.json").write_bytes(msgspec.json.encode(config))
    return Prepared(
        directory=directory,
        cgroup=bundle.cgroup,
        termination_file=termination_file,
        process=obj(config, "process"),
    )


def describe(place: Place, container: Container, image: StoredImage, run: int) -> Bundle:
    """Return the bundle of one run.

    Raises:
        ConfigError: the pod asks for what is not there, or is not allowed.
    """
    pod, node, sandbox = place.context.pod, place.node, place.sandbox
    variables = env.environment(place.context, container)
    try:
        user, account = security.container_user(
            pod, container, image.config.user, lambda name: resolve_user(image, name)
        )
    except PermanentError as error:
        raise ConfigError(error.message, hint=error.hint) from error
    _check_ids(user, node.max_uid)
    command = sync.command_line(container, image.config.entrypoint, image.config.cmd)
    if not command:
        raise ConfigError("no command specified: neither the pod nor the image has one")
    directory = sandbox.directory / f"{container.name}-{run}"
    own = container_binds(container, place.volumes, variables, pod.spec)
    message = Bind(
        source=str(directory / "termination-log"), target=container.termination_message_path
    )
    taken = {bind.target for bind in own}
    shared = [bind for bind in (*sandbox.binds(), message) if bind.target not in taken]
    cgroup = None if sandbox.cgroup is None else f"{sandbox.cgroup}/{container.name}-{run}"
    return Bundle(
        rootfs=str(directory / "rootfs"),
        args=tuple(env.expand(word, variables) for word in command),
        env=_environment(image, sandbox.hostname, account.home, container, variables),
        cwd=container.working_dir or image.config.working_dir or "/",
        user=user,
        terminal=container.tty,
        has_tty_group=node.max_uid >= TTY_GROUP,
        binds=(*shared, *own),
        namespaces=sandbox.network.namespaces.paths,
        cgroup=cgroup,
        is_unified=node.cgroups.layout is Layout.V2,
        limits=sync.limits(container, pod.spec),
        security=security.container_security(container, node.devices, node.capabilities),
        oom_score_adj=sync.oom_score_adj(container, pod.spec, node.memory_bytes),
    )


def _check_ids(user: User, highest: int) -> None:
    beyond = [number for number in (user.uid, user.gid, *user.groups) if number > highest]
    if beyond:
        raise ConfigError(
            f"the user or group {beyond[0]} cannot exist on this node: it runs without root and "
            f"has the ids 0 to {highest}; add a larger range to /etc/subuid and /etc/subgid"
        )


def _environment(
    image: StoredImage,
    hostname: str,
    home: str,
    container: Container,
    variables: Mapping[str, str],
) -> tuple[str, ...]:
    path = dict([DEFAULT_PATH.split("=", 1)])
    merged = {**path, **image.config.variables, "HOSTNAME": hostname}
    if container.tty:
        merged.setdefault("TERM", "xterm")
    merged |= variables
    merged.setdefault("HOME", home or "/")
    return tuple(f"{name}={value}" for name, value in merged.items())
