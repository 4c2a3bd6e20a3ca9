"""The volumes of a job's pod, and who mounts them how. Names are GitLab's where it has them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from podlane.kit.jsonvalue import Json, JsonObject

TOOLS_DIR = "/podlane"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDirectories:
    """Where things are in the containers of one job."""

    scripts: str
    logs: str
    builds: str
    tools: str = TOOLS_DIR


def directories(
    logs_base: str, scripts_base: str, builds: str, project_id: int, job_id: int
) -> JobDirectories:
    """Return GitLab's paths; the base directories are at the root unless configured."""
    return JobDirectories(
        scripts=f"{scripts_base.rstrip('/')}/scripts-{project_id}-{job_id}",
        logs=f"{logs_base.rstrip('/')}/logs-{project_id}-{job_id}",
        builds=builds,
    )


def volumes(secret: str, keys: Iterable[str]) -> list[Json]:
    """Return the volumes of the pod; only ``keys`` of the Secret can be read in it."""
    items: list[Json] = [{"key": key, "path": key} for key in keys]
    source: JsonObject = {"secretName": secret, "defaultMode": 0o444, "items": items}
    return [
        {"name": "scripts", "secret": source},
        {"name": "logs", "emptyDir": {}},
        {"name": "tools", "emptyDir": {}},
        {"name": "repo", "emptyDir": {}},
    ]


def init_mounts(where: JobDirectories) -> list[Json]:
    """Return the mounts of ``init-permissions``: the only one that may write the tools."""
    return [
        _mount("scripts", where.scripts, read_only=True),
        _mount("logs", where.logs),
        _mount("tools", where.tools),
    ]


def job_mounts(where: JobDirectories) -> list[Json]:
    """Return the mounts of ``build`` and ``helper``."""
    return [
        _mount("scripts", where.scripts, read_only=True),
        _mount("logs", where.logs),
        _mount("tools", where.tools, read_only=True),
        _mount("repo", where.builds),
    ]


def service_mounts(where: JobDirectories) -> list[Json]:
    """Return the mounts of a service: the project, none of ours."""
    return [_mount("repo", where.builds)]


def _mount(name: str, path: str, *, read_only: bool = False) -> JsonObject:
    mount: JsonObject = {"name": name, "mountPath": path}
    return mount | {"readOnly": True} if read_only else mount
