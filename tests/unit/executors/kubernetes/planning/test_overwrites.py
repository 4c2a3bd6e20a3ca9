from __future__ import annotations

from typing import Any

import pytest

from podlane.executors.kubernetes.planning.plan import PodPlan
from podlane.executors.kubernetes.refusal import PlanError
from podlane.executors.kubernetes.settings.keys import KubernetesSettings
from podlane.model.job import Service, Variable
from tests.unit.executors.kubernetes.samples import (
    containers,
    execution_plan,
    pod_plan,
    settings,
    spec,
)


def planned(
    configured: KubernetesSettings,
    services: tuple[Service, ...] = (),
    /,
    **variables: str,
) -> PodPlan:
    items = tuple(Variable(key=key, value=value) for key, value in variables.items())
    return pod_plan(execution_plan(services=services, variables=items), configured)


def told(plan: PodPlan) -> list[str]:
    return [note.text for note in plan.notes]


def refusal(configured: KubernetesSettings, **variables: str) -> PlanError:
    with pytest.raises(PlanError) as caught:
        planned(configured, **variables)
    return caught.value


def meta(plan: PodPlan, key: str) -> Any:
    metadata: Any = plan.pod["metadata"]
    return metadata[key]


@pytest.mark.parametrize(
    ("prefix", "name", "container"),
    [
        ("", "", "build"),
        ("helper_", "Helper", "helper"),
        ("helper_", "Helper", "init-permissions"),
        ("service_", "Service", "svc-0"),
    ],
)
@pytest.mark.parametrize("kind", ["limit", "request"])
@pytest.mark.parametrize(
    ("amount", "title"),
    [("cpu", "CPU"), ("memory", "Memory"), ("ephemeral_storage", "EphemeralStorage")],
)
def test_a_variable_overwrites_an_amount_up_to_its_ceiling(
    prefix: str, name: str, container: str, kind: str, amount: str, title: str
) -> None:
    key = f"{prefix}{amount}_{kind}"
    configured = settings(**{key: "1", f"{key}_overwrite_max_allowed": "2"})
    services = (Service(name="redis"),)
    variable = f"KUBERNETES_{key.upper()}"
    plan = planned(configured, services, **{variable: "1500m"})
    resources = containers(plan)[container]["resources"]
    assert resources == {f"{kind}s": {amount.replace("_", "-"): "1500m"}}
    title = f"{name}{title}{kind.capitalize()}"
    assert f'"{title}" overwritten with "1500m"' in told(plan)
    too_much = refusal(configured, **{variable: "2001m"})
    assert f'the resource "{title}" requested "2001m" is higher than limit allowed "2"' in str(
        too_much
    )


@pytest.mark.parametrize("amount", ["cpu", "memory"])
@pytest.mark.parametrize("kind", ["limit", "request"])
def test_a_variable_overwrites_the_amounts_of_the_whole_pod(amount: str, kind: str) -> None:
    key = f"pod_{amount}_{kind}"
    configured = settings(**{f"{key}_overwrite_max_allowed": "2"})
    plan = planned(configured, **{f"KUBERNETES_{key.upper()}": "2"})
    assert spec(plan)["resources"] == {f"{kind}s": {amount: "2"}}
    said = str(refusal(configured, **{f"KUBERNETES_{key.upper()}": "3"}))
    assert said.startswith(f"couldn't prepare overwrites: invalid Pod {kind}s specified: ")


def test_the_refusal_is_gitlabs_sentence_and_says_whom_to_ask() -> None:
    configured = settings(memory_limit_overwrite_max_allowed="1Gi")
    error = refusal(configured, KUBERNETES_MEMORY_LIMIT="1025Mi")
    assert error.message == (
        "couldn't prepare overwrites: invalid build limits specified: the resource "
        '"MemoryLimit" requested "1025Mi" is higher than limit allowed "1Gi"'
    )
    assert error.hint == (
        "lower KUBERNETES_MEMORY_LIMIT, or let the runner's administrator raise "
        "memory_limit_overwrite_max_allowed"
    )


