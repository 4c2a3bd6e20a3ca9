from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from podlane.executors.kubernetes.manifests.services import AliasError, image_aliases
from podlane.executors.kubernetes.refusal import PlanError
from podlane.kit.jsonvalue import objects, text
from podlane.model.job import (
    Credentials,
    ExecutorOptions,
    Image,
    KubernetesOptions,
    Service,
    Variable,
)
from tests.unit.executors.kubernetes.samples import (
    containers,
    execution_plan,
    pod_plan,
    settings,
)
from tests.unit.executors.kubernetes.samples import spec as spec_of

HELPER = "registry.gitlab.com/gitlab-org/gitlab-runner/gitlab-runner-helper:x86_64-latest"


def secret_data(plan: Any) -> dict[str, str]:
    data = plan.secret["data"]
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def test_names_labels_and_paths_are_gitlabs() -> None:
    plan = pod_plan()
    meta: Any = plan.pod["metadata"]
    assert plan.name == "runner-abcdefghi-project-7-concurrent-0-abcd1234"
    labels = meta["labels"]
    assert labels["project.runner.gitlab.com/id"] == "7"
    assert labels["project.runner.gitlab.com/name"] == "Project_One"
    assert labels["project.runner.gitlab.com/root-namespace"] == "group"
    assert labels["manager.runner.gitlab.com/name"] == "my_runner"
    assert labels["podlane.dev/job-id"] == "42"
    assert labels["podlane.dev/system-id"] == "s_machine"
    assert plan.where.logs == "/logs-7-42"
    assert plan.where.scripts == "/scripts-7-42"


def test_labels_of_gitlab_and_ours_cannot_be_overridden() -> None:
    configured = settings(
        pod_labels={"team": "$TEAM", "a.runner.gitlab.com/x": "no", "podlane.dev/job-id": "no"}
    )
    plan = pod_plan(execution_plan(variables=(Variable(key="TEAM", value="core"),)), configured)
    meta: Any = plan.pod["metadata"]
    labels = meta["labels"]
    assert labels["team"] == "core"
    assert "a.runner.gitlab.com/x" not in labels
    assert labels["podlane.dev/job-id"] == "42"


def test_the_plan_tells_the_supervisor_everything() -> None:
    assert secret_data(pod_plan())["plan"].splitlines() == [
        "logs /logs-7-42",
        "tools /podlane",
        "grace 10",
        "stage prepare_script helper on_success 1 0 0",
        "stage get_sources helper on_success 3 0 0",
        "stage step_script build on_success 1 91 0",
        "stage after_script build always 1 0 1",
        "stage upload_artifacts_on_success helper on_success 1 0 0",
    ]


def test_no_variable_no_token_and_no_script_is_in_the_pod() -> None:
    variables = (
        Variable(key="PASSWORD", value="hunter2", masked=True),
        Variable(key="PUBLIC", value="visible value", public=True),
    )
    service = Service(name="postgres", variables=(Variable(key="PG", value="pg-secret"),))
    plan = execution_plan(variables=variables, services=(service,))
    shown = json.dumps(pod_plan(plan).pod)
    for hidden in ("hunter2", "visible value", "pg-secret", "secret-job-token", "make"):
        assert hidden not in shown


def test_service_variables_are_references_and_the_public_ones_only() -> None:
    variables = (
        Variable(key="PASSWORD", value="hunter2"),
        Variable(key="PUBLIC", value="x", public=True),
    )
    service = Service(name="postgres:13", variables=(Variable(key="PG", value="$PUBLIC-y"),))
    plan = pod_plan(execution_plan(variables=variables, services=(service,)))
    env = {
        text(e, "name"): text(e, "valueFrom", "secretKeyRef", "key")
        for e in objects(containers(plan)["svc-0"]["env"])
    }
    assert env == {"PUBLIC": "env.PUBLIC", "PG": "env.0.PG"}
    assert secret_data(plan)["env.0.PG"] == "x-y"
    projected = spec_of(plan)["volumes"][0]["secret"]["items"]
    assert not [item for item in projected if item["key"].startswith("env.")]


def test_only_the_users_images_and_the_helper_image_are_in_a_pod() -> None:
    configured = settings(
        helper_image="mirror.example/helper:$CI_RUNNER_VERSION",
        pod_security_context={"run_as_non_root": True, "fs_group": 1},
        services=[{"name": "redis", "alias": "cache"}],
    )
    variables = (Variable(key="CI_RUNNER_VERSION", value="1.2"),)
    service = Service(name="postgres:13", alias="db")
    plan = pod_plan(execution_plan(variables=variables, services=(service,)), configured)
    images = {name: box["image"] for name, box in containers(plan).items()}
    assert images == {
        "init-permissions": "mirror.example/helper:1.2",
        "helper": "mirror.example/helper:1.2",
        "build": "alpine",
        "cache": "redis",
        "db": "postgres:13",
    }


