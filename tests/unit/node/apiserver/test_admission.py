from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from podlane.kube import errors
from podlane.node.apiserver import schema
from podlane.node.apiserver.admission import admit_create, admit_update, exec_container


def pod(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "build", "image": "alpine"}], **spec},
    }


def admitted(entry: dict[str, Any], resource: str = "pods") -> dict[str, Any]:
    admit_create(resource, entry, node_name="node-1")
    return entry


def test_a_pod_gets_kubernetes_defaults() -> None:
    made = admitted(pod())
    assert made["kind"] == "Pod"
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    spec = made["spec"]
    assert spec["restartPolicy"] == "Always"
    assert spec["terminationGracePeriodSeconds"] == 30
    assert spec["nodeName"] == "node-1"
    assert spec["serviceAccountName"] == "default"
    assert spec["containers"][0]["terminationMessagePath"] == "/dev/termination-log"


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("alpine", "Always"),
        ("alpine:latest", "Always"),
        ("alpine:3", "IfNotPresent"),
        ("host:5000/alpine", "Always"),
        ("host:5000/alpine:3", "IfNotPresent"),
        ("alpine@sha256:" + "0" * 64, "IfNotPresent"),
    ],
)
def test_the_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    made = admitted(pod(containers=[{"name": "a", "image": image}]))
    assert made["spec"]["containers"][0]["imagePullPolicy"] == policy


@pytest.mark.parametrize(
    ("resources", "qos"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m"}}, "Guaranteed"),
    ],
)
def test_the_quality_of_service_follows_the_resources(resources: Any, qos: str) -> None:
    made = admitted(pod(containers=[{"name": "a", "image": "x", "resources": resources}]))
    assert made["status"]["qosClass"] == qos


