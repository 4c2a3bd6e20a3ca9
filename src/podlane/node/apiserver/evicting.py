"""The eviction of a pod: its deletion, unless a PodDisruptionBudget forbids it."""

from __future__ import annotations

from aiohttp import web

from podlane.kit.jsonvalue import JsonObject, obj, text
from podlane.kube import errors
from podlane.kube.paths import Target
from podlane.node.apiserver import disruption, requests
from podlane.node.apiserver.context import Api, answer

_CREATED = 201


async def evict(api: Api, request: web.Request, target: Target) -> web.StreamResponse:
    """Answer a create of ``policy/v1 Eviction``.

    Raises:
        errors.ApiError: there is no such pod, or a budget forbids it now (429).
    """
    sent = requests.decode(await request.read(), request.content_type)
    named = (text(sent, "apiVersion"), text(sent, "kind"))
    if named not in (("policy/v1", "Eviction"), ("", "")):
        raise errors.bad_request(f"{named[0]} {named[1]} is not an Eviction of policy/v1")
    namespace, name = target.namespace or "", target.name or ""
    pod = api.store.get("pods", namespace, name)
    budgets = [shown(api, one) for one in api.store.list("poddisruptionbudgets", namespace).items]
    disruption.check_eviction(pod, budgets)
    options = requests.options_of(obj(sent, "deleteOptions"), request.query)
    if not options.dry_run:
        api.store.delete(
            "pods", namespace, name, grace_seconds=options.grace_seconds, uid=options.uid
        )
    done: JsonObject = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return answer(done, _CREATED)


def shown(api: Api, entry: JsonObject) -> JsonObject:
    """Return an object as it is read: a budget with its status."""
    if text(entry, "kind") != "PodDisruptionBudget":
        return entry
    pods = api.store.list("pods", text(entry, "metadata", "namespace")).items
    return disruption.with_status(entry, pods)
