"""What the server says about itself: versions, resources in both forms, and an OpenAPI stub.

kubectl needs OpenAPI only to know that ``fieldValidation`` is supported; then it trusts us.
"""

from __future__ import annotations

from podlane.kit.architecture import architecture
from podlane.kit.jsonvalue import Json, JsonObject
from podlane.kube.paths import CORE, RESOURCES, Resource

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_VERBS = "create delete deletecollection get list patch update watch"
_AUTHORIZATION = "authorization.k8s.io"
_REVIEW = "selfsubjectaccessreviews"
_SUB_VERBS = {
    "status": "get patch update",
    "log": "get",
    "exec": "create get",
    "eviction": "create",
}
_EVICTION: JsonObject = {"group": "policy", "version": "v1", "kind": "Eviction"}

_VERSION: JsonObject = {
    "major": "1",
    "minor": "32",
    "gitVersion": "v1.32.0-podlane",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
}


def version() -> JsonObject:
    """Return ``/version``."""
    return {**_VERSION, "platform": f"linux/{architecture()}"}


def aggregated(path: str) -> JsonObject:
    """Return ``/api`` or ``/apis`` in the aggregated form."""
    groups = [""] if path == "/api" else _groups()
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [_aggregated_group(group) for group in groups],
    }


def _groups() -> list[str]:
    """Return the names of all groups but the core."""
    return sorted({_AUTHORIZATION} | {r.group for r in RESOURCES.values() if r.group})


def _of(group: str) -> list[Resource]:
    return [resource for resource in RESOURCES.values() if resource.group == group]


def _aggregated_group(group: str) -> JsonObject:
    resources: list[Json] = [_aggregated_resource(resource) for resource in _of(group)]
    if group == _AUTHORIZATION:
        review: JsonObject = {"group": group, "version": "v1", "kind": "SelfSubjectAccessReview"}
        resources.append(
            {
                "resource": _REVIEW,
                "responseKind": review,
                "scope": "Cluster",
                "singularResource": "selfsubjectaccessreview",
                "verbs": ["create"],
            }
        )
    return {
        "metadata": {"name": group},
        "versions": [{"version": "v1", "freshness": "Current", "resources": resources}],
    }


def _aggregated_resource(resource: Resource) -> JsonObject:
    kind: JsonObject = {"group": resource.group, "version": "v1", "kind": resource.kind}
    return {
        "resource": resource.name,
        "responseKind": kind,
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.kind.lower(),
        "shortNames": list(resource.short_names),
        "categories": list(resource.categories),
        "verbs": list(_VERBS.split()),
        "subresources": [
            {
                "subresource": name,
                "responseKind": _EVICTION if name == "eviction" else kind,
                "verbs": list(_sub_verbs(name)),
            }
            for name in resource.subresources
        ],
    }


def _sub_verbs(name: str) -> list[str]:
    return _SUB_VERBS.get(name, "create get").split()


def legacy(path: str) -> JsonObject | None:
    """Return a discovery document in the old form, or None if there is none at this path."""
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
    if path == "/apis":
        listed: list[Json] = [_group(group) for group in _groups()]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
    if path == CORE:
        return _resource_list("v1", _entries(""))
    for group in _groups():
        if path == f"/apis/{group}":
            return _group(group) | {"kind": "APIGroup", "apiVersion": "v1"}
        if path == f"/apis/{group}/v1":
            return _resource_list(f"{group}/v1", _entries(group))
    return None


def _entries(group: str) -> list[Json]:
    entries: list[Json] = []
    for resource in _of(group):
        entries += _legacy_resource(resource)
    if group == _AUTHORIZATION:
        entries.append(
            {
                "name": _REVIEW,
                "singularName": "selfsubjectaccessreview",
                "namespaced": False,
                "kind": "SelfSubjectAccessReview",
                "verbs": ["create"],
            }
        )
    return entries


def _group(name: str) -> JsonObject:
    version: JsonObject = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"name": name, "versions": [version], "preferredVersion": version}


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
            **(_EVICTION if name == "eviction" else {}),
        }
        for name in resource.subresources
    ]
    return [entry, *subresources]


def openapi(path: str) -> JsonObject | None:
    """Return the OpenAPI index or stub, or None if there is none at this path."""
    roots = {resource.root.removeprefix("/"): resource.group for resource in RESOURCES.values()}
    if path == "/openapi/v3":
        return {"paths": {root: {"serverRelativeURL": f"/openapi/v3/{root}"} for root in roots}}
    root = path.removeprefix("/openapi/v3/")
    if root not in roots:
        return None
    paths: JsonObject = {}
    for resource in _of(roots[root]):
        scope = "/namespaces/{namespace}" if resource.namespaced else ""
        operation: JsonObject = {
            "parameters": [{"name": "fieldValidation", "in": "query"}],
            "responses": {},
            "x-kubernetes-group-version-kind": {
                "group": resource.group,
                "version": "v1",
                "kind": resource.kind,
            },
        }
        paths[f"{resource.root}{scope}/{resource.name}/{{name}}"] = {"patch": operation}
    info: JsonObject = {"title": "Kubernetes", "version": "v1.32.0"}
    return {"openapi": "3.0.0", "info": info, "paths": paths}