CONTAINER = {"name": "a", "image": "x"}


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"containers": []}, "spec.containers: Required value"),
        ({"containers": [{"name": "a"}]}, "spec.containers[0].image: Required value"),
        ({"containers": [{"image": "x"}]}, "spec.containers[0].name: Required value"),
        ({"containers": [CONTAINER, CONTAINER]}, 'containers[1].name: Duplicate value: "a"'),
        ({"containers": [{**CONTAINER, "name": "A_b"}]}, "a lowercase RFC 1123 label must"),
        (
            {"containers": [{**CONTAINER, "imagePullPolicy": "Sometimes"}]},
            'Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"',
        ),
        (
            {"containers": [{**CONTAINER, "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]},
            'spec.containers[0].volumeMounts[0].name: Not found: "v"',
        ),
        (
            {"containers": [{**CONTAINER, "resources": {
                "limits": {"cpu": "1"}, "requests": {"cpu": "2"}}}]},
            'Invalid value: "2": must be less than or equal to cpu limit of 1',
        ),
        ({"restartPolicy": "Maybe"}, 'spec.restartPolicy: Unsupported value: "Maybe"'),
        ({"terminationGracePeriodSeconds": -1}, "must be greater than or equal to 0"),
        ({"activeDeadlineSeconds": 0}, "must be greater than or equal to 1"),
        ({"hostAliases": [{"ip": "nope"}]}, "must be a valid IP address"),
        (
            {"hostAliases": [{"ip": "127.0.0.1", "hostnames": ["db", "group__db"]}]},
            "spec.hostAliases[0].hostnames",
        ),
        ({"volumes": [{"name": "v", "secret": {}}]}, "volumes[0].secret.secretName: Required"),
        ({"volumes": [{"name": "v"}, {"name": "v"}]}, 'volumes[1].name: Duplicate value: "v"'),
        ({"securityContext": {"runAsUser": -5}}, "runAsUser: Invalid value: -5"),
    ],
)  # fmt: skip
def test_a_pod_that_breaks_rules_is_refused_with_the_field(spec: Any, text: str) -> None:
    with pytest.raises(errors.InvalidError) as refused:
        admitted(pod(**deepcopy(spec)))
    assert 'Pod "p" is invalid' in refused.value.message
    assert text in refused.value.message
    assert refused.value.code == 422


def test_all_findings_come_at_once() -> None:
    with pytest.raises(errors.InvalidError) as refused:
        admitted({"metadata": {"name": "P"}, "spec": {"containers": [{}]}})
    details = refused.value.status.details
    assert details is not None
    assert len(details.causes) == 3


@pytest.mark.parametrize(
    "labels", [{"a b": "c"}, {"a": "-x"}, {"a": "x" * 64}, {"UPPER.com/x": "y"}, {"x/": "y"}]
)
def test_labels_are_checked(labels: dict[str, str]) -> None:
    entry = pod()
    entry["metadata"]["labels"] = labels
    with pytest.raises(errors.InvalidError, match=r"metadata\.labels: Invalid value"):
        admitted(entry)


def test_secrets_take_plain_text_and_refuse_bad_base64() -> None:
    made = admitted({"metadata": {"name": "s"}, "stringData": {"a": "b"}}, "secrets")
    assert made["data"] == {"a": "Yg=="}
    assert made["type"] == "Opaque"
    assert "stringData" not in made
    with pytest.raises(errors.InvalidError, match="illegal base64 data"):
        admitted({"metadata": {"name": "s"}, "data": {"a": "?"}}, "secrets")
    with pytest.raises(errors.InvalidError, match="a valid config key must consist"):
        admitted({"metadata": {"name": "s"}, "data": {"a/b": ""}}, "configmaps")


def test_an_update_keeps_the_status_and_the_spec() -> None:
    old = admitted(pod())
    new = deepcopy(old)
    new["metadata"]["labels"] = {"a": "b"}
    new["spec"]["activeDeadlineSeconds"] = 5
    new["status"] = {"phase": "Succeeded"}
    admit_update("pods", old, new)
    assert new["status"]["phase"] == "Pending"
    new["spec"]["hostNetwork"] = True
    with pytest.raises(errors.InvalidError, match="pod updates may not change fields other than"):
        admit_update("pods", old, new)


def test_what_is_immutable_stays() -> None:
    old = admitted({"metadata": {"name": "c"}, "data": {"a": "b"}, "immutable": True}, "configmaps")
    new = deepcopy(old)
    new["data"]["a"] = "c"
    with pytest.raises(errors.InvalidError, match="field is immutable when `immutable` is set"):
        admit_update("configmaps", old, new)


def test_unknown_fields_are_found_and_dropped() -> None:
    entry = pod(foo=1)
    entry["spec"]["containers"][0]["imag"] = "x"
    entry["metadata"]["labels"] = {"anything": "goes"}
    assert schema.check("Pod", entry) == ["spec.containers[0].imag", "spec.foo"]
    assert schema.check("Pod", entry) == []


@pytest.mark.parametrize(
    "spec",
    [
        {"securityContext": {"runAsUser": "1000"}},
        {"containers": {"name": "a"}},
        {"hostNetwork": "yes"},
        {"containers": [{"name": "a", "image": 5}]},
        {"terminationGracePeriodSeconds": True},
    ],
)
def test_a_field_of_the_wrong_type_is_refused_not_ignored(spec: Any) -> None:
    with pytest.raises(errors.InvalidError, match="cannot unmarshal"):
        schema.check("Pod", pod(**spec))


def test_the_container_is_the_one_asked_for_or_the_only_one() -> None:
    one = admitted(pod())
    two = admitted(pod(containers=[{"name": "a", "image": "x"}, {"name": "b", "image": "x"}]))
    assert exec_container(one, "") == "build"
    assert exec_container(two, "b") == "b"
    with pytest.raises(errors.InvalidError, match=r"choose one of: \[a b\]"):
        exec_container(two, "")
    with pytest.raises(errors.InvalidError, match="container x is not valid for pod p"):
        exec_container(two, "x")
