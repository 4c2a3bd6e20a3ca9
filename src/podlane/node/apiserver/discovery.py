"""What the server says about itself: versions, resources in both forms, and an OpenAPI stub.

kubectl needs OpenAPI only to know that ``fieldValidation`` is supported; then it trusts us.
"""

from __future__ import annotations

from podlane.kit.jsonvalue import Json, JsonObject
from podlane.kube.paths import RESOURCES, Resource

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_VERBS = "create delete deletecollection get list patch update watch"
_AUTHORIZATION = "authorization.k8s.io"
_REVIEW = "selfsubjectaccessreviews"
_SUB_VERBS = {"status": "get patch update", "log": "get", "exec": "create get"}

VERSION: JsonObject = {
    "major": "1",
    "minor": "32",
    "gitVersion": "v1.32.0-podlane",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}


def aggregated(path: str) -> JsonObject:
    """Return ``/api`` or ``/apis`` in the aggregated form."""
    if path == "/api":
        resources: list[Json] = [_aggregated_resource(r) for r in RESOURCES.values()]
        group = ""
    else:
        group = _AUTHORIZATION
        resources = [
            {
                "resource": _REVIEW,
                "responseKind": {
                    "group": group,
                    "version": "v1",
                    "kind": "SelfSubjectAccessReview",
                },
                "scope": "Cluster",
                "singularResource": "selfsubjectaccessreview",
                "verbs": ["create"],
            }
        ]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [
            {
                "metadata": {"name": group},
                "versions": [{"version": "v1", "freshness": "Current", "resources": resources}],
            }
        ],
    }


def _aggregated_resource(resource: Resource) -> JsonObject:
    kind: JsonObject = {"group": "", "version": "v1", "kind": resource.kind}
    return {
        "resource": resource.name,
        "responseKind": kind,
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.kind.lower(),
        "shortNames": list(resource.short_names),
        "categories": list(resource.categories),
        "verbs": list(_VERBS.split()),
        "subresources": [
            {"subresource": name, "responseKind": kind, "verbs": list(_sub_verbs(name))}
            for name in resource.subresources
        ],
    }


def _sub_verbs(name: str) -> list[str]:
    return _SUB_VERBS.get(name, "create get").split()


def legacy(path: str) -> JsonObject | None:
    """Return a discovery document in the old form, or None if there is none at this path."""
    match path:
        case "/api":
            return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
        case "/apis":
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group()]}
        case "/apis/authorization.k8s.io":
            return _group() | {"kind": "APIGroup", "apiVersion": "v1"}
        case "/apis/authorization.k8s.io/v1":
            review: JsonObject = {
                "name": _REVIEW,
                "singularName": "selfsubjectaccessreview",
                "namespaced": False,
                "kind": "SelfSubjectAccessReview",
                "verbs": ["create"],
            }
            return _resource_list(f"{_AUTHORIZATION}/v1", [review])
        case "/api/v1":
            entries: list[Json] = []
            for resource in RESOURCES.values():
                entries += _legacy_resource(resource)
            return _resource_list("v1", entries)
        case _:
            return None


def _group() -> JsonObject:
    version: JsonObject = {"groupVersion": f"{_AUTHORIZATION}/v1", "version": "v1"}
    return {"name": _AUTHORIZATION, "versions": [version], "preferredVersion": version}


def _resource_list(group_version: str, entries: list[Json]) -> JsonObject:
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": entries,
    }


def _legacy_resource(resource: Resource) -> list[Json]:
    entry: JsonObject = {
        "name": resource.name,
        "singularName": resource.kind.lower(),
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "shortNames": list(resource.short_names),
        "categories": list(resource.categories),
        "verbs": list(_VERBS.split()),
    }
    subresources: list[Json] = [
        {
            "name": f"{resource.name}/{name}",
            "singularName": "",
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": list(_sub_verbs(name)),
        }
        for name in resource.subresources
    ]
    return [entry, *subresources]


def openapi(path: str) -> JsonObject | None:
    """Return the OpenAPI index or stub, or None if there is none at this path."""
    if path == "/openapi/v3":
        return {"paths": {"api/v1": {"serverRelativeURL": "/openapi/v3/api/v1"}}}
    if path != "/openapi/v3/api/v1":
        return None
    paths: JsonObject = {}
    for resource in RESOURCES.values():
        scope = "/namespaces/{namespace}" if resource.namespaced else ""
        operation: JsonObject = {
            "parameters": [{"name": "fieldValidation", "in": "query"}],
            "responses": {},
            "x-kubernetes-group-version-kind": {
                "group": "",
                "version": "v1",
                "kind": resource.kind,
            },
        }
        paths[f"/api/v1{scope}/{resource.name}/{{name}}"] = {"patch": operation}
    info: JsonObject = {"title": "Kubernetes", "version": "v1.32.0"}
    return {"openapi": "3.0.0", "info": info, "paths": paths}
