"""What a node refuses in volumes, mounts, hooks and DNS settings of a pod."""

from __future__ import annotations

from typing import Any

import pytest

from podlane.node.apiserver.findings import Findings
from podlane.node.apiserver.podrules import check, default_hooks


def told(**spec: Any) -> list[str]:
    findings = Findings()
    check(findings, spec)
    return [f"{cause.field}: {cause.message}" for cause in findings.causes]


def told_of(group: str = "containers", **container: Any) -> list[str]:
    return [text.removeprefix(f"spec.{group}[0].") for text in told(**{group: [container]})]


@pytest.mark.parametrize("kind", ["glusterfs", "image", "iscsi", "gitRepo", "cephfs"])
def test_a_kind_of_volume_that_the_node_has_not_is_refused(kind: str) -> None:
    assert told(volumes=[{"name": "v", kind: {}}]) == [
        f"spec.volumes[0].{kind}: Forbidden: this node has no volumes of this kind"
    ]


def test_a_volume_that_a_driver_mounts_is_the_kubelets_business() -> None:
    volumes = [
        {"name": "a", "csi": {"driver": "d"}},
        {"name": "b", "nfs": {"server": "s", "path": "/p"}},
        {"name": "c", "persistentVolumeClaim": {"claimName": "c"}},
    ]
    assert told(volumes=volumes) == []
    empty = [{"name": "a", "csi": {}}, {"name": "b", "nfs": {}},
             {"name": "c", "persistentVolumeClaim": {}}]  # fmt: skip
    assert told(volumes=empty) == [
        "spec.volumes[0].csi.driver: Required value",
        "spec.volumes[1].nfs.server: Required value",
        "spec.volumes[1].nfs.path: Required value",
        "spec.volumes[2].persistentVolumeClaim.claimName: Required value",
    ]


def test_the_claim_of_an_ephemeral_volume_is_checked_with_the_pod() -> None:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}

    def volume(**more: Any) -> list[Any]:
        return [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": wanted | more}}}]

    assert told(volumes=volume()) == []
    found = told(volumes=volume(storageClassName="fast"))
    where = "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.storageClassName"
    why = 'this node has the storage class "podlane" alone; leave the field out'
    assert found == [f"{where}: Forbidden: {why}"]


def test_mounts_flow_back_to_the_node_from_privileged_containers_only() -> None:
    mounts = [{"name": "v", "mountPath": "/v", "mountPropagation": "Bidirectional"}]
    why = "Bidirectional mount propagation is available only to privileged containers"
    where = "volumeMounts[0].mountPropagation"
    assert told_of(volumeMounts=mounts) == [f"{where}: Forbidden: {why}"]
    assert told_of(volumeMounts=mounts, securityContext={"privileged": True}) == []
    mounts[0]["mountPropagation"] = "Both"
    assert "Unsupported value" in told_of(volumeMounts=mounts)[0]


@pytest.mark.parametrize(
    ("handler", "text"),
    [
        ({}, "lifecycle.preStop: Required value: must specify a handler type"),
        (
            {"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}},
            "lifecycle.preStop.tcpSocket: Forbidden: may not specify more than 1 handler type",
        ),
        ({"exec": {}}, "lifecycle.preStop.exec.command: Required value"),
        ({"httpGet": {}}, "lifecycle.preStop.httpGet.port: Invalid value: None: must be between"),
        ({"httpGet": {"port": 70000}}, "must be between 1 and 65535, inclusive"),
        ({"httpGet": {"port": 1, "scheme": "http"}}, 'httpGet.scheme: Unsupported value: "http"'),
        ({"httpGet": {"port": 1, "httpHeaders": [{"value": "v"}]}}, "httpHeaders: Required value"),
        ({"sleep": {"seconds": -1}}, "lifecycle.preStop.sleep: Invalid value: -1"),
    ],
)
def test_a_hook_that_cannot_be_called_is_refused(handler: Any, text: str) -> None:
    found = told_of(lifecycle={"preStop": handler})
    assert len(found) == 1
    assert text in found[0]


def test_init_containers_have_hooks_only_if_they_stay() -> None:
    lifecycle = {"postStart": {"exec": {"command": ["a"]}}}
    assert told_of("initContainers", lifecycle=lifecycle) == [
        "lifecycle: Forbidden: may not be set for init containers"
    ]
    assert told_of("initContainers", lifecycle=lifecycle, restartPolicy="Always") == []


def test_a_request_has_a_path_and_a_scheme_by_default() -> None:
    container: Any = {"lifecycle": {"preStop": {"httpGet": {"port": 80}}}}
    default_hooks(container)
    assert container["lifecycle"]["preStop"]["httpGet"] == {
        "port": 80,
        "path": "/",
        "scheme": "HTTP",
    }


def test_dns_settings_are_checked() -> None:
    why = "must provide at least one DNS nameserver when `dnsPolicy` is None"
    assert told(dnsPolicy="None") == [f"spec.dnsConfig.nameservers: Required value: {why}"]
    config = {"nameservers": ["1.1.1.1", "x", "2.2.2.2", "3.3.3.3"], "options": [{"value": "1"}]}
    found = told(dnsPolicy="None", dnsConfig=config)
    assert len(found) == 3
    assert "must not have more than 3 nameservers" in found[0]
    assert 'nameservers[1]: Invalid value: "x": must be a valid IP address' in found[1]
    assert "spec.dnsConfig.options[0]: Required value" in found[2]