@pytest.mark.parametrize(
    ("flags", "image"),
    [
        ({}, HELPER),
        ({"FF_GITLAB_REGISTRY_HELPER_IMAGE": True}, HELPER),
        (
            {"FF_GITLAB_REGISTRY_HELPER_IMAGE": False},
            "docker.io/gitlab/gitlab-runner-helper:x86_64-latest",
        ),
    ],
)
def test_the_registry_of_the_helper_image_follows_the_flag(
    flags: dict[str, bool], image: str
) -> None:
    plan = pod_plan(execution_plan(flags=flags))
    boxes = containers(plan)
    assert boxes["helper"]["image"] == boxes["init-permissions"]["image"] == image


@pytest.mark.parametrize(
    ("configured", "machine", "tag"),
    [
        ({}, "aarch64", "arm64-latest"),
        ({"helper_image_flavor": "ubuntu"}, "x86_64", "ubuntu-x86_64-latest"),
        ({"helper_image_flavor": "alpine"}, "x86_64", "x86_64-latest"),
        ({"node_selector": {"kubernetes.io/arch": "arm64"}}, "x86_64", "arm64-latest"),
    ],
)
def test_the_tag_of_the_helper_image(configured: dict[str, Any], machine: str, tag: str) -> None:
    plan = pod_plan(None, settings(**configured), machine)
    assert plan.helper_image.reference.endswith(f":{tag}")


def test_rewrites_apply_to_every_image_and_are_told() -> None:
    configured = settings(
        image_rewrites=[
            {"match": "docker.io/*", "replace": "registry.internal/dockerhub/*"},
            {"match": "registry.gitlab.com/*", "replace": "registry.internal/gitlab/*"},
        ]
    )
    plan = pod_plan(execution_plan(services=(Service(name="redis:7"),)), configured)
    images = {name: box["image"] for name, box in containers(plan).items()}
    assert images["build"] == "registry.internal/dockerhub/library/alpine:latest"
    assert images["svc-0"] == "registry.internal/dockerhub/library/redis:7"
    assert images["helper"] == HELPER.replace("registry.gitlab.com", "registry.internal/gitlab")
    assert images["init-permissions"] == images["helper"]
    told = [note.text for note in plan.notes]
    assert (
        "Using image registry.internal/dockerhub/library/alpine:latest for alpine (image_rewrites)"
        in told
    )


def test_a_job_without_any_image_is_refused() -> None:
    with pytest.raises(PlanError, match="no image specified and no default set in config"):
        pod_plan(execution_plan(Image()))


def test_the_default_image_is_expanded() -> None:
    variables = (Variable(key="V", value="3.20"),)
    plan = pod_plan(execution_plan(Image(), variables=variables), settings(image="alpine:$V"))
    assert plan.build_image.reference == "alpine:3.20"


def test_a_pull_policy_that_is_not_allowed_is_refused() -> None:
    job = execution_plan(Image(name="alpine", pull_policy=("always",)))
    with pytest.raises(PlanError, match=r"\[Always\].*allowed_pull_policies \(\[Never\]\)"):
        pod_plan(job, settings(pull_policy="never"))


def test_the_clusters_default_has_to_be_allowed_as_any_other_policy() -> None:
    with pytest.raises(PlanError, match=r"\(\[\]\) defined in Runner config \(default\)"):
        pod_plan(configured=settings(allowed_pull_policies=["always"]))
    pod_plan(configured=settings(allowed_pull_policies=["always", ""]))


def test_pull_policy_and_resources_reach_the_containers() -> None:
    configured = settings(
        pull_policy="if-not-present",
        cpu_request="500m",
        memory_limit="1Gi",
        helper_memory_limit="99Mi",
    )
    boxes = containers(pod_plan(None, configured))
    assert {box["imagePullPolicy"] for box in boxes.values()} == {"IfNotPresent"}
    assert boxes["build"]["resources"] == {
        "limits": {"memory": "1Gi"},
        "requests": {"cpu": "500m"},
    }
    assert boxes["helper"]["resources"] == boxes["init-permissions"]["resources"]


def test_every_container_drops_net_raw_and_follows_the_security_settings() -> None:
    configured = settings(
        privileged=False,
        cap_add=["CAP_SYS_PTRACE"],
        build_container_security_context={"run_as_user": 1000, "run_as_non_root": True},
        init_permissions_container_security_context={"capabilities": {"drop": ["ALL"]}},
    )
    boxes = containers(pod_plan(execution_plan(services=(Service(name="redis"),)), configured))
    build = boxes["build"]["securityContext"]
    assert build == {
        "capabilities": {"add": ["SYS_PTRACE"], "drop": ["NET_RAW"]},
        "privileged": False,
        "runAsUser": 1000,
        "runAsNonRoot": True,
    }
    init = boxes["init-permissions"]["securityContext"]
    assert init["capabilities"] == {"add": ["SYS_PTRACE"], "drop": ["ALL"]}
    assert all("securityContext" in box for box in boxes.values())


