"""Jobs, settings and pods for the tests of the pure parts."""

from __future__ import annotations

from typing import Any

from podlane.executors.base import ExecutionPlan, StageScript
from podlane.executors.kubernetes.planning.plan import PodPlan, Surroundings, make_plan
from podlane.executors.kubernetes.settings.decode import decode_settings
from podlane.executors.kubernetes.settings.keys import KubernetesSettings
from podlane.executors.kubernetes.shelltexts import ShellTexts
from podlane.kit.diagnostics import Place
from podlane.kube.types import (
    ContainerState,
    ContainerStatus,
    ObjectMeta,
    Pod,
    PodCondition,
    PodSpec,
    PodStatus,
    StateRunning,
    StateTerminated,
    StateWaiting,
)
from podlane.model import substages
from podlane.model.job import Image, Job, JobInfo, Service, Variable

TEXTS = ShellTexts(init="init", supervisor="supervisor", follow="follow", stage="stage")
STAGES = (
    StageScript(substage=substages.PREPARE_SCRIPT, script="prepare"),
    StageScript(substage=substages.GET_SOURCES, script="get", attempts=3),
    StageScript(substage=substages.step("script"), script="make", timeout_seconds=90.5),
    StageScript(substage=substages.AFTER_SCRIPT, script="after", ignore_errors=True),
    StageScript(substage=substages.UPLOAD_ARTIFACTS_ON_SUCCESS, script="upload"),
)


def settings(**table: Any) -> KubernetesSettings:
    """Settings that are valid."""
    decoded, findings = decode_settings(table, Place(file="config.toml"))
    assert findings == []
    return decoded


def execution_plan(
    image: Image | None = None,
    *,
    services: tuple[Service, ...] = (),
    variables: tuple[Variable, ...] = (),
    flags: dict[str, bool] | None = None,
) -> ExecutionPlan:
    """A job of project 7."""
    return ExecutionPlan(
        job=Job(
            id=42,
            token="secret-job-token",
            job_info=JobInfo(
                name="test: unit",
                project_id=7,
                project_name="Project One",
                project_full_path="group/sub/project-one",
            ),
            image=Image(name="alpine") if image is None else image,
            services=services or None,
        ),
        stages=STAGES,
        variables=variables,
        builds_dir="/builds",
        project_dir="/builds/group/sub/project-one",
        short_token="aBcDeFgHi",
        system_id="s_machine",
        runner_name="my runner",
        feature_flags=tuple((flags or {}).items()),
    )


def pod_plan(
    plan: ExecutionPlan | None = None,
    configured: KubernetesSettings | None = None,
    machine: str = "x86_64",
) -> PodPlan:
    """The pod of a job."""
    around = Surroundings(suffix="abcd1234", process="boot-1-2", machine=machine, texts=TEXTS)
    return make_plan(plan or execution_plan(), configured or settings(), around)


def waiting(name: str, reason: str, message: str = "", image: str = "") -> ContainerStatus:
    state = ContainerState(waiting=StateWaiting(reason=reason, message=message))
    return ContainerStatus(name=name, image=image, state=state)


def running(name: str) -> ContainerStatus:
    return ContainerStatus(name=name, state=ContainerState(running=StateRunning()))


def ended(name: str, code: int, reason: str = "", message: str = "") -> ContainerStatus:
    terminated = StateTerminated(exit_code=code, reason=reason, message=message)
    return ContainerStatus(name=name, state=ContainerState(terminated=terminated))


def pod(
    *containers: ContainerStatus,
    init: tuple[ContainerStatus, ...] = (),
    phase: str = "Running",
    reason: str = "",
    message: str = "",
    deleted: bool = False,
    conditions: tuple[PodCondition, ...] = (),
) -> Pod:
    return Pod(
        metadata=ObjectMeta(
            name="pod",
            namespace="ns",
            deletion_timestamp="2026-01-01T00:00:00Z" if deleted else None,
            deletion_grace_period_seconds=30 if deleted else None,
        ),
        spec=PodSpec(node_name="node-1"),
        status=PodStatus(
            phase=phase,
            reason=reason,
            message=message,
            conditions=conditions,
            container_statuses=containers,
            init_container_statuses=init,
        ),
    )


def spec(plan: PodPlan) -> Any:
    """The spec of a pod, as raw JSON."""
    return plan.pod["spec"]


def containers(plan: PodPlan) -> dict[str, Any]:
    """All containers of a pod by name, init containers first, as raw JSON."""
    boxes = [*spec(plan).get("initContainers", ()), *spec(plan)["containers"]]
    return {box["name"]: box for box in boxes}
