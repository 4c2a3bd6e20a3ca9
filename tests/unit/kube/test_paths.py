from __future__ import annotations

import pytest

from podlane.kube.paths import Target, parse, path


@pytest.mark.parametrize(
    ("target", "url"),
    [
        (Target(resource="pods", namespace="d"), "/api/v1/namespaces/d/pods"),
        (Target(resource="pods"), "/api/v1/pods"),
        (Target(resource="pods", namespace="d", name="p"), "/api/v1/namespaces/d/pods/p"),
        (
            Target(resource="pods", namespace="d", name="p", subresource="exec"),
            "/api/v1/namespaces/d/pods/p/exec",
        ),
        (Target(resource="namespaces"), "/api/v1/namespaces"),
        (Target(resource="namespaces", name="d"), "/api/v1/namespaces/d"),
        (
            Target(resource="namespaces", name="d", subresource="status"),
            "/api/v1/namespaces/d/status",
        ),
        (
            Target(resource="persistentvolumeclaims", namespace="d", name="c"),
            "/api/v1/namespaces/d/persistentvolumeclaims/c",
        ),
        (Target(resource="nodes", name="a%b"), "/api/v1/nodes/a%25b"),
        (
            Target(resource="priorityclasses", name="low"),
            "/apis/scheduling.k8s.io/v1/priorityclasses/low",
        ),
    ],
)
def test_a_path_goes_there_and_back(target: Target, url: str) -> None:
    made = path(target.resource, target.namespace, target.name, target.subresource or "")
    assert made == url
    assert parse(url) == target


@pytest.mark.parametrize(
    "url",
    [
        "/api/v1",
        "/api/v1/",
        "/api/v2/pods",
        "/api/v1/widgets",
        "/api/v1/namespaces/d/pods/p/nonsense",
        "/api/v1/namespaces/d/pods/p/exec/more",
        "/api/v1/namespaces/d/nodes",
        "/api/v1//pods",
        "/apis",
        "/apis/scheduling.k8s.io",
        "/apis/scheduling.k8s.io/v1",
        "/apis/scheduling.k8s.io/v2/priorityclasses",
        "/apis/policy/v1/priorityclasses",
        "/apis/scheduling.k8s.io/v1/pods",
        "/api/v1/priorityclasses",
    ],
)
def test_what_is_no_path_of_ours_is_nothing(url: str) -> None:
    assert parse(url) is None


def test_what_belongs_to_the_whole_cluster_is_in_no_namespace() -> None:
    assert path("priorityclasses", "d", "low") == path("priorityclasses", None, "low")
