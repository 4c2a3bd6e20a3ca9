"""The kubelet's decisions: commands, limits, restarts, users, rights, variables, files."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podlane.kit.jsonvalue import JsonObject
from podlane.node.images.users import ResolvedUser
from podlane.node.kubelet import env, security, sync, volumes
from podlane.node.kubelet.env import ConfigError, PodContext
from podlane.node.kubelet.podspec import Container, Pod, PodSpec, decode_pod
from podlane.node.kubelet.pulls import effective_policy
from podlane.node.kubelet.sandbox import host_ports
from podlane.node.kubelet.states import Terminated
from podlane.node.runtime.bundle import ALL_CAPABILITIES, DEFAULT_CAPABILITIES, Limits, User

FAILED = Terminated(exit_code=1, reason="Error")
DONE = Terminated(exit_code=0, reason="Completed")


class _Sources:
    def __init__(self, **secrets: str) -> None:
        self._data = {k: base64.b64encode(v.encode()).decode() for k, v in secrets.items()}

    def config_map(self, namespace: str, name: str) -> JsonObject | None:
        return {"data": {"A": "one", "B": "two"}} if name == "conf" else None

    def secret(self, namespace: str, name: str) -> JsonObject | None:
        return {"kind": "Secret", "data": {**self._data}} if name == "sec" else None


def _pod(container: dict[str, Any] | None = None, **spec: Any) -> Pod:
    return decode_pod(
        {
            "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"app": "x"}},
            "spec": {"containers": [{"name": "c", "image": "i", **(container or {})}], **spec},
        }
    )


def _context(pod: Pod) -> PodContext:
    return PodContext(pod=pod, sources=_Sources(k="hidden"), ip="10.1.1.1", cpus=4)


def _environment(container: dict[str, Any]) -> dict[str, str]:
    pod = _pod(container)
    return env.environment(_context(pod), pod.spec.containers[0])


def test_null_is_absent() -> None:
    pod = _pod({"args": None, "securityContext": None}, volumes=None)
    assert pod.spec.containers[0].args == ()


@pytest.mark.parametrize(
    ("command", "args", "expected"),
    [
        ((), (), ("e", "c")),
        ((), ("a",), ("e", "a")),
        (("x",), (), ("x",)),
        (("x",), ("a",), ("x", "a")),
    ],
)
def test_a_command_hides_the_images_words(
    command: tuple[str, ...], args: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    container = Container(name="c", command=command, args=args)
    assert sync.command_line(container, ("e",), ("c",)) == expected


@pytest.mark.parametrize(
    ("policy", "ended", "init", "expected"),
    [
        ("Never", FAILED, False, False),
        ("OnFailure", FAILED, False, True),
        ("OnFailure", DONE, False, False),
        ("Always", DONE, False, True),
        ("Always", DONE, True, False),
        ("Always", FAILED, True, True),
        ("Never", FAILED, True, False),
    ],
)
def test_a_container_runs_again_by_policy(
    policy: str, ended: Terminated, init: bool, expected: bool
) -> None:
    assert sync.restarts(policy, Container(name="c"), ended, init=init) is expected


def test_quantities_become_limits() -> None:
    pod = _pod({"resources": {"limits": {"cpu": "500m", "memory": "64Mi"}}})
    limits = sync.limits(pod.spec.containers[0], pod.spec)
    assert limits.memory_bytes == 64 << 20
    assert limits.pids == 16_384, "a fork bomb stays in its container"
    assert limits.cpu_quota_us == 50_000
    assert limits.cpu_shares == 512
    assert sync.qos_class(pod.spec) == "Guaranteed"


def test_the_quality_of_service_follows_from_the_resources() -> None:
    assert sync.qos_class(_pod().spec) == "BestEffort"
    some = _pod({"resources": {"requests": {"cpu": 1}}})
    assert sync.qos_class(some.spec) == "Burstable"
    assert sync.oom_score_adj(_pod().spec.containers[0], _pod().spec, 1) == 1000
    assert sync.oom_score_adj(some.spec.containers[0], some.spec, 1 << 30) == 999


def test_the_resources_of_the_pod_decide_where_it_has_some() -> None:
    def pod(resources: dict[str, Any], *containers: dict[str, Any]) -> PodSpec:
        boxes = [{"name": f"c{i}", "resources": c} for i, c in enumerate(containers)]
        raw: Any = {
            "metadata": {"name": "p", "namespace": "d", "uid": "u"},
            "spec": {"containers": boxes, "resources": resources},
        }
        return decode_pod(raw).spec

    whole = {"cpu": "2", "memory": "512Mi"}
    spec = pod({"limits": whole, "requests": whole}, {"limits": {"cpu": "1"}}, {})
    assert sync.qos_class(spec) == "Guaranteed"
    granted = sync.pod_limits(spec)
    assert granted == Limits(memory_bytes=512 << 20, cpu_shares=2048, cpu_quota_us=200_000)
    first, second = (sync.limits(c, spec) for c in spec.containers)
    assert (first.cpu_quota_us, first.memory_bytes) == (100_000, 512 << 20)
    assert (second.cpu_quota_us, second.memory_bytes) == (200_000, 512 << 20)
    assert sync.pod_limits(pod({}, {"limits": whole})) is None


def test_what_a_pod_requests_beyond_its_containers_protects_them_in_equal_parts() -> None:
    raw: Any = {
        "metadata": {"name": "p", "namespace": "d", "uid": "u"},
        "spec": {
            "containers": [
                {"name": "a", "resources": {"requests": {"memory": 200}}},
                {"name": "b"},
            ],
            "resources": {"requests": {"memory": 600}},
        },
    }
    spec = decode_pod(raw).spec
    scores = [sync.oom_score_adj(c, spec, 1000) for c in spec.containers]
    assert scores == [1000 - 400, 1000 - 200]


def test_variables_come_from_everywhere_in_order() -> None:
    found = _environment(
        {
            "envFrom": [{"configMapRef": {"name": "conf"}, "prefix": "P_"}],
            "env": [
                {"name": "A", "value": "$(P_A)-$(NOPE)-$$(P_A)"},
                {"name": "K", "valueFrom": {"secretKeyRef": {"name": "sec", "key": "k"}}},
                {
                    "name": "O",
                    "valueFrom": {"secretKeyRef": {"name": "no", "key": "k", "optional": True}},
                },
                {"name": "L", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            ],
        }
    )
    assert found == {
        "P_A": "one",
        "P_B": "two",
        "A": "one-$(NOPE)-$(P_A)",
        "K": "hidden",
        "L": "x",
        "CPU": "4",
    }


def test_a_missing_key_is_named_with_its_object() -> None:
    reference = {"secretKeyRef": {"name": "sec", "key": "z"}}
    with pytest.raises(ConfigError, match="couldn't find key z in Secret ns/sec"):
        _environment({"env": [{"name": "A", "valueFrom": reference}]})
    with pytest.raises(ConfigError, match='configmap "none" not found'):
        _environment({"envFrom": [{"configMapRef": {"name": "none"}}]})


@given(st.text(alphabet="ab() ", max_size=20))
def test_a_text_without_dollars_expands_to_itself(raw: str) -> None:
    assert env.expand(raw, {"a": "x"}) == raw


@given(st.text(max_size=20).filter(lambda value: "$" not in value))
def test_a_value_is_not_expanded_again(value: str) -> None:
    assert env.expand("$(a)", {"a": value}) == value


def _account(name: str) -> ResolvedUser:
    return ResolvedUser(uid=int(name or 0), gid=5, supplementary=(7,))


def test_the_container_overrules_the_pod_and_both_the_image() -> None:
    pod = _pod(
        {"securityContext": {"runAsUser": 2}},
        securityContext={"runAsUser": 1, "runAsGroup": 9, "fsGroup": 8, "supplementalGroups": [7]},
    )
    user, _ = security.container_user(pod, pod.spec.containers[0], "3", _account)
    assert user == User(uid=2, gid=9, groups=(7, 8))


@pytest.mark.parametrize(
    ("image_user", "text"),
    [
        ("", "image will run as root"),
        ("0:0", "image will run as root"),
        ("me", "non-numeric user (me)"),
    ],
)
def test_root_is_refused_where_it_must_not_be(image_user: str, text: str) -> None:
    pod = _pod({"securityContext": {"runAsNonRoot": True}})
    with pytest.raises(ConfigError) as caught:
        security.container_user(pod, pod.spec.containers[0], image_user, _account)
    assert text in caught.value.message
    assert '(pod: "p_ns(u)", container: c)' in caught.value.message


def test_capabilities_are_dropped_added_and_bounded_by_what_there_is() -> None:
    def rights(context: dict[str, Any]) -> tuple[str, ...]:
        container = _pod({"securityContext": context}).spec.containers[0]
        return security.container_security(container, (), ALL_CAPABILITIES[:-1]).capabilities

    assert rights({}) == DEFAULT_CAPABILITIES
    assert rights({"capabilities": {"drop": ["ALL"], "add": ["KILL", "CAP_CHOWN"]}}) == (
        "CAP_KILL",
        "CAP_CHOWN",
    )
    assert "CAP_CHOWN" not in rights({"capabilities": {"drop": ["CHOWN"]}})
    assert rights({"privileged": True}) == ALL_CAPABILITIES[:-1]


def test_a_secret_volume_has_items_with_modes() -> None:
    pod = _pod(
        volumes=[
            {
                "name": "v",
                "secret": {
                    "secretName": "sec",
                    "defaultMode": 0o600,
                    "items": [{"key": "k", "path": "a/b", "mode": 0o400}],
                },
            },
            {"name": "w", "secret": {"secretName": "none"}},
            {"name": "x", "secret": {"secretName": "none", "optional": True}},
        ]
    )
    context = _context(pod)
    first, second, third = pod.spec.volumes
    assert volumes.key_files(context, first) == [volumes.File("a/b", b"hidden", 0o400)]
    with pytest.raises(volumes.MountError, match='secret "none" not found'):
        volumes.key_files(context, second)
    assert volumes.key_files(context, third) == []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"secret": {"secretName": "sec"}}, "references non-existent secret key: other"),
        ({"configMap": {"name": "conf"}}, "configmap references non-existent config key: other"),
    ],
)
def test_a_key_that_is_not_there_is_named_in_the_kubelets_words(
    source: dict[str, dict[str, object]], message: str
) -> None:
    (kind,) = source
    source[kind]["items"] = [{"key": "other", "path": "x"}]
    pod = _pod(volumes=[{"name": "v", **source}])
    with pytest.raises(volumes.MountError) as caught:
        volumes.key_files(_context(pod), pod.spec.volumes[0])
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("reference", "policy"),
    [
        ("alpine", "Always"),
        ("alpine:latest", "Always"),
        ("alpine:3", "IfNotPresent"),
        ("host:5000/alpine", "Always"),
        ("host:5000/alpine:3", "IfNotPresent"),
        ("alpine@sha256:00", "IfNotPresent"),
    ],
)
def test_an_image_without_a_tag_is_always_pulled(reference: str, policy: str) -> None:
    assert effective_policy("", reference) == policy
    assert effective_policy("Never", reference) == "Never"


def test_only_ports_are_forwarded() -> None:
    assert host_ports({"podlane.dev/host-ports": "8080, 9000,x,0,70000,8080"}) == (8080, 9000)
    assert host_ports({}) == ()


def test_a_termination_message_is_bounded() -> None:
    message = sync.termination_message(b"x" * 10_000, "File", 1, "log")
    assert len(message) == 4096
    assert sync.termination_message(b"", "FallbackToLogsOnError", 1, "log") == "log"
    assert sync.termination_message(b"", "FallbackToLogsOnError", 0, "log") == ""
