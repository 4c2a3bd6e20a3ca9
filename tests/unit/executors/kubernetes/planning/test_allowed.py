from __future__ import annotations

from typing import Any

import pytest

from podlane.executors.base import Level
from podlane.executors.kubernetes.planning.plan import PodPlan
from podlane.executors.kubernetes.refusal import PlanError
from podlane.executors.kubernetes.settings.keys import KubernetesSettings
from podlane.model.job import ExecutorOptions, Image, KubernetesOptions, Service, Variable
from tests.unit.executors.kubernetes.samples import containers, execution_plan, pod_plan, settings


def with_image(name: str, configured: KubernetesSettings, **variables: str) -> PodPlan:
    items = tuple(Variable(key=key, value=value) for key, value in variables.items())
    return pod_plan(execution_plan(Image(name=name), variables=items), configured)


def with_service(name: str, configured: KubernetesSettings) -> PodPlan:
    return pod_plan(execution_plan(services=(Service(name=name),)), configured)


def test_without_a_list_every_image_is_allowed() -> None:
    assert with_image("any/thing", settings()).build_image.reference == "any/thing"


def test_a_list_allows_what_one_of_its_patterns_matches() -> None:
    configured = settings(allowed_images=["ruby:3.*", "registry.example/**/ci:*"])
    for name in ("ruby:3.3", "registry.example/ci:1", "registry.example/a/b/ci:1"):
        assert with_image(name, configured).build_image.reference == name
    for name in ("ruby:2.7", "docker.io/library/ruby:3.3", "evil/registry.example/ci:1"):
        with pytest.raises(PlanError, match="disallowed image"):
            with_image(name, configured)


def test_the_refusal_names_the_image_and_what_is_allowed() -> None:
    with pytest.raises(PlanError) as caught:
        with_image("alpine", settings(allowed_images=["ruby:*", "golang:*"]))
    assert caught.value.message == (
        'disallowed image: the "alpine" image is not present on list of allowed images: '
        "ruby:*, golang:*"
    )
    assert "allowed_images" in str(caught.value.hint)


def test_a_name_is_expanded_before_it_is_checked() -> None:
    configured = settings(allowed_images=["ruby:*"])
    assert with_image("$I:3", configured, I="ruby").build_image.reference == "ruby:3"
    with pytest.raises(PlanError, match='"evil"'):
        with_image("$I", configured, I="evil")


def test_the_runners_own_images_are_always_allowed() -> None:
    configured = settings(image="alpine:$V", allowed_images=["ruby:*"], allowed_services=["redis"])
    assert with_image("alpine:3", configured, V="3").build_image.reference == "alpine:3"
    assert with_image("", configured, V="3").build_image.reference == "alpine:3"
    helper = "registry.gitlab.com/gitlab-org/gitlab-runner/gitlab-runner-helper"
    assert with_image(helper, configured).build_image.reference == helper
    with pytest.raises(PlanError):
        with_image("alpine:4", configured, V="3")


def test_a_list_for_jobs_does_not_bind_services_nor_the_other_way_round() -> None:
    with_service("postgres:16", settings(allowed_images=["alpine"]))
    with_image("ruby", settings(allowed_services=["redis:*"]))


def test_services_have_a_list_of_their_own() -> None:
    configured = settings(allowed_services=["postgres:*", "redis:*"])
    with_service("postgres:16", configured)
    with pytest.raises(PlanError) as caught:
        with_service("mysql:8", configured)
    assert caught.value.message == (
        'disallowed image: the "mysql:8" image is not present on list of allowed services: '
        "postgres:*, redis:*"
    )


def test_the_services_of_the_runner_itself_need_no_leave() -> None:
    configured = settings(services=[{"name": "proxy:1"}], allowed_services=["redis:*"])
    assert containers(pod_plan(None, configured))["svc-0"]["image"] == "proxy:1"


