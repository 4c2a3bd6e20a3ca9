"""What the settings say of the whole pod reaches it: patches, resources, affinity."""

from __future__ import annotations

import pytest

from podlane.executors.base import Level, Message
from podlane.model.failures import FailureReason
from tests.contract.executor_kubernetes.conftest import LEGACY, Cluster, make_plan

pytestmark = [pytest.mark.anyio, pytest.mark.root, pytest.mark.e2e]

ON = ("FF_USE_ADVANCED_POD_SPEC_CONFIGURATION", True)
PATCHES = [
    {
        "name": "tool",
        "patch": """
            containers:
            - name: build
              env: [{name: TOOL, value: wrench}]
              volumeMounts: [{name: extra, mountPath: /extra}]
            volumes:
            - name: extra
              emptyDir: {medium: Memory}
        """,
    },
    {"name": "host", "patch": "hostname: patched", "patch_type": "merge"},
    {
        "name": "alias",
        "patch": '[{"op": "add", "path": "/hostAliases", "value": [{"ip": "10.9.8.7", '
        '"hostnames": ["mirror"]}]}]',
        "patch_type": "json",
    },
]
SCRIPT = 'echo "$TOOL in $(hostname)"; touch /extra/file; grep mirror /etc/hosts'


@pytest.mark.parametrize("flags", [(ON,), (ON, LEGACY)], ids=["attach", "exec"])
async def test_a_job_runs_in_the_patched_pod(
    cluster: Cluster, flags: tuple[tuple[str, bool], ...]
) -> None:
    ran = await cluster.run(make_plan(SCRIPT, flags=flags), pod_spec=PATCHES)
    assert ran.outcome.reason is None, ran
    assert "wrench in patched" in ran.text
    assert "10.9.8.7" in ran.text
    assert (
        'Patched the spec of the pod by pod_spec [0] "tool" (strategic), [1] "host" (merge), '
        '[2] "alias" (json)'
    ) in ran.messages


async def test_without_the_flag_the_pod_is_as_it_was_and_the_trace_says_so(
    cluster: Cluster,
) -> None:
    ran = await cluster.run(make_plan('echo "tool is ${TOOL:-missing}"'), pod_spec=PATCHES)
    assert ran.outcome.reason is None, ran
    assert "tool is missing" in ran.text
    warnings = [
        event.text
        for event in ran.events
        if isinstance(event, Message) and event.level is Level.WARNING
    ]
    assert [text for text in warnings if "FF_USE_ADVANCED_POD_SPEC_CONFIGURATION is off" in text]


async def test_a_patch_that_breaks_the_job_is_refused_before_anything_is_created(
    cluster: Cluster,
) -> None:
    async with cluster.client() as client:
        before = await client.list_pods("default")
        ran = await cluster.run(
            make_plan(flags=(ON,)),
            pod_spec=[
                {"name": "sidecar", "patch": "containers: [{name: x}]", "patch_type": "merge"}
            ],
        )
        after = await client.list_pods("default")
    assert ran.outcome.reason is FailureReason.RUNNER_CONFIGURATION_ERROR
    assert ran.outcome.message == (
        'runners.kubernetes.pod_spec[0] "sidecar" removes or renames the container "build"'
    )
    assert ran.sections == ["prepare_executor"]
    assert after.resource_version == before.resource_version, "not even a Secret was made"


@pytest.fixture
async def whole_pods(cluster: Cluster) -> None:
    """A cluster that obeys the resources of whole pods: others drop them, and we say so."""
    if cluster.node is None:
        ran = await cluster.run(make_plan(), pod_cpu_limit="1")
        if any("does not know these fields" in line for line in ran.messages):
            pytest.skip("this cluster has no pod-level resources")


@pytest.mark.usefixtures("whole_pods")
async def test_a_script_that_eats_the_memory_of_the_pod_is_told_so(cluster: Cluster) -> None:
    ran = await cluster.run(make_plan("tail /dev/zero"), pod_memory_limit="64Mi", pod_cpu_limit="2")
    assert ran.outcome.reason is FailureReason.SCRIPT_FAILURE, ran
    assert "ran out of memory (its memory limit is that of the whole pod, 64Mi)" in (
        ran.outcome.message
    )
    assert ran.outcome.hint == (
        "let the script use less memory, or raise pod_memory_limit in [runners.kubernetes]"
    )


@pytest.mark.usefixtures("whole_pods")
async def test_containers_that_want_more_than_their_pod_are_refused_by_the_cluster(
    cluster: Cluster,
) -> None:
    ran = await cluster.run(
        make_plan(), cpu_request="1", helper_cpu_request="500m", pod_cpu_request="1"
    )
    assert ran.outcome.reason is FailureReason.RUNNER_SYSTEM_FAILURE
    assert (
        'spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to '
        "aggregate container requests of 1500m"
    ) in ran.outcome.message


async def test_a_job_that_no_node_satisfies_is_told_why_it_waits(cluster: Cluster) -> None:
    wanted = {"key": "podlane.dev/nowhere", "operator": "Exists"}
    terms = {"node_selector_terms": [{"match_expressions": [wanted]}]}
    affinity = {"node_affinity": {"required_during_scheduling_ignored_during_execution": terms}}
    ran = await cluster.run(make_plan(), affinity=affinity, poll_timeout=2)
    assert ran.outcome.reason is FailureReason.RUNNER_SYSTEM_FAILURE
    assert "timed out waiting for pod to start" in ran.outcome.message
    assert "didn't match Pod's node affinity/selector" in ran.outcome.message


async def test_a_job_runs_where_its_affinity_lets_it(cluster: Cluster) -> None:
    wanted = {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}
    terms = {"node_selector_terms": [{"match_expressions": [wanted]}]}
    away = {
        "topology_key": "kubernetes.io/hostname",
        "label_selector": {"match_labels": {"podlane.dev/nobody": "has-this"}},
    }
    affinity = {
        "node_affinity": {"required_during_scheduling_ignored_during_execution": terms},
        "pod_anti_affinity": {"required_during_scheduling_ignored_during_execution": [away]},
    }
    ran = await cluster.run(make_plan("echo placed"), affinity=affinity)
    assert ran.outcome.reason is None, ran
    assert "placed" in ran.text


async def test_a_field_that_the_cluster_does_not_know_is_told(cluster: Cluster) -> None:
    patch = "hostNme: x\ncontainers: [{name: build, enviroment: [{name: A, value: b}]}]"
    ran = await cluster.run(make_plan("echo done", flags=(ON,)), pod_spec=[{"patch": patch}])
    assert ran.outcome.reason is None, ran
    told = [text for text in ran.messages if text.startswith("The cluster does not know")]
    names = "spec.containers[build].enviroment, spec.hostNme"
    assert told == [f"The cluster does not know these fields of the pod, and ignores them: {names}"]
