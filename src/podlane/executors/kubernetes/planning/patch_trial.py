"""Patches of ``pod_spec`` on the pod of a plain job, before there is one. Reads their files."""

from __future__ import annotations

import msgspec

from podlane.executors.base import ExecutionPlan
from podlane.executors.kubernetes.manifests.podpatch import PatchDamageError, PatchMismatchError
from podlane.executors.kubernetes.planning import patchfiles
from podlane.executors.kubernetes.planning.patched_plan import with_patches
from podlane.executors.kubernetes.planning.plan import PodPlan, Surroundings, make_plan
from podlane.executors.kubernetes.refusal import PlanError
from podlane.executors.kubernetes.settings.keys import KubernetesSettings
from podlane.executors.kubernetes.settings.podspec import Patch, PatchError
from podlane.executors.kubernetes.shelltexts import ShellTexts
from podlane.kit.diagnostics import Diagnostic, Place, Severity
from podlane.model.job import Image, Job, JobInfo


def patch_problems(settings: KubernetesSettings, place: Place) -> list[Diagnostic]:
    """Return what is wrong with the patches and was not seen when the settings were decoded.

    A patch that only does not fit is a warning: it may want a service, or a flag of the job.
    """
    patches: list[Patch] = []
    found: list[Diagnostic] = []
    for index, entry in enumerate(settings.pod_spec):
        try:
            patches.append(patchfiles.load_one(index, entry))
        except PatchError as error:
            found.append(_finding(error, place))
    pod = None if found or not patches else _plain_pod(settings)
    if pod is None:
        return found
    try:
        with_patches(pod, patches)
    except PatchDamageError as error:
        return [_finding(error, place)]
    except PatchMismatchError as error:
        return [_finding(error, place, Severity.WARNING)]
    return []


def _finding(error: PlanError, place: Place, severity: Severity = Severity.ERROR) -> Diagnostic:
    message = error.message.replace("the pod of this job", "the pod of a plain job")
    return Diagnostic(
        code="setting-value", message=message, place=place, severity=severity, hint=error.hint
    )


def _plain_pod(settings: KubernetesSettings) -> PodPlan | None:
    """Return the pod of a job without services; None: the settings refuse it for other reasons."""
    job = Job(
        id=1,
        token="",
        job_info=JobInfo(name="job", project_id=1, project_full_path="group/project"),
        image=Image(name="image"),
    )
    plan = ExecutionPlan(
        job=job,
        stages=(),
        variables=(),
        builds_dir="/builds",
        project_dir="/builds/group/project",
        short_token="",
        system_id="s_trial",
        runner_name="",
    )
    empty = ShellTexts(**dict.fromkeys(ShellTexts.__dataclass_fields__, ""))
    around = Surroundings(suffix="trial", process="trial", machine="x86_64", texts=empty)
    # Which images jobs may use is not the question here.
    free = msgspec.structs.replace(settings, allowed_images=(), allowed_services=())
    try:
        return make_plan(plan, free, around)
    except PlanError:
        return None