@pytest.mark.parametrize(
    ("wished", "ceiling"),
    [
        ("1024Mi", "1Gi"),
        ("1Gi", "1024Mi"),
        ("1000m", "1"),
        ("0.1", "100m"),
        ("9007199254740993", "9007199254740993"),
        ("1e3", "1k"),
    ],
)
def test_what_is_as_much_as_the_ceiling_is_allowed(wished: str, ceiling: str) -> None:
    configured = settings(memory_limit_overwrite_max_allowed=ceiling)
    plan = planned(configured, KUBERNETES_MEMORY_LIMIT=wished)
    assert containers(plan)["build"]["resources"] == {"limits": {"memory": wished}}


@pytest.mark.parametrize(
    ("wished", "ceiling"),
    [("9007199254740993", "9007199254740992"), ("1001m", "1"), ("1G", "953Mi"), ("1n", "0")],
)
def test_what_is_a_little_more_than_the_ceiling_is_not(wished: str, ceiling: str) -> None:
    configured = settings(memory_limit_overwrite_max_allowed=ceiling)
    assert "is higher than limit allowed" in str(
        refusal(configured, KUBERNETES_MEMORY_LIMIT=wished)
    )


@pytest.mark.parametrize("wished", ["0", "0Gi", "-1"])
def test_a_limit_of_zero_is_no_way_around_the_ceiling(wished: str) -> None:
    configured = settings(memory_limit_overwrite_max_allowed="1Gi")
    error = refusal(configured, KUBERNETES_MEMORY_LIMIT=wished)
    assert "is higher than limit allowed" in error.message
    assert "a limit of 0 is none at all" in str(error.hint)


def test_a_request_may_be_zero() -> None:
    configured = settings(cpu_request="1", cpu_request_overwrite_max_allowed="2")
    plan = planned(configured, KUBERNETES_CPU_REQUEST="0")
    assert containers(plan)["build"]["resources"] == {"requests": {"cpu": "0"}}


@pytest.mark.parametrize("wished", ["lots", "1 Gi", "1K"])
def test_what_is_no_quantity_is_refused(wished: str) -> None:
    configured = settings(cpu_limit_overwrite_max_allowed="2")
    error = refusal(configured, KUBERNETES_CPU_LIMIT=wished)
    assert error.message == (
        "couldn't prepare overwrites: invalid build limits specified: parsing resource limit: "
        f'"{wished}" is not a quantity'
    )


def test_an_empty_variable_overwrites_nothing_and_is_not_told() -> None:
    configured = settings(
        cpu_limit="1", cpu_limit_overwrite_max_allowed="2", service_account_overwrite_allowed=".*"
    )
    plan = planned(configured, KUBERNETES_CPU_LIMIT="", KUBERNETES_SERVICE_ACCOUNT_OVERWRITE="")
    assert containers(plan)["build"]["resources"] == {"limits": {"cpu": "1"}}
    assert told(plan) == told(planned(configured))


def test_what_the_runner_does_not_allow_is_ignored_and_told_in_one_line() -> None:
    plan = planned(
        settings(memory_limit="1Gi", helper_cpu_limit_overwrite_max_allowed="1"),
        KUBERNETES_MEMORY_LIMIT="64Gi",
        KUBERNETES_POD_LABELS_1="team=core",
        KUBERNETES_POD_LABELS_2="nonsense",
        KUBERNETES_SERVICE_ACCOUNT_OVERWRITE="admin",
        KUBERNETES_HELPER_CPU_LIMIT="1",
    )
    assert containers(plan)["build"]["resources"] == {"limits": {"memory": "1Gi"}}
    assert "team" not in meta(plan, "labels")
    assert "serviceAccountName" not in spec(plan)
    assert told(plan)[:2] == [
        '"HelperCPULimit" overwritten with "1"',
        (
            "Ignored, because the runner does not allow it: "
            "KUBERNETES_SERVICE_ACCOUNT_OVERWRITE (needs service_account_overwrite_allowed), "
            "KUBERNETES_POD_LABELS_1 (needs pod_labels_overwrite_allowed), "
            "KUBERNETES_POD_LABELS_2 (needs pod_labels_overwrite_allowed), "
            "KUBERNETES_MEMORY_LIMIT (needs memory_limit_overwrite_max_allowed)"
        ),
    ]