def user(wished: str | int, configured: KubernetesSettings | None = None) -> tuple[Any, list[str]]:
    options = ExecutorOptions(kubernetes=KubernetesOptions(user=wished))
    job = execution_plan(
        Image(name="alpine", executor_opts=options), variables=(Variable(key="ID", value="1001"),)
    )
    plan = pod_plan(job, configured)
    context = containers(plan)["build"]["securityContext"]
    notes = [note.text for note in plan.notes if "image options" in note.text]
    return (context.get("runAsUser"), context.get("runAsGroup")), notes


def test_without_lists_everybody_but_root_is_allowed() -> None:
    assert user("1000:1001") == ((1000, 1001), [])
    assert user(1000) == ((1000, None), [])
    assert user("$ID:$ID") == ((1001, 1001), [])
    taken, notes = user("0:00")
    assert taken == (None, None)
    assert notes == [
        (
            "Error parsing 'uid' from image options for container \"build\", using the configured "
            'security context: validating UID: user "0" is not in the allowed list: []'
        ),
        (
            "Error parsing 'gid' from image options for container \"build\", using the configured "
            'security context: validating GID: group "00" is not in the allowed list: []'
        ),
    ]


def test_lists_say_who_is_allowed_root_too() -> None:
    configured = settings(allowed_users=["0", "1000"], allowed_groups=["1001"])
    assert user("0:1001", configured) == ((0, 1001), [])
    taken, notes = user("1002:1001", configured)
    assert taken == (None, 1001)
    assert notes[0].endswith('user "1002" is not in the allowed list: [0 1000]')


@pytest.mark.parametrize(
    ("wished", "said"),
    [
        ("nobody", 'failed to parse UID: "nobody" is not a number'),
        ("-1", "failed to parse UID: negative values not allowed"),
        ("1:x", 'failed to parse GID: "x" is not a number'),
        ("99999999999999999999", "is not a number"),
    ],
)
def test_what_is_no_number_is_a_warning_and_the_job_goes_on(wished: str, said: str) -> None:
    options = ExecutorOptions(kubernetes=KubernetesOptions(user=wished))
    plan = pod_plan(execution_plan(Image(name="alpine", executor_opts=options)))
    warnings = [note.text for note in plan.notes if note.level is Level.WARNING]
    assert len(warnings) == 1
    assert said in warnings[0]


def test_settings_decide_user_and_group_each_for_itself() -> None:
    configured = settings(
        pod_security_context={"run_as_user": 5},
        service_container_security_context={"run_as_group": 6},
    )
    options = ExecutorOptions(kubernetes=KubernetesOptions(user="7:8"))
    job = execution_plan(
        Image(name="alpine", executor_opts=options),
        services=(Service(name="redis", executor_opts=options),),
    )
    plan = pod_plan(job, configured)
    boxes = containers(plan)
    build, service = boxes["build"]["securityContext"], boxes["svc-0"]["securityContext"]
    assert ("runAsUser" in build, build["runAsGroup"]) == (False, 8)
    assert ("runAsUser" in service, service["runAsGroup"]) == (False, 6)
    assert "runAsGroup" not in boxes["helper"]["securityContext"]
    told = [note.text for note in plan.notes]
    assert (
        'Overriding user for container "build" to "7" is not allowed: user is set to 5 in pod '
        "security context"
    ) in told
    assert (
        'Overriding group for container "svc-0" to "8" is not allowed: group is set to 6 in '
        "container security context"
    ) in told


@pytest.mark.parametrize(
    ("configured", "machine", "tag"),
    [
        ({"helper_image_autoset_arch_and_os": True}, "aarch64", "arm64-latest"),
        ({"helper_image_autoset_arch_and_os": False}, "aarch64", "x86_64-latest"),
        (
            {
                "helper_image_autoset_arch_and_os": True,
                "node_selector": {"kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux"},
            },
            "aarch64",
            "x86_64-latest",
        ),
    ],
)
def test_the_architecture_of_the_helper_image(
    configured: dict[str, Any], machine: str, tag: str
) -> None:
    plan = pod_plan(None, settings(**configured), machine)
    assert plan.helper_image.reference.endswith(f":{tag}")
