"""The volumes of ``[runners.kubernetes.volumes]`` in the pod of one job. Rules: GitLab Runner's.

Only ``mount_path``, ``sub_path`` and the name of a claim have variables. A path of the node never
has: who writes a job must not choose it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable

from podlane.executors.kubernetes.manifests.volumes import JobDirectories, UserVolumes, same_path
from podlane.executors.kubernetes.refusal import PlanError
from podlane.executors.kubernetes.settings.volumes import (
    Claim,
    Csi,
    EmptyDir,
    Entry,
    HostPath,
    Nfs,
    Volumes,
    mount_problem,
    sub_path_is_inside,
)
from podlane.kit.jsonvalue import Json, JsonObject
from podlane.kit.units import quantity

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_QUANTITY_RULE = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"


def user_volumes(
    volumes: Volumes, expand: Callable[[str], str], where: JobDirectories
) -> UserVolumes:
    """Return the configured volumes of a job. ``expand`` puts in its variables.

    Raises:
        PlanError: with the values of the job, Kubernetes or our own directories do not allow it.
    """
    made: dict[str, JsonObject] = {}
    mounts: list[JsonObject] = []
    for kind, index, entry in volumes.entries():
        which = f"{kind}[{index}]"
        name = _name(which, entry, expand, made)
        mounts.append(_mount(which, name, entry, expand, where))
        made.setdefault(name, {"name": name, **_source(entry, name, is_secret=kind == "secret")})
    _check_places(mounts, where)
    return UserVolumes(
        volumes=tuple(made.values()),
        mounts=tuple(mounts),
        warnings=tuple(filter(None, map(_size_warning, volumes.empty_dir))),
    )


def _check_places(mounts: list[JsonObject], where: JobDirectories) -> None:
    """Refuse what Kubernetes would: two mounts at one path, two volumes of one name."""
    for index, mount in enumerate(mounts):
        path = str(mount["mountPath"])
        for other in mounts[:index]:
            if same_path(path, str(other["mountPath"])):
                raise PlanError(
                    f'the volumes "{other["name"]}" and "{mount["name"]}" are both mounted at {path}',
                    hint="see the variables in [runners.kubernetes.volumes]",
                )
    names = [mount["name"] for mount in mounts]
    if "repo" in names and not any(same_path(str(m["mountPath"]), where.builds) for m in mounts):
        raise PlanError(
            f'a volume called "repo" must be mounted at the builds directory, {where.builds}',
            hint="give it another name in [runners.kubernetes.volumes]",
        )


def _hint(which: str) -> str:
    return f"see {which} in [runners.kubernetes.volumes], and the variables in it"


def _name(
    which: str, entry: Entry, expand: Callable[[str], str], made: dict[str, JsonObject]
) -> str:
    """Return the name of an entry's volume; claims of one name share it."""
    name = expand(entry.name) if isinstance(entry, Claim) else entry.name
    if not _LABEL.fullmatch(name) or name in ("scripts", "logs"):
        raise PlanError(f'"{name}" cannot be the name of a volume', hint=_hint(which))
    if name in made and not (isinstance(entry, Claim) and "persistentVolumeClaim" in made[name]):
        raise PlanError(f'two volumes are called "{name}"', hint=_hint(which))
    return name


def _mount(
    which: str, name: str, entry: Entry, expand: Callable[[str], str], where: JobDirectories
) -> JsonObject:
    path, sub_path = expand(entry.mount_path), expand(entry.sub_path)
    bases = (posixpath.dirname(where.scripts), posixpath.dirname(where.logs))
    problem = mount_problem(path, bases)
    if problem is not None:
        raise PlanError(f'volume "{name}": {problem[0]}', hint=_hint(which))
    if not sub_path_is_inside(sub_path):
        raise PlanError(f'volume "{name}": sub_path "{sub_path}" leads out', hint=_hint(which))
    optional: dict[str, Json] = {
        "subPath": sub_path,
        "readOnly": getattr(entry, "read_only", False),
        "mountPropagation": getattr(entry, "mount_propagation", ""),
    }
    return {
        "name": name,
        "mountPath": path,
        **{key: value for key, value in optional.items() if value},
    }


def _source(entry: Entry, name: str, *, is_secret: bool) -> JsonObject:
    match entry:
        case HostPath():
            return {"hostPath": {"path": entry.host_path or entry.mount_path}}
        case Claim():
            return {"persistentVolumeClaim": {"claimName": name}}
        case EmptyDir():
            return {"emptyDir": _empty_dir(entry)}
        case Csi():
            csi: JsonObject = {"driver": entry.driver, "readOnly": entry.read_only}
            if entry.fs_type:
                csi["fsType"] = entry.fs_type
            if entry.volume_attributes:
                csi["volumeAttributes"] = {**entry.volume_attributes}
            return {"csi": csi}
        case Nfs():
            nfs: JsonObject = {"server": entry.server, "path": entry.path}
            return {"nfs": nfs | ({"readOnly": True} if entry.read_only else {})}
        case _:
            items: list[Json] = [{"key": key, "path": path} for key, path in entry.items.items()]
            chosen: JsonObject = {"items": items} if items else {}
            if is_secret:
                return {"secret": {"secretName": entry.name, **chosen}}
            return {"configMap": {"name": entry.name, **chosen}}


def _empty_dir(entry: EmptyDir) -> JsonObject:
    source: JsonObject = {"medium": entry.medium} if entry.medium else {}
    if entry.size_limit.strip() and quantity(entry.size_limit) is not None:
        source["sizeLimit"] = entry.size_limit.strip()
    return source


def _size_warning(entry: EmptyDir) -> str:
    """Return GitLab Runner's words for a limit that cannot be read; the volume has none then."""
    if not entry.size_limit.strip() or quantity(entry.size_limit) is not None:
        return ""
    return (
        f'invalid limit quantity "{entry.size_limit}" for empty volume "{entry.name}": '
        f"quantities must match the regular expression '{_QUANTITY_RULE}'"
    )