@pytest.mark.parametrize(
    ("table", "told_last"),
    [
        (
            {},
            (
                "KUBERNETES_NAMESPACE_OVERWRITE (needs namespace_overwrite_allowed), "
                "KUBERNETES_BEARER_TOKEN (needs bearer_token_overwrite_allowed)"
            ),
        ),
        (
            {"namespace_per_job": True, "namespace_overwrite_allowed": ".*"},
            (
                "KUBERNETES_NAMESPACE_OVERWRITE (needs namespace_per_job = false), "
                "KUBERNETES_BEARER_TOKEN (needs bearer_token_overwrite_allowed)"
            ),
        ),
    ],
)
def test_an_ignored_namespace_and_token_are_told_without_the_token(
    table: dict[str, Any], told_last: str
) -> None:
    plan = planned(
        settings(**table),
        KUBERNETES_NAMESPACE_OVERWRITE="ci-web",
        KUBERNETES_BEARER_TOKEN="eyJ-very-secret",
    )
    assert f"Ignored, because the runner does not allow it: {told_last}" in told(plan)
    assert "eyJ" not in " ".join(told(plan))


def test_a_namespace_and_a_token_that_are_taken_are_not_told_as_ignored() -> None:
    configured = settings(
        host="https://cluster.example",
        namespace_overwrite_allowed="^ci-",
        bearer_token_overwrite_allowed=True,
    )
    plan = planned(
        configured, KUBERNETES_NAMESPACE_OVERWRITE="ci-web", KUBERNETES_BEARER_TOKEN="eyJ"
    )
    assert not any(line.startswith("Ignored") for line in told(plan))
    assert plan.namespace == "ci-web"


def test_one_service_may_have_more_than_the_others() -> None:
    configured = settings(
        service_memory_limit="64Mi",
        service_memory_limit_overwrite_max_allowed="1Gi",
        service_cpu_request_overwrite_max_allowed="2",
    )
    own = (
        Variable(key="KUBERNETES_SERVICE_MEMORY_LIMIT", value="${SIZE}Mi"),
        Variable(key="KUBERNETES_MEMORY_LIMIT", value="9Gi"),
    )
    services = (Service(name="postgres", alias="db", variables=own), Service(name="redis"))
    plan = planned(configured, services, SIZE="512", KUBERNETES_SERVICE_CPU_REQUEST="500m")
    boxes = containers(plan)
    assert boxes["db"]["resources"] == {
        "limits": {"memory": "512Mi"},
        "requests": {"cpu": "500m"},
    }
    assert boxes["svc-1"]["resources"] == {
        "limits": {"memory": "64Mi"},
        "requests": {"cpu": "500m"},
    }
    assert boxes["build"]["resources"] == {}
    assert told(plan)[:2] == [
        '"ServiceCPURequest" overwritten with "500m"',
        '"ServiceMemoryLimit" overwritten with "512Mi" for service db',
    ]


def test_a_service_may_not_have_more_than_its_ceiling_either() -> None:
    own = (Variable(key="KUBERNETES_SERVICE_MEMORY_LIMIT", value="2Gi"),)
    services = (Service(name="postgres", variables=own),)
    with pytest.raises(PlanError) as caught:
        planned(settings(service_memory_limit_overwrite_max_allowed="1Gi"), services)
    assert caught.value.message == (
        "couldn't prepare explicit service overwrites: invalid service limits specified: the "
        'resource "ServiceMemoryLimit" requested "2Gi" is higher than limit allowed "1Gi"'
    )
    ignored = planned(settings(), services)
    assert any("KUBERNETES_SERVICE_MEMORY_LIMIT (needs" in line for line in told(ignored))


