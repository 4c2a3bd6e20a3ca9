"""The volumes of a job's pod, and who mounts them how. Names are GitLab's where it has them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass

from podlane.executors.kubernetes.settings.volumes import TOOLS_DIR
from podlane.kit.jsonvalue import Json, JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDirectories:
    """Where things are in the containers of one job."""

    scripts: str
    logs: str
    builds: str
    tools: str = TOOLS_DIR


@dataclass(frozen=True, slots=True, kw_only=True)
class UserVolumes:
    """The configured volumes and mounts, as in a pod's spec, and what the trace should warn of."""

    volumes: tuple[JsonObject, ...] = ()
    mounts: tuple[JsonObject, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def tools(self) -> str:
        """The name of our volume of tools; GitLab Runner has none, so "tools" may be taken."""
        taken = any(volume["name"] == "tools" for volume in self.volumes)
        return "podlane-tools" if taken else "tools"

    def has_mount_at(self, path: str) -> bool:
        """Whether one is mounted exactly there."""
        return any(same_path(str(mount["mountPath"]), path) for mount in self.mounts)


NO_VOLUMES = UserVolumes()


def same_path(one: str, other: str) -> bool:
    """Whether two paths in a container are the same place."""
    return posixpath.normpath(one) == posixpath.normpath(other)


def directories(
    logs_base: str, scripts_base: str, builds: str, project_id: int, job_id: int
) -> JobDirectories:
    """Return GitLab's paths; the base directories are at the root unless configured."""
    return JobDirectories(
        scripts=f"{scripts_base.rstrip('/')}/scripts-{project_id}-{job_id}",
        logs=f"{logs_base.rstrip('/')}/logs-{project_id}-{job_id}",
        builds=builds,
    )


def volumes(
    secret: str, keys: Iterable[str], where: JobDirectories, more: UserVolumes = NO_VOLUMES
) -> list[Json]:
    """Return the volumes of the pod; only ``keys`` of the Secret can be read in it."""
    items: list[Json] = [{"key": key, "path": key} for key in keys]
    source: JsonObject = {"secretName": secret, "defaultMode": 0o444, "items": items}
    repo: list[Json] = [] if more.has_mount_at(where.builds) else [{"name": "repo", "emptyDir": {}}]
    return [
        {"name": "scripts", "secret": source},
        {"name": "logs", "emptyDir": {}},
        {"name": more.tools, "emptyDir": {}},
        *more.volumes,
        *repo,
    ]


def init_mounts(where: JobDirectories, more: UserVolumes = NO_VOLUMES) -> list[Json]:
    """Return the mounts of ``init-permissions``: the only one that may write the tools."""
    return [
        _mount("scripts", where.scripts, read_only=True),
        _mount("logs", where.logs),
        _mount(more.tools, where.tools),
        *more.mounts,
    ]


def job_mounts(where: JobDirectories, more: UserVolumes = NO_VOLUMES) -> list[Json]:
    """Return the mounts of ``build`` and ``helper``."""
    return [
        _mount("scripts", where.scripts, read_only=True),
        _mount("logs", where.logs),
        _mount(more.tools, where.tools, read_only=True),
        *service_mounts(where, more),
    ]


def service_mounts(where: JobDirectories, more: UserVolumes = NO_VOLUMES) -> list[Json]:
    """Return the mounts of a service: the project and what is configured, none of ours."""
    repo: list[Json] = [] if more.has_mount_at(where.builds) else [_mount("repo", where.builds)]
    return [*more.mounts, *repo]


def _mount(name: str, path: str, *, read_only: bool = False) -> JsonObject:
    mount: JsonObject = {"name": name, "mountPath": path}
    return mount | {"readOnly": True} if read_only else mount
