"""When a pod takes too much of the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from podlane.kit.jsonvalue import JsonObject
from podlane.node.kubelet.eviction import Usage, disk_bytes, is_limited, verdict
from podlane.node.kubelet.podspec import Pod, decode_pod


def _pod(limit: str = "", **empty_dir: Any) -> Pod:
    resources: JsonObject = {"limits": {"ephemeral-storage": limit}} if limit else {}
    spec: JsonObject = {
        "containers": [{"name": "build", "resources": resources}, {"name": "helper"}],
        "volumes": [{"name": "logs", "emptyDir": empty_dir}],
    }
    return decode_pod({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec})


def test_a_pod_without_limits_is_not_looked_at() -> None:
    assert not is_limited(_pod())
    assert not is_limited(_pod(medium="Memory", sizeLimit="1Mi"))
    assert is_limited(_pod(sizeLimit="1Mi"))
    assert is_limited(_pod("1Mi"))


def test_a_volume_over_its_limit_is_told_in_kubernetes_words() -> None:
    pod = _pod(sizeLimit="1Mi")
    assert verdict(pod, Usage(volumes={"logs": 1 << 20})) == ""
    said = verdict(pod, Usage(volumes={"logs": (1 << 20) + 1}))
    assert said == 'Usage of EmptyDir volume "logs" exceeds the limit "1Mi". '


def test_a_pod_over_the_limits_of_its_containers_is_told_in_kubernetes_words() -> None:
    pod = _pod("2Mi")
    assert verdict(pod, Usage(containers={"build": 1 << 20}, volumes={"logs": 1 << 20})) == ""
    said = verdict(pod, Usage(containers={"build": 1 << 20}, volumes={"logs": 3 << 20}))
    assert said == (
        "Pod ephemeral local storage usage exceeds the total limit of containers 2097152. "
    )


def test_a_tree_is_counted_as_it_lies_on_the_disk(tmp_path: Path) -> None:
    empty = disk_bytes(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "f").write_bytes(b"x" * 100_000)
    assert 100_000 <= disk_bytes(tmp_path) - empty < 200_000
    assert disk_bytes(tmp_path / "missing") == 0
