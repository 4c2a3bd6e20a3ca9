"""The real kubectl against our API server."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from podlane.kit.jsonvalue import JsonObject
from tests.contract.kube_api.conftest import TOKEN, Node

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed"),
]

POD = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  restartPolicy: Never
  containers:
  - {name: build, image: alpine, env: [{name: A, value: b}], resources: {limits: {memory: 64Mi}}}
  - {name: helper, image: "busybox:1.36", volumeMounts: [{name: v, mountPath: /v}]}
  volumes: [{name: v, emptyDir: {}}]
"""

Kubectl = Callable[..., Awaitable[str]]


@pytest.fixture
def kubectl(node: Node, tmp_path: Path) -> Kubectl:
    ca = base64.b64encode(node.access.ca_data or b"").decode()
    config = tmp_path / "config"
    config.write_text(
        f"""
apiVersion: v1
kind: Config
clusters:
- {{name: c, cluster: {{server: "{node.access.server}", certificate-authority-data: {ca}}}}}
users: [{{name: u, user: {{token: {TOKEN}}}}}]
contexts: [{{name: x, context: {{cluster: c, user: u}}}}]
current-context: x
"""
    )
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": str(config)}

    async def run(*args: str, stdin: str = "", code: int = 0) -> str:
        with anyio.fail_after(30):
            done = await anyio.run_process(
                ["kubectl", *args], input=stdin.encode(), env=environ, check=False
            )
        said = (done.stdout + done.stderr).decode()
        assert done.returncode == code, said
        return said

    return run


async def test_apply_get_describe_wait_and_delete(kubectl: Kubectl) -> None:
    assert "pod/web created" in await kubectl("apply", "-f", "-", stdin=POD)
    assert "pod/web unchanged" in await kubectl("apply", "-f", "-", stdin=POD)
    changed = POD.replace("{app: web}", "{app: web, more: labels}")
    assert "pod/web configured" in await kubectl("apply", "-f", "-", stdin=changed)
    await kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=10s")
    header, row = (await kubectl("get", "pods", "-o", "wide")).splitlines()
    assert header.split()[:6] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP"]
    assert row.split()[:4] == ["web", "2/2", "Running", "0"]
    description = await kubectl("describe", "pod", "web")
    assert "Node:             node-1/" in description
    assert "memory:  64Mi" in description
    assert await kubectl("get", "pods", "-l", "app in (web),more", "-o", "name") == "pod/web\n"
    assert "deleted" in await kubectl("delete", "pod", "web", "--wait")
    assert "NotFound" in await kubectl("get", "pod", "web", code=1)


async def test_claims(kubectl: Kubectl) -> None:
    claim = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: files}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""
    assert "files created" in await kubectl("apply", "-f", "-", stdin=claim)
    assert "files unchanged" in await kubectl("apply", "-f", "-", stdin=claim)
    header, row = (await kubectl("get", "pvc")).splitlines()
    assert header.split()[:4] == ["NAME", "STATUS", "VOLUME", "CAPACITY"]
    assert row.split()[:3] == ["files", "Pending", "podlane"]  # nobody binds claims here
    assert "StorageClass:  podlane" in await kubectl("describe", "pvc", "files")
    refused = await kubectl(
        "apply", "-f", "-", stdin=claim.replace("name: files", "name: other").replace(
            "spec: {", "spec: {storageClassName: fast, "
        ), code=1
    )  # fmt: skip
    assert 'this node has the storage class "podlane" alone' in refused
    assert "deleted" in await kubectl("delete", "pvc", "files", "--wait")


async def test_server_side_apply_creates_and_changes(kubectl: Kubectl) -> None:
    for labels in ("{app: web}", "{app: web, second: time}"):
        document = POD.replace("{app: web}", labels)
        said = await kubectl("apply", "--server-side", "-f", "-", stdin=document)
        assert "serverside-applied" in said
    assert "second=time" in await kubectl("get", "pods", "--show-labels")


async def test_exec_attach_and_logs(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=POD)
    assert await kubectl("exec", "web", "-c", "build", "--", "echo", "hi", "there") == "hi there\n"
    assert await kubectl("exec", "-i", "web", "-c", "build", "--", "cat", stdin="in\n") == "in\n"
    assert "exit code 3" in await kubectl("exec", "web", "-c", "build", "--", "exit", "3", code=3)
    missing = await kubectl("exec", "web", "-c", "build", "--", "missing", code=1)
    assert "executable file not found" in missing
    assert await kubectl("logs", "web", "-c", "build", "--tail=2") == "two\nthree\n"
    assert "sent" in await kubectl("attach", "-i", "web", "-c", "build", stdin="sent")