def test_the_jobs_user_yields_to_settings_and_is_never_root() -> None:
    def image(user: str) -> Image:
        options = ExecutorOptions(kubernetes=KubernetesOptions(user=user))
        return Image(name="alpine", executor_opts=options)

    def user(plan: Any) -> Any:
        return containers(plan)["build"]["securityContext"].get("runAsUser")

    assert user(pod_plan(execution_plan(image("1000:1001")))) == 1000
    refused = pod_plan(execution_plan(image("0")))
    assert user(refused) is None
    assert any("not in the allowed list" in note.text for note in refused.notes)
    context = {"run_as_user": 5}
    assert (
        user(
            pod_plan(execution_plan(image("7")), settings(build_container_security_context=context))
        )
        == 5
    )


def test_registry_credentials_are_a_pull_secret_that_the_job_cannot_read() -> None:
    plan = execution_plan()
    job = plan.job
    credentials = (Credentials(type="registry", url="r.example", username="u", password="p"),)
    import dataclasses

    import msgspec

    plan = dataclasses.replace(plan, job=msgspec.structs.replace(job, credentials=credentials))
    made = pod_plan(plan)
    assert made.secret["type"] == "kubernetes.io/dockerconfigjson"
    assert (
        json.loads(secret_data(made)[".dockerconfigjson"])["auths"]["r.example"]["password"] == "p"
    )
    spec = spec_of(made)
    assert spec["imagePullSecrets"] == [{"name": made.name}]
    volume = json.dumps(spec["volumes"])
    assert ".dockerconfigjson" not in volume


def test_scripts_that_do_not_fit_into_a_secret_are_refused_with_a_way_out() -> None:
    import dataclasses

    plan = execution_plan()
    big = dataclasses.replace(plan.stages[2], script="x" * 2_000_000)
    with pytest.raises(PlanError, match=r"stage\.step_script") as caught:
        pod_plan(dataclasses.replace(plan, stages=(big,)))
    assert caught.value.hint is not None


def test_the_deadline_of_the_pod_is_one_second_after_the_jobs_timeout() -> None:
    spec = spec_of(pod_plan())
    assert spec["activeDeadlineSeconds"] == 7201
    flags = {"FF_USE_POD_ACTIVE_DEADLINE_SECONDS": False}
    spec = spec_of(pod_plan(execution_plan(flags=flags)))
    assert "activeDeadlineSeconds" not in spec


def test_the_tools_can_be_written_by_the_init_container_only() -> None:
    for name, box in containers(pod_plan()).items():
        mounts = {text(m, "name"): m for m in objects(box["volumeMounts"])}
        assert ("readOnly" in mounts["tools"]) == (name != "init-permissions")
        assert mounts["scripts"]["readOnly"] is True


@pytest.mark.parametrize(
    ("image", "aliases"),
    [
        ("postgres:13", ["postgres"]),
        ("group/db:1", ["group-db"]),  # group__db is no name in DNS: the cluster refuses the pod
        ("registry.example:5000/group/db@sha256:0", ["registry.example-group-db"]),
        ("group/My_Db:1", []),
    ],
)
def test_host_names_derived_from_an_image(image: str, aliases: list[str]) -> None:
    assert image_aliases(image) == aliases


def test_services_are_called_after_their_first_usable_alias() -> None:
    services = (
        Service(name="redis", alias="build,cache other"),
        Service(name="redis", alias="cache"),
        Service(name=""),
    )
    plan = pod_plan(execution_plan(services=services))
    assert list(containers(plan))[3:] == ["cache", "svc-1"]
    spec = spec_of(plan)
    assert spec["hostAliases"] == [
        {"ip": "127.0.0.1", "hostnames": ["redis", "build", "cache", "other"]}
    ]


def test_an_alias_that_is_no_host_name_is_refused() -> None:
    with pytest.raises(AliasError, match="Bad_Alias"):
        pod_plan(execution_plan(services=(Service(name="redis", alias="Bad_Alias"),)))


def test_placement_settings_reach_the_pod() -> None:
    configured = settings(
        node_selector={"pool": "ci"},
        node_tolerations={"ci=yes": "NoSchedule", "spot": ""},
        service_account="runner",
        image_pull_secrets=["regcred"],
        host_aliases=[{"ip": "10.0.0.1", "hostnames": ["gitlab.internal"]}],
        dns_policy="cluster-first",
        priority_class_name="ci",
        pod_termination_grace_period_seconds=7,
    )
    spec = spec_of(pod_plan(None, configured))
    assert spec["nodeSelector"] == {"pool": "ci"}
    assert spec["tolerations"] == [
        {"operator": "Equal", "key": "ci", "value": "yes", "effect": "NoSchedule"},
        {"operator": "Exists", "key": "spot"},
    ]
    assert spec["serviceAccountName"] == "runner"
    assert spec["imagePullSecrets"] == [{"name": "regcred"}]
    assert spec["hostAliases"] == [{"ip": "10.0.0.1", "hostnames": ["gitlab.internal"]}]
    assert spec["dnsPolicy"] == "ClusterFirst"
    assert spec["priorityClassName"] == "ci"
    assert spec["terminationGracePeriodSeconds"] == 7