def test_labels_and_annotations_are_added_and_win() -> None:
    configured = settings(
        pod_labels={"team": "core", "stays": "yes"},
        pod_labels_overwrite_allowed=".*",
        pod_annotations_overwrite_allowed="^(vault|job)",
    )
    plan = planned(
        configured,
        KUBERNETES_POD_LABELS_b="team=web apps",
        KUBERNETES_POD_LABELS_a="link=a=b",
        KUBERNETES_POD_ANNOTATIONS_1="vault/role=ci=1",
        KUBERNETES_POD_ANNOTATIONS_2="job.runner.gitlab.com/name=mine",
    )
    labels, annotations = meta(plan, "labels"), meta(plan, "annotations")
    assert (labels["team"], labels["stays"], labels["link"]) == ("web_apps", "yes", "a_b")
    assert annotations["vault/role"] == "ci=1"
    assert annotations["job.runner.gitlab.com/name"] == "mine"
    assert told(plan)[:4] == [
        '"PodLabels" "team" overwritten with "web apps"',
        '"PodLabels" "link" overwritten with "a=b"',
        '"PodAnnotations" "vault/role" overwritten with "ci=1"',
        '"PodAnnotations" "job.runner.gitlab.com/name" overwritten with "mine"',
    ]


def test_no_job_overwrites_the_labels_that_its_pod_is_found_by() -> None:
    plan = planned(
        settings(pod_labels_overwrite_allowed=".*"),
        KUBERNETES_POD_LABELS_1="podlane.dev/system-id=other",
        KUBERNETES_POD_LABELS_2="project.runner.gitlab.com/id=1",
        KUBERNETES_POD_LABELS_3="pod=mine",
    )
    labels = meta(plan, "labels")
    assert labels["pod"] == "mine"
    assert labels["job.runner.gitlab.com/pod"] == "runner-abcdefghi-project-7-concurrent-0"
    assert labels["podlane.dev/system-id"] == "s_machine"
    assert labels["project.runner.gitlab.com/id"] == "7"
    assert told(plan)[0] == (
        'KUBERNETES_POD_LABELS_1 is ignored: the label "podlane.dev/system-id" is the runner\'s own'
    )


def test_no_job_sets_the_annotations_that_podlane_obeys() -> None:
    plan = planned(
        settings(
            pod_annotations={"podlane.dev/host-ports": "8080"},
            pod_annotations_overwrite_allowed=".*",
        ),
        KUBERNETES_POD_ANNOTATIONS_1="podlane.dev/host-ports=22",
    )
    assert meta(plan, "annotations")["podlane.dev/host-ports"] == "8080"
    assert told(plan)[0] == (
        "KUBERNETES_POD_ANNOTATIONS_1 is ignored: the annotation "
        '"podlane.dev/host-ports" is the runner\'s own'
    )


def test_the_last_definition_of_a_variable_counts_and_the_later_of_two_variables_wins() -> None:
    first = Variable(key="KUBERNETES_POD_LABELS_1", value="team=overruled")
    middle = Variable(key="KUBERNETES_POD_LABELS_2", value="team=middle")
    last = Variable(key="KUBERNETES_POD_LABELS_1", value="team=last")
    plan = pod_plan(
        execution_plan(variables=(first, middle, last)), settings(pod_labels_overwrite_allowed=".")
    )
    assert meta(plan, "labels")["team"] == "last"
    assert "overruled" not in " ".join(told(plan))


