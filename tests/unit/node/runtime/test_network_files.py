"""The /etc files of a pod."""

from __future__ import annotations

from podlane.node.runtime.network import hosts_file


def test_the_hosts_file_is_as_a_kubelet_writes_it() -> None:
    text = hosts_file("web", "10.0.0.1", (("127.0.0.1", ("db", "cache")),))
    assert text.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert "10.0.0.1\tweb\n" in text
    assert text.endswith("\n# Entries added by HostAliases.\n127.0.0.1\tdb cache\n")
