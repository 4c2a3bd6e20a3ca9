"""The patches of ``pod_spec`` on a generated pod spec, and what of it they must leave alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from podlane.executors.kubernetes.manifests.volumes import JobDirectories
from podlane.executors.kubernetes.refusal import PlanError
from podlane.executors.kubernetes.settings.podspec import Patch, PatchType
from podlane.kit.jsonvalue import Json, JsonObject, items, obj, objects, text
from podlane.kube import patching
from podlane.kube.errors import ApiError

_GROUPS = ("initContainers", "containers")
_OURS = frozenset({"build", "helper", "init-permissions"})
_OUR_VOLUMES = frozenset({"scripts", "logs", "tools"})
_WAYS: dict[PatchType, Callable[[Json, Json], Json]] = {
    PatchType.STRATEGIC: patching.strategic,
    PatchType.MERGE: patching.merge,
    PatchType.JSON: patching.json_patch,
}
_MOUNT = ("name", "mountPath", "readOnly", "subPath", "subPathExpr")


class PatchMismatchError(PlanError):
    """A patch that cannot be applied to this pod; another job's may have what it wants."""


class PatchDamageError(PlanError):
    """Patches that take from the pod what a job cannot do without."""


def patched(spec: JsonObject, patches: Sequence[Patch], where: JobDirectories) -> JsonObject:
    """Return a generated spec with all patches applied, in their order.

    Raises:
        PatchMismatchError: one does not fit.
        PatchDamageError: no job can run in what they make of the pod; names the first to blame.
    """
    result, blamed = spec, ""
    damage: str | None = None
    for patch in patches:
        result = _applied(result, patch)
        damage = next(_damage(spec, result, where), None)
        blamed = (blamed or patch.label) if damage else ""
    if damage:
        raise PatchDamageError(
            f"{blamed} {damage}",
            hint='use patch_type = "strategic", name what changes and leave the rest out',
        )
    return result


def _applied(spec: JsonObject, patch: Patch) -> JsonObject:
    try:
        return obj(_WAYS[patch.kind](spec, patch.content))
    except ApiError as error:
        why = error.message.removeprefix(patching.REJECTED)
        raise PatchMismatchError(
            f"{patch.label} cannot be applied to the pod of this job: {why}",
            hint='paths begin below the spec of the pod, as in "/nodeSelector"'
            if patch.kind is PatchType.JSON
            else None,
        ) from error


def _damage(before: JsonObject, after: JsonObject, where: JobDirectories) -> Iterator[str]:
    """Yield what a job lacks, as the end of a sentence that begins with the patch."""
    if after.get("restartPolicy") != before.get("restartPolicy"):
        yield f"sets restartPolicy to {after.get('restartPolicy')!r}: a job runs once"
    for group in _GROUPS:
        there = {text(box, "name"): box for box in objects(after, group)}
        for box in objects(before, group):
            name = text(box, "name")
            if name not in there:
                yield f'removes or renames the container "{name}"'
            elif name in _OURS:
                yield from _damaged_container(name, box, there[name])
    yield from _damaged_builds(after, where.builds)
    yield from _damaged_volumes(before, after)
    yield from _damaged_names(before, after)


def _damaged_container(name: str, before: JsonObject, after: JsonObject) -> Iterator[str]:
    for key in ("command", "args", "restartPolicy"):
        if (after.get(key) or None) != (before.get(key) or None):
            yield f'changes {key} of the container "{name}", which runs our supervisor'
    there = [_mount(mount) for mount in objects(after, "volumeMounts")]
    for mount in objects(before, "volumeMounts"):
        if text(mount, "name") in _OUR_VOLUMES and _mount(mount) not in there:
            path = text(mount, "mountPath")
            yield f'takes the mount of {path} from the container "{name}", or changes it'


def _mount(mount: JsonObject) -> list[Json]:
    return [mount.get(key) or None for key in _MOUNT]


def _damaged_builds(after: JsonObject, builds: str) -> Iterator[str]:
    """Yield why build and helper do not share the project: any volume will do, but one for both."""
    shared: list[list[Json]] = []
    for box in objects(after, "containers"):
        if text(box, "name") in ("build", "helper"):
            here = [m for m in objects(box, "volumeMounts") if text(m, "mountPath") == builds]
            shared += [_mount(mount) for mount in here]
            if not here:
                yield f'takes the mount of {builds} from the container "{text(box, "name")}"'
            if any(mount.get("readOnly") for mount in here):
                yield f'makes {builds} read-only in the container "{text(box, "name")}"'
    if any(mount != shared[0] for mount in shared):
        yield f'mounts different volumes at {builds} in the containers "build" and "helper"'


def _damaged_volumes(before: JsonObject, after: JsonObject) -> Iterator[str]:
    there = {text(volume, "name"): volume for volume in objects(after, "volumes")}
    for volume in objects(before, "volumes"):
        name = text(volume, "name")
        if name not in _OUR_VOLUMES:
            continue
        now = there.get(name)
        # How an emptyDir is made may change, where the scripts come from may not.
        same = now == volume or ("emptyDir" in volume and now is not None and "emptyDir" in now)
        if not same or (now is not None and set(now) != set(volume)):
            yield f'removes the volume "{name}", or makes another of it'


def _damaged_names(before: JsonObject, after: JsonObject) -> Iterator[str]:
    """Yield the names of services that the job could no longer find."""
    there = {
        name
        for alias in objects(after, "hostAliases")
        if text(alias, "ip") == "127.0.0.1"
        for name in items(alias, "hostnames")
    }
    for alias in objects(before, "hostAliases"):
        lost = [str(name) for name in items(alias, "hostnames") if name not in there]
        if text(alias, "ip") == "127.0.0.1" and lost:
            yield f"removes from hostAliases the name of a service: {', '.join(lost)}"