def test_an_expression_is_searched_for_anywhere_unless_it_is_anchored() -> None:
    account = {"KUBERNETES_SERVICE_ACCOUNT_OVERWRITE": "my-ci-deploy"}
    loose = planned(settings(service_account_overwrite_allowed="ci-"), **account)
    assert spec(loose)["serviceAccountName"] == "my-ci-deploy"
    assert '"ServiceAccount" overwritten with "my-ci-deploy"' in told(loose)
    error = refusal(settings(service_account_overwrite_allowed="^ci-"), **account)
    assert error.message == (
        'couldn\'t prepare overwrites: provided value "my-ci-deploy" does not match "^ci-"'
    )
    assert error.hint is not None
    assert "KUBERNETES_SERVICE_ACCOUNT_OVERWRITE" in error.hint


def test_the_whole_value_of_a_table_is_matched_and_must_be_a_pair() -> None:
    configured = settings(pod_labels_overwrite_allowed="^(team=.*|bare)$")
    assert 'provided value "owner=x" does not match' in str(
        refusal(configured, KUBERNETES_POD_LABELS_1="owner=x")
    )
    error = refusal(configured, KUBERNETES_POD_LABELS_1="bare")
    assert error.message.endswith('provided value "bare" does not match "k=v"')


def test_node_selectors_are_added_and_decide_the_helpers_architecture() -> None:
    configured = settings(
        node_selector={"kubernetes.io/arch": "amd64", "pool": "ci"},
        node_selector_overwrite_allowed="kubernetes.io/(arch|os)=",
    )
    plan = planned(configured, KUBERNETES_NODE_SELECTOR_ARCH="kubernetes.io/arch=arm64")
    assert spec(plan)["nodeSelector"] == {"kubernetes.io/arch": "arm64", "pool": "ci"}
    assert plan.helper_image.reference.endswith(":arm64-latest")
    assert '"NodeSelector" "kubernetes.io/arch" overwritten with "arm64"' in told(plan)
    error = refusal(configured, KUBERNETES_NODE_SELECTOR_OS="kubernetes.io/os=windows")
    assert 'kubernetes.io/os is "windows"' in error.message


@pytest.mark.parametrize(
    ("value", "toleration"),
    [
        (
            "ci=true:NoSchedule",
            {"key": "ci", "operator": "Equal", "value": "true", "effect": "NoSchedule"},
        ),
        ("ci:NoExecute", {"key": "ci", "operator": "Exists", "effect": "NoExecute"}),
        ("ci", {"key": "ci", "operator": "Exists"}),
        ("", {"operator": "Exists"}),
    ],
)  # fmt: skip
def test_tolerations_are_added(value: str, toleration: dict[str, str]) -> None:
    configured = settings(
        node_tolerations={"spot": "NoSchedule"}, node_tolerations_overwrite_allowed=".*"
    )
    plan = planned(configured, KUBERNETES_NODE_TOLERATIONS_1=value)
    assert spec(plan)["tolerations"] == [
        {"key": "spot", "operator": "Exists", "effect": "NoSchedule"},
        toleration,
    ]


def test_masked_values_are_not_told() -> None:
    secret = Variable(key="SECRET", value="hunter2hunter2", masked=True)
    account = Variable(key="KUBERNETES_SERVICE_ACCOUNT_OVERWRITE", value="ci-hunter2hunter2")
    job = execution_plan(variables=(secret, account))
    plan = pod_plan(job, settings(service_account_overwrite_allowed="^ci"))
    assert '"ServiceAccount" overwritten with "ci-[MASKED]"' in told(plan)
    with pytest.raises(PlanError) as caught:
        pod_plan(job, settings(service_account_overwrite_allowed="^x"))
    assert "hunter2" not in f"{caught.value.message} {caught.value.hint}"


def test_no_job_changes_the_settings_of_the_next() -> None:
    configured = settings(pod_labels={"team": "core"}, pod_labels_overwrite_allowed=".*")
    planned(configured, KUBERNETES_POD_LABELS_1="team=web")
    assert meta(planned(configured), "labels")["team"] == "core"
