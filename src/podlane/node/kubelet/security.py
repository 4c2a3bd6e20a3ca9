"""Who a container runs as and what it may do: pod, container and image put together. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection

from podlane.node.images.users import ResolvedUser
from podlane.node.kubelet.env import ConfigError
from podlane.node.kubelet.podspec import Container, Pod
from podlane.node.runtime.bundle import (
    ALL_CAPABILITIES,
    DEFAULT_CAPABILITIES,
    Device,
    Security,
    User,
)


def container_user(
    pod: Pod, container: Container, image_user: str, lookup: Callable[[str], ResolvedUser]
) -> tuple[User, ResolvedUser]:
    """Return the user, and the account it comes from. ``lookup`` reads the image's passwd and group.

    Raises:
        ConfigError: ``runAsNonRoot`` and the user is root, or cannot be told.
    """
    of_pod, own = pod.spec.security_context, container.security_context
    uid = own.run_as_user if own.run_as_user is not None else of_pod.run_as_user
    gid = own.run_as_group if own.run_as_group is not None else of_pod.run_as_group
    non_root = own.run_as_non_root if own.run_as_non_root is not None else of_pod.run_as_non_root
    if non_root:
        _check_non_root(pod, container, uid, image_user)
    account = lookup(str(uid) if uid is not None else image_user)
    groups = [*account.supplementary, *of_pod.supplemental_groups]
    if of_pod.fs_group is not None:
        groups.append(of_pod.fs_group)
    user = User(
        uid=account.uid,
        gid=account.gid if gid is None else gid,
        groups=tuple(dict.fromkeys(groups)),
    )
    return user, account


def container_security(
    container: Container, devices: tuple[Device, ...], available: Collection[str]
) -> Security:
    """Return what the process may do; ``devices`` are the machine's, for a privileged one.

    ``available``: the capabilities that exist for us; nobody can give what he does not have.
    """
    context = container.security_context
    added = [_capability(name) for name in context.capabilities.add]
    dropped = {_capability(name) for name in context.capabilities.drop}
    base: tuple[str, ...] = () if "CAP_ALL" in dropped else DEFAULT_CAPABILITIES
    if "CAP_ALL" in added or context.privileged:
        base = ALL_CAPABILITIES
    kept = [name for name in base if name not in dropped or context.privileged]
    kept += [name for name in added if name not in kept and name in ALL_CAPABILITIES]
    return Security(
        capabilities=tuple(name for name in kept if name in available),
        privileged=context.privileged,
        no_new_privileges=context.allow_privilege_escalation is False,
        read_only_root=context.read_only_root_filesystem,
        devices=devices if context.privileged else (),
    )


def _check_non_root(pod: Pod, container: Container, uid: int | None, image_user: str) -> None:
    where = f'(pod: "{pod.description}", container: {container.name})'
    name = image_user.partition(":")[0]
    if uid == 0:
        raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
    if uid is not None:
        return
    if name in {"", "0"}:
        raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")
    if not name.isdigit():
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({name}), "
            f"cannot verify user is non-root {where}"
        )


def _capability(name: str) -> str:
    name = name.upper()
    return name if name.startswith("CAP_") else f"CAP_{name}"