async def test_mistakes_get_kubernetes_texts(kubectl: Kubectl) -> None:
    typo = POD.replace("image: alpine", "imag: alpine, image: alpine")
    refused = await kubectl("apply", "-f", "-", stdin=typo, code=1)
    assert 'strict decoding error: unknown field "spec.containers[0].imag"' in refused
    warned = await kubectl("apply", "--validate=warn", "-f", "-", stdin=typo)
    assert 'Warning: unknown field "spec.containers[0].imag"' in warned
    bad = POD.replace("name: web,", "name: Web,").replace(
        "{name: v, mountPath", "{name: w, mountPath"
    )
    refused = await kubectl("apply", "-f", "-", stdin=bad, code=1)
    assert 'The Pod "Web" is invalid' in refused
    assert 'spec.containers[1].volumeMounts[0].name: Not found: "w"' in refused
    unknown = await kubectl("get", "pods", "--field-selector", "foo=bar", code=1)
    assert "field label not supported: foo" in unknown


async def test_objects_that_kubectl_sends_as_protobuf(kubectl: Kubectl) -> None:
    await kubectl("create", "configmap", "cm", "--from-literal=a=b", "--from-literal=c=d")
    assert await kubectl("get", "cm", "cm", "-o", "jsonpath={.data}") == '{"a":"b","c":"d"}'
    await kubectl("create", "secret", "generic", "s", "--from-literal=k=v")
    assert await kubectl("get", "secret", "s", "-o", "jsonpath={.data.k}/{.type}") == "dg==/Opaque"
    await kubectl("create", "serviceaccount", "robot")
    assert "robot" in await kubectl("get", "sa")


async def test_a_namespace_goes_with_all_that_is_in_it(kubectl: Kubectl) -> None:
    await kubectl("create", "namespace", "other")
    await kubectl("apply", "-n", "other", "-f", "-", stdin=POD)
    assert "other" in await kubectl("get", "pods", "-A")
    await kubectl("delete", "namespace", "other", "--wait")
    assert "No resources found" in await kubectl("get", "pods", "-A")


async def test_labels_annotations_and_patches(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=POD)
    await kubectl("label", "pod", "web", "a=b")
    await kubectl("annotate", "pod", "web", "note=hi")
    await kubectl(
        "patch", "pod", "web", "--type=json", "-p", '[{"op":"remove","path":"/metadata/labels/a"}]'
    )
    shown = await kubectl(
        "get", "pod", "web", "-o", "jsonpath={.metadata.labels}{.metadata.annotations.note}"
    )
    assert shown == '{"app":"web"}hi'
    assert "yes" in await kubectl("auth", "can-i", "create", "pods")


async def test_a_priority_class_is_applied_and_listed(kubectl: Kubectl) -> None:
    manifest = """
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: low}
value: -1
"""
    applied = await kubectl("apply", "-f", "-", stdin=manifest)
    assert applied == "priorityclass.scheduling.k8s.io/low created\n"
    header, *rows = (await kubectl("get", "pc")).splitlines()
    assert header.split()[:3] == ["NAME", "VALUE", "GLOBAL-DEFAULT"]
    assert dict(row.split()[:2] for row in rows) == {
        "low": "-1", "system-cluster-critical": "2000000000", "system-node-critical": "2000001000"
    }  # fmt: skip
    assert "deleted" in await kubectl("delete", "priorityclass", "low")


async def test_a_node_is_drained_of_what_no_budget_protects(node: Node, kubectl: Kubectl) -> None:
    machine: JsonObject = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}}
    node.store.create("nodes", "", machine)
    await kubectl("apply", "-f", "-", stdin=POD)
    await kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=25s")
    created = await kubectl("create", "pdb", "keep", "--selector=app=web", "--min-available=1")
    assert created == "poddisruptionbudget.policy/keep created\n"
    (row,) = (await kubectl("get", "pdb", "--no-headers")).splitlines()
    assert row.split()[:4] == ["keep", "1", "N/A", "0"]
    eviction = '{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web"}}'
    path = "/api/v1/namespaces/default/pods/web/eviction"
    said = await kubectl("create", "--raw", path, "-f", "-", stdin=eviction, code=1)
    assert "Cannot evict pod as it would violate the pod's disruption budget" in said
    assert "web" in await kubectl("get", "pods")
    await kubectl("delete", "pdb", "keep")
    drain = ("drain", "node-1", "--force", "--delete-emptydir-data", "--timeout=25s")
    assert "pod/web evicted" in await kubectl(*drain)
