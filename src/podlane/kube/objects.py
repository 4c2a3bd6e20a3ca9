"""Calls on objects of any resource, as plain JSON."""

from __future__ import annotations

import msgspec

from podlane.kit.jsonvalue import Json, JsonObject, flag, obj
from podlane.kube import paths
from podlane.kube.errors import UnreachableError
from podlane.kube.transport import Call, Query, Transport

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


class ObjectClient:
    """Create, get, patch, delete. Every method raises what ``Transport.request`` raises."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.access = transport.access
        self.requests = transport.requests

    async def create(self, resource: str, namespace: str, manifest: JsonObject) -> JsonObject:
        """Create an object and return it as stored."""
        return await self._object(
            Call(
                verb="create",
                resource=resource,
                method="POST",
                path=paths.path(resource, namespace),
                body=msgspec.json.encode(manifest),
            )
        )

    async def get(self, resource: str, namespace: str, name: str) -> JsonObject:
        """Return an object."""
        path = paths.path(resource, namespace, name)
        return await self._object(Call(verb="get", resource=resource, path=path))

    async def list(
        self, resource: str, namespace: str, label_selector: str = "", field_selector: str = ""
    ) -> JsonObject:
        """Return a list object: ``items`` and ``metadata.resourceVersion``."""
        path = paths.path(resource, namespace or None)
        query = selection(label_selector, field_selector)
        return await self._object(Call(verb="list", resource=resource, path=path, query=query))

    async def update(
        self, resource: str, namespace: str, name: str, manifest: JsonObject
    ) -> JsonObject:
        """Replace an object by ``manifest`` and return it as stored.

        Raises:
            ConflictError: ``metadata.resourceVersion`` is given, and somebody was faster.
        """
        return await self._object(
            Call(
                verb="update",
                resource=resource,
                method="PUT",
                path=paths.path(resource, namespace, name),
                body=msgspec.json.encode(manifest),
            )
        )

    async def patch(
        self,
        resource: str,
        namespace: str,
        name: str,
        patch: Json,
        content_type: str = MERGE_PATCH,
    ) -> JsonObject:
        """Change an object and return it as stored."""
        query: Query = [("fieldManager", "podlane")] if content_type == APPLY_PATCH else ()
        return await self._object(
            Call(
                verb="patch",
                resource=resource,
                method="PATCH",
                path=paths.path(resource, namespace, name),
                query=query,
                body=msgspec.json.encode(patch),
                content_type=content_type,
            )
        )

    async def delete(
        self,
        resource: str,
        namespace: str,
        name: str,
        grace_seconds: int | None = None,
        uid: str | None = None,
    ) -> JsonObject:
        """Delete an object (only this incarnation when ``uid`` is given); return the answer.

        The answer is the object, or a Status. "Already gone" is ``NotFoundError``, "another
        incarnation" is ``ConflictError``.
        """
        options: JsonObject = {"propagationPolicy": "Background"}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        return await self._object(
            Call(
                verb="delete",
                resource=resource,
                method="DELETE",
                path=paths.path(resource, namespace, name),
                body=msgspec.json.encode(options),
            )
        )

    async def can_i(self, verb: str, resource: str, namespace: str) -> bool:
        """Ask the server whether we may; ``resource`` may be ``pods/exec``."""
        name, _, subresource = resource.partition("/")
        attributes: JsonObject = {"verb": verb, "resource": name, "namespace": namespace}
        known = paths.RESOURCES.get(name)
        if known is not None and known.group:
            attributes["group"] = known.group
        if subresource:
            attributes["subresource"] = subresource
        review: JsonObject = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = await self._object(
            Call(
                verb="create",
                resource="selfsubjectaccessreviews",
                method="POST",
                path=paths.ACCESS_REVIEWS,
                body=msgspec.json.encode(review),
            )
        )
        return flag(answer, "status", "allowed") or False

    async def _object(self, call: Call) -> JsonObject:
        try:
            decoded: Json = msgspec.json.decode(await self._transport.read(call))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            said = f"cannot {call.verb} {call.resource} at {self.access.server}"
            raise UnreachableError(f"{said}: the answer is no JSON: {error}") from error
        return obj(decoded)


def selection(label_selector: str, field_selector: str = "") -> list[tuple[str, str]]:
    """Return the query of a list or watch."""
    pairs = (("labelSelector", label_selector), ("fieldSelector", field_selector))
    return [(key, value) for key, value in pairs if value]
