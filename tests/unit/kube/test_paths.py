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
        (Target(resource="nodes", name="a%b"), "/api/v1/nodes/a%25b"),
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
    ],
)
def test_what_is_no_path_of_ours_is_nothing(url: str) -> None:
    assert parse(url) is None
