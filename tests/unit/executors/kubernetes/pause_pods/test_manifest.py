"""What a pause pod is."""

from __future__ import annotations

from typing import Any

import pytest

from podlane.executors.kubernetes.manifests.metadata import machine_selector, selector
from podlane.executors.kubernetes.pause_pods.manifest import Template, requested
from podlane.node.apiserver.admission import admit_create
from podlane.node.apiserver.selectors import selector as selecting
from tests.unit.executors.kubernetes.pause_pods.samples import decoded, template

SETTINGS: dict[str, Any] = {
    "namespace": "ci",
    "cpu_request": "500m",
    "memory_request": "1Gi",
    "node_selector": {"pool": "ci"},
    "node_tolerations": {"ci=yes": "NoSchedule"},
    "service_account": "jobs",
    "runtime_class_name": "kata",
    "scheduler_name": "mine",
    "pod_security_context": {"run_as_user": 1000},
}


def made(given: Template) -> Any:
    name, pod = given.pod("x1")
    assert pod["metadata"]["name"] == name  # type: ignore[index, call-overload] # JSON
    return pod


def test_a_pause_pod_goes_where_jobs_go_and_yields_to_them() -> None:
    pod = made(template(**SETTINGS))
    admit_create("pods", pod, node_name="n")
    assert pod["metadata"]["name"] == "runner-pause-abc-x1"
    assert pod["metadata"]["namespace"] == "ci"
    assert pod["metadata"]["annotations"] == {
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "true"
    }
    spec = pod["spec"]
    (container,) = spec["containers"]
    assert container["name"] == "pause"
    assert container["image"] == "registry.k8s.io/pause:3.10"
    assert container["resources"]["requests"] == {"cpu": "500m", "memory": "1Gi"}
    assert spec["nodeSelector"] == {"pool": "ci"}
    assert spec["tolerations"] == [
        {"operator": "Equal", "key": "ci", "value": "yes", "effect": "NoSchedule"}
    ]
    assert spec["serviceAccountName"] == "jobs"
    assert spec["runtimeClassName"] == "kata"
    assert spec["schedulerName"] == "mine"
    assert spec["securityContext"] == {"runAsUser": 1000}
    assert spec["priorityClassName"] == "gitlab-runner-idle-capacity"
    assert spec["terminationGracePeriodSeconds"] == 0
    assert spec["restartPolicy"] == "Always"
    assert spec["automountServiceAccountToken"] is False


def test_the_keys_of_the_autoscaler_are_obeyed() -> None:
    table = {
        "pause_pod_image": "mirror.example.com/pause:1",
        "pause_pod_priority_class_name": "lowest",
        "pause_pod_image_pull_secrets": ["mirror", ""],
        "policy": [{}],
    }
    given = template(autoscaler=table)
    spec = made(given)["spec"]
    assert spec["containers"][0]["image"] == "mirror.example.com/pause:1"
    assert spec["priorityClassName"] == "lowest"
    assert spec["imagePullSecrets"] == [{"name": "mirror"}]
    assert not given.own_class
    assert template().own_class


def test_rewrites_of_images_hold_here_too() -> None:
    rule = {"match": "registry.k8s.io/*", "replace": "mirror.example.com/*"}
    spec = made(template(image_rewrites=[rule]))["spec"]
    assert spec["containers"][0]["image"] == "mirror.example.com/pause:3.10"


def test_a_pause_pod_is_not_seen_as_the_pod_of_a_job_but_is_swept() -> None:
    pod = made(template())
    of_jobs, of_machine = (
        selecting(chosen, "", "pods")
        for chosen in (selector("s_1", "abc"), machine_selector("s_1"))
    )
    assert of_jobs is not None
    assert of_machine is not None
    assert not of_jobs(pod)
    assert of_machine(pod)
    labels = pod["metadata"]["labels"]
    assert labels["runner.gitlab.com/pause-pod"] == "true"
    assert labels["manager.runner.gitlab.com/id-short"] == "abc"
    assert labels["manager.runner.gitlab.com/system-id"] == "s_1"
    assert labels["podlane.dev/process"] == "boot-1-2"  # nobody takes over: no household


def test_other_settings_make_other_pods_and_the_number_does_not() -> None:
    marks = [
        template(**SETTINGS).mark,
        template(**SETTINGS, autoscaler={"max_pause_pods": 7, "policy": [{"idle_count": 9}]}).mark,
        template(**SETTINGS | {"cpu_request": "600m"}).mark,
        template(**SETTINGS | {"node_selector": {"pool": "other"}}).mark,
    ]
    assert marks[0] == marks[1]
    assert len(set(marks)) == 3


SERVICES = [{"name": "redis:7"}, {"name": "postgres:16"}]


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        ({}, {}),
        ({"cpu_request": "0.5"}, {"cpu": "0.5"}),
        ({"cpu_limit": "2", "memory_limit": "1Gi"}, {"cpu": "2", "memory": "1Gi"}),
        ({"cpu_request": "1", "cpu_limit": "2"}, {"cpu": "1"}),
        ({"cpu_request": "500m", "helper_cpu_request": "0.25"}, {"cpu": "750m"}),
        ({"memory_request": "1Gi", "helper_memory_limit": "128Mi"}, {"memory": "1207959552"}),
        (
            {"cpu_request": "1", "service_cpu_request": "100m", "services": SERVICES},
            {"cpu": "1200m"},
        ),
        ({"cpu_request": "1", "service_cpu_request": "100m"}, {"cpu": "1"}),
        (
            {"ephemeral_storage_request": "1G", "helper_ephemeral_storage_request": "1G"},
            {"ephemeral-storage": "2000000000"},
        ),
    ],
)
def test_a_pause_pod_asks_for_what_a_job_asks_for(
    settings: dict[str, Any], asked: dict[str, str]
) -> None:
    assert requested(decoded(**settings)[0]) == asked
