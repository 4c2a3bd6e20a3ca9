"""Get, list, create, update, patch, delete: decode, admit, store, encode."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from podlane.kit.jsonvalue import Json, JsonObject, obj, text
from podlane.kube import errors, patching
from podlane.kube.paths import RESOURCES, Target
from podlane.node.apiserver import admission, priority, requests, schema, tables
from podlane.node.apiserver.context import Api, answer
from podlane.node.apiserver.evicting import shown
from podlane.node.apiserver.store import copied
from podlane.node.apiserver.watching import watch

_CREATED = 201
_PATCHES: dict[str, Callable[[Json, Json], Json]] = {
    "application/json-patch+json": patching.json_patch,
    "application/merge-patch+json": patching.merge,
    "application/strategic-merge-patch+json": patching.strategic,
    "application/apply-patch+yaml": patching.strategic,
}


async def get(api: Api, request: web.Request, target: Target) -> web.StreamResponse:
    """Answer a get, list or watch."""
    options = requests.list_options(
        request.query, request.headers.get("Accept", ""), target.resource
    )
    if target.name is None:
        if options.watch:
            return await watch(api, request, target, options)
        listing = api.store.list(target.resource, target.namespace)
        entries = [
            shown(api, e) for e in listing.items if options.selects is None or options.selects(e)
        ]
        version = str(listing.resource_version)
        if options.table:
            include = options.include_object
            now = api.clock.now()
            return answer(tables.table(target.resource, entries, version, now=now, include=include))
        return answer(_list(target.resource, entries, version))
    entry = shown(api, api.store.get(target.resource, target.namespace or "", target.name))
    if options.table:
        version = text(entry, "metadata", "resourceVersion")
        now, include = api.clock.now(), options.include_object
        return answer(tables.table(target.resource, [entry], version, now=now, include=include))
    return answer(entry)


def _list(resource: str, entries: list[JsonObject], version: str) -> JsonObject:
    return {
        "kind": RESOURCES[resource].kind + "List",
        "apiVersion": RESOURCES[resource].api_version,
        "metadata": {"resourceVersion": version},
        "items": list(entries),
    }


async def create(api: Api, request: web.Request, target: Target) -> web.StreamResponse:
    """Answer a create."""
    entry = requests.decode(await request.read(), request.content_type)
    return _create(api, request, target, entry)


def _create(
    api: Api, request: web.Request, target: Target, entry: JsonObject
) -> web.StreamResponse:
    resource, namespace = target.resource, target.namespace or ""
    requests.check_kind(entry, RESOURCES[resource])
    headers = _strict(entry, RESOURCES[resource].kind, request)
    admission.admit_create(resource, entry, node_name=api.node_name)
    _check_surroundings(api, target, entry)
    if requests.is_dry_run(request.query):
        return answer(entry, _CREATED, headers)
    made = api.store.create(resource, namespace, entry)
    if resource == "namespaces":
        account: JsonObject = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "default"},
        }
        api.store.create("serviceaccounts", text(made, "metadata", "name"), account)
    return answer(made, _CREATED, headers)


def _strict(entry: JsonObject, kind: str, request: web.Request) -> dict[str, str]:
    """Drop unknown fields; refuse them, warn of them or stay silent as the request asks."""
    unknown = [f'unknown field "{path}"' for path in schema.check(kind, entry)]
    mode = request.query.get("fieldValidation", "Warn")
    if not unknown or mode == "Ignore":
        return {}
    if mode == "Strict":
        raise errors.bad_request(
            f'{kind} in version "v1" cannot be handled as a {kind}: strict decoding error: '
            + ", ".join(unknown)
        )
    warnings = ", ".join(unknown).replace("\\", "\\\\").replace('"', '\\"')
    return {"Warning": f'299 - "{warnings}"'}


def _check_surroundings(api: Api, target: Target, entry: JsonObject) -> None:
    """Refuse what names a namespace, an account or a priority class that is not there."""
    namespace = target.namespace
    if not RESOURCES[target.resource].namespaced:
        return
    if namespace is None:
        raise errors.failure(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
    inside = text(entry, "metadata", "namespace")
    if inside and inside != namespace:
        raise errors.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    space = api.store.get("namespaces", "", namespace)
    name = text(entry, "metadata", "name") or text(entry, "metadata", "generateName")
    if text(space, "metadata", "deletionTimestamp"):
        raise errors.failure(
            403,
            "Forbidden",
            f'{target.resource} "{name}" is forbidden: unable to create new content in namespace '
            f"{namespace} because it is being terminated",
        )
    if target.resource == "pods":
        _check_account(api, namespace, name, text(entry, "spec", "serviceAccountName"))
        priority.assign(entry, api.store.list("priorityclasses").items)


def _check_account(api: Api, namespace: str, pod: str, account: str) -> None:
    try:
        api.store.get("serviceaccounts", namespace, account)
    except errors.NotFoundError as error:
        raise errors.failure(
            403,
            "Forbidden",
            f'pods "{pod}" is forbidden: error looking up service account {namespace}/{account}: '
            f'serviceaccount "{account}" not found',
        ) from error


async def update(api: Api, request: web.Request, target: Target) -> web.StreamResponse:
    """Answer a replace."""
    sent = requests.decode(await request.read(), request.content_type)
    requests.check_kind(sent, RESOURCES[target.resource])
    headers = _strict(sent, RESOURCES[target.resource].kind, request)
    return answer(_change(api, request, target, lambda _: sent), 200, headers)


async def patch(api: Api, request: web.Request, target: Target) -> web.StreamResponse:
    """Answer a patch of any of the four types."""
    body = await request.read()
    kind = RESOURCES[target.resource].kind
    sent = requests.decode_any(body, request.content_type)
    apply = _PATCHES.get(request.content_type)
    if apply is None:
        raise errors.failure(
            415,
            "UnsupportedMediaType",
            f"the body of the request was in an unknown format: {request.content_type}",
        )
    if request.content_type == "application/apply-patch+yaml":
        created = _apply_new(api, request, target, sent)
        if created is not None:
            return created
    headers: dict[str, str] = {}

    def patched(draft: JsonObject) -> JsonObject:
        result = apply(draft, sent)
        if not isinstance(result, dict):
            raise errors.bad_request("the patch does not leave an object")
        headers.update(_strict(result, kind, request))
        return result

    return answer(_change(api, request, target, patched), 200, headers)


def _apply_new(
    api: Api, request: web.Request, target: Target, sent: Json
) -> web.StreamResponse | None:
    """Create what is applied and not there yet."""
    name = target.name or ""
    try:
        api.store.get(target.resource, target.namespace or "", name)
    except errors.NotFoundError:
        entry = copied(obj(sent))
        entry["metadata"] = obj(entry, "metadata") | {"name": name}
        return _create(api, request, target, entry)
    return None


def _change(
    api: Api,
    request: web.Request,
    target: Target,
    make: Callable[[JsonObject], JsonObject],
) -> JsonObject:
    """Store what ``make`` makes of an object, after the checks of an update."""
    resource, name = target.resource, target.name or ""
    old = api.store.get(resource, target.namespace or "", name)

    def changed(draft: JsonObject) -> JsonObject:
        new = copied(make(draft))
        requests.check_version(old, new, resource)
        uid = text(new, "metadata", "uid")
        if uid and uid != text(old, "metadata", "uid"):
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {text(old, 'metadata', 'uid')}"  # noqa: E501 - one sentence
            raise errors.conflict(resource, name, why)
        if target.subresource == "status":
            return copied(old) | {"status": new.get("status")}
        admission.admit_update(resource, old, new)
        return new

    if requests.is_dry_run(request.query):
        return changed(copied(old))
    return api.store.update(resource, target.namespace or "", name, changed)


async def delete(api: Api, request: web.Request, target: Target) -> web.StreamResponse:
    """Answer a delete of one object."""
    options = requests.delete_options(request.query, await request.read(), request.content_type)
    resource, namespace, name = target.resource, target.namespace or "", target.name or ""
    if options.dry_run:
        return answer(api.store.get(resource, namespace, name))
    entry = api.store.delete(
        resource, namespace, name, grace_seconds=options.grace_seconds, uid=options.uid
    )
    if resource in ("pods", "namespaces"):
        return answer(entry)
    details: JsonObject = {"name": name, "kind": resource, "uid": text(entry, "metadata", "uid")}
    return answer(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": details,
        }
    )


async def delete_collection(api: Api, request: web.Request, target: Target) -> web.StreamResponse:
    """Answer a delete of everything that a selector selects."""
    options = requests.delete_options(request.query, await request.read(), request.content_type)
    chosen = requests.list_options(request.query, "", target.resource).selects
    entries = [
        entry
        for entry in api.store.list(target.resource, target.namespace).items
        if chosen is None or chosen(entry)
    ]
    for entry in entries if not options.dry_run else ():
        metadata = obj(entry, "metadata")
        api.store.delete(
            target.resource,
            text(metadata, "namespace"),
            text(metadata, "name"),
            grace_seconds=options.grace_seconds,
        )
    return answer(_list(target.resource, entries, str(api.store.resource_version)))
