"""What the Secret of a job holds: scripts and plan for its pod, variables for services. Pure."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping

from podlane.executors.base import ExecutionPlan, StageScript
from podlane.executors.kubernetes.manifests.credentials import docker_config
from podlane.executors.kubernetes.manifests.services import PodService
from podlane.executors.kubernetes.manifests.volumes import JobDirectories
from podlane.executors.kubernetes.planning.flags import (
    BACKOFF_FLAG,
    ENTRYPOINT_FLAG,
    LEGACY_FLAG,
    OWNER_FLAG,
    is_on,
)
from podlane.executors.kubernetes.refusal import PlanError
from podlane.executors.kubernetes.shelltexts import ShellTexts
from podlane.kit.jsonvalue import Json
from podlane.model.job import Variable
from podlane.model.variables import NAME, Variables

_SECRET_LIMIT = 1024 * 1024
_SECRET_KEY = re.compile(r"[-._a-zA-Z0-9]+")
DOCKER_CONFIG = ".dockerconfigjson"


def pod_files(
    plan: ExecutionPlan,
    stages: tuple[StageScript, ...],
    where: JobDirectories,
    texts: ShellTexts,
    *,
    legacy: bool,
    gated: bool = False,
) -> dict[str, str]:
    """Return what the pod can read of its Secret, by file name.

    ``gated``: the script waits until we say that the services have begun.
    """
    lines = [f"logs {where.logs}", f"tools {where.tools}", f"grace {math.ceil(plan.grace_seconds)}"]
    lines += ["gate 1"] if gated else []
    lines += _flag_lines(plan)
    lines += [_plan_line(stage) for stage in stages]
    files = {
        "plan": "\n".join(lines) + "\n",
        "init": texts.init,
        "supervisor": texts.supervisor,
    }
    if legacy:
        return {**files, "stage": texts.stage}
    scripts = {f"stage.{stage.substage.name}": stage.script for stage in plan.stages}
    for key in scripts:
        if not _SECRET_KEY.fullmatch(key):
            raise PlanError(
                f"the step {key.removeprefix('stage.step_')!r} cannot be run: its name may only "
                "have letters, digits, dots, dashes and underscores"
            )
    return {**files, "follow": texts.follow, **scripts}


def _flag_lines(plan: ExecutionPlan) -> list[str]:
    """Return what feature flags change in the pod."""
    lines = []
    if is_on(plan, ENTRYPOINT_FLAG):
        lines.append(f"entrypoint {'idle' if is_on(plan, LEGACY_FLAG) else 'stages'}")
    if is_on(plan, OWNER_FLAG):
        lines.append("chown 1")
    if not is_on(plan, BACKOFF_FLAG):
        lines.append("pause 0")
    return lines


def _plan_line(stage: StageScript) -> str:
    """Return one line of the supervisor's plan; 0 is "no timeout"."""
    sub = stage.substage
    timeout = math.ceil(stage.timeout_seconds or 0)
    return (
        f"stage {sub.name} {sub.role} {sub.when} {stage.attempts} {timeout} "
        f"{int(stage.ignore_errors)}"
    )


def hidden_keys(
    plan: ExecutionPlan, services: list[PodService], variables: Variables
) -> tuple[dict[str, str], str]:
    """Return what of the Secret is for Kubernetes only (not mounted), and the Secret's type."""
    hidden: dict[str, str] = {}
    if services or is_on(plan, ENTRYPOINT_FLAG):
        hidden = {f"env.{v.key}": v.value for v in _service_variables(variables)}
    for index, service in enumerate(services):
        for variable in _own_variables(service, variables):
            hidden[f"env.{index}.{variable.key}"] = variable.value
    config = docker_config(plan.job.credentials or (), variables)
    if config is None:
        return hidden, "Opaque"
    return {**hidden, DOCKER_CONFIG: config}, "kubernetes.io/dockerconfigjson"


def _service_variables(variables: Variables) -> list[Variable]:
    return [
        variable
        for variable in variables.effective
        if variable.public and not variable.file and NAME.fullmatch(variable.key)
    ]


def _own_variables(service: PodService, variables: Variables) -> list[Variable]:
    return [
        Variable(
            key=variable.key,
            value=variable.value if variable.raw else variables.expand(variable.value),
        )
        for variable in service.variables
        if NAME.fullmatch(variable.key)
    ]


def entrypoint_env(secret: str, variables: Variables) -> list[Json]:
    """Return the environment of an image's entrypoint: references to keys of the Secret."""
    return _references(secret, {v.key: f"env.{v.key}" for v in _service_variables(variables)})


def service_env(secret: str, index: int, service: PodService, variables: Variables) -> list[Json]:
    """Return the environment of a service: references to keys of the Secret."""
    keys = {v.key: f"env.{v.key}" for v in _service_variables(variables)}
    keys |= {v.key: f"env.{index}.{v.key}" for v in _own_variables(service, variables)}
    return _references(secret, keys)


def _references(secret: str, keys: Mapping[str, str]) -> list[Json]:
    return [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
        for name, key in keys.items()
    ]


def encoded(data: dict[str, str]) -> dict[str, str]:
    """Return the data of the Secret as base64.

    Raises:
        PlanError: it is more than a Secret can hold.
    """
    encoded = {key: value.encode("utf-8", "surrogateescape") for key, value in data.items()}
    size = sum(map(len, encoded.values()))
    if size > _SECRET_LIMIT:
        largest = max(encoded, key=lambda key: len(encoded[key]))
        raise PlanError(
            f"the scripts and variables of the job need {size} bytes, more than the "
            f"{_SECRET_LIMIT} that a Kubernetes Secret can hold; the largest part is {largest}",
            hint="move large variables to files in the repository or to artifacts",
        )
    return {key: base64.b64encode(value).decode() for key, value in encoded.items()}
