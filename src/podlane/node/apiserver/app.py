"""The node's Kubernetes API: who may ask, which handler answers, what an error becomes.

Read this first. :func:`make_api` builds the application, :func:`serving` puts it on a socket.
"""

from __future__ import annotations

import hmac
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from aiohttp import web

from podlane.kit.clock import Clock
from podlane.kit.jsonvalue import JsonObject
from podlane.kit.tasks import closing
from podlane.kube import errors, paths
from podlane.kube.errors import ApiError
from podlane.kube.paths import Target
from podlane.node.apiserver import discovery, evicting, objects, priority, streaming
from podlane.node.apiserver.context import Api, answer, refusal
from podlane.node.apiserver.faults import Faults
from podlane.node.apiserver.store import Store
from podlane.node.streams import PodStreams

_log = logging.getLogger(__name__)
_MAX_BODY_BYTES = 3 * 1024 * 1024  # as a real API server
_PUBLIC = ("/healthz", "/readyz", "/livez", "/version")
_STOP_SECONDS = 5.0
_HANDLER_SECONDS = 1.0
_CLIENT_CLOSED = 499

_Handler = Callable[[Api, web.Request, Target], Awaitable[web.StreamResponse]]


def make_api(
    store: Store,
    streams: PodStreams,
    token: str,
    clock: Clock,
    node_name: str,
    faults: Faults | None = None,
) -> web.Application:
    """Return the API over a store (namespace and account ``default`` are made if missing)."""
    api = Api(store=store, streams=streams, clock=clock, node_name=node_name)
    _make_defaults(store)
    expected = f"Bearer {token}".encode()

    async def handle(request: web.Request) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode()
        allowed = hmac.compare_digest(given, expected)
        if not allowed and request.path not in _PUBLIC:
            return refusal(errors.failure(401, "Unauthorized", "Unauthorized"))
        try:
            with _faulty(faults, request):
                return await _dispatch(api, request)
        except ApiError as error:
            return refusal(error)
        except web.HTTPRequestEntityTooLarge:
            message = f"Request entity too large: limit is {_MAX_BODY_BYTES}"
            return refusal(errors.failure(413, "RequestEntityTooLarge", message))
        except web.HTTPException:
            raise
        except ConnectionError:
            # The client left in the middle of its answer, which nobody reads any more.
            return web.Response(status=_CLIENT_CLOSED)
        except Exception as error:
            _log.exception("api_request_failed", extra={"fields": {"path": request.path}})
            if request.writer.output_size > 0:
                raise ConnectionAbortedError(
                    "the answer has begun: only cutting it off is left"
                ) from error
            message = f"Internal error occurred: {type(error).__name__}: {error}"
            return refusal(errors.failure(500, "InternalError", message))

    app = web.Application(client_max_size=_MAX_BODY_BYTES)
    app.router.add_route("*", "/{path:.*}", handle)

    async def stop(_app: web.Application) -> None:
        api.stop()

    app.on_shutdown.append(stop)
    return app


@contextmanager
def _faulty(faults: Faults | None, request: web.Request) -> Iterator[None]:
    if faults is None:
        yield
        return
    faults.enter(request)
    try:
        yield
    finally:
        faults.leave(request)


def _make_defaults(store: Store) -> None:
    for name in ("default", "kube-system"):
        defaults: list[tuple[str, str, JsonObject]] = [
            (
                "namespaces",
                "",
                {
                    "apiVersion": "v1",
                    "kind": "Namespace",
                    "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
                    "spec": {"finalizers": ["kubernetes"]},
                    "status": {"phase": "Active"},
                },
            ),
            (
                "serviceaccounts",
                name,
                {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}},
            ),
        ]
        for resource, namespace, entry in defaults:
            try:
                store.create(resource, namespace, entry)
            except errors.AlreadyExistsError:
                continue
    for priority_class in priority.system_classes():
        with suppress(errors.AlreadyExistsError):
            store.create("priorityclasses", "", priority_class)


async def _dispatch(api: Api, request: web.Request) -> web.StreamResponse:
    path = request.rel_url.raw_path.rstrip("/")
    target = paths.parse(path)
    if target is None:
        return await _other(request, path)
    handler = _handler(request.method, target)
    if handler is None:
        raise errors.failure(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
    return await handler(api, request, target)


def _handler(method: str, target: Target) -> _Handler | None:
    if target.subresource == "log":
        return streaming.log if method == "GET" else None
    if target.subresource in ("exec", "attach"):
        return streaming.exec_or_attach if method in ("GET", "POST") else None
    if target.subresource == "eviction":
        return evicting.evict if method == "POST" else None
    if target.name is None:
        return {
            "GET": objects.get,
            "POST": objects.create,
            "DELETE": objects.delete_collection,
        }.get(method)
    if target.subresource == "status" and method == "DELETE":
        return None
    return {
        "GET": objects.get,
        "PUT": objects.update,
        "PATCH": objects.patch,
        "DELETE": objects.delete,
    }.get(method)


async def _other(request: web.Request, path: str) -> web.StreamResponse:
    """Answer what is not about an object."""
    if path in ("/healthz", "/readyz", "/livez"):
        return web.Response(text="ok")
    if path == "/version":
        return answer(discovery.version())
    if path == paths.ACCESS_REVIEWS and request.method == "POST":
        return await _review(request)
    if path in ("/api", "/apis"):
        accept = request.headers.get("Accept", "")
        if "as=APIGroupDiscoveryList" in accept and "v=v2" in accept.replace("v=v2beta1", ""):
            headers = {"Content-Type": discovery.AGGREGATED}
            return web.Response(body=answer(discovery.aggregated(path)).body, headers=headers)
    document = discovery.legacy(path) or discovery.openapi(path)
    if document is None:
        message = "the server could not find the requested resource"
        raise errors.failure(404, "NotFound", message)
    return answer(document)


async def _review(request: web.Request) -> web.StreamResponse:
    """Answer "may I?": who has the token may everything. kubectl asks in protobuf: not decoded."""
    await request.read()
    return answer(
        {
            "kind": "SelfSubjectAccessReview",
            "apiVersion": "authorization.k8s.io/v1",
            "metadata": {},
            "spec": {},
            "status": {"allowed": True, "reason": "the node has one user"},
        },
        201,
    )


@asynccontextmanager
async def serving(
    app: web.Application,
    tls: ssl.SSLContext | None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
) -> AsyncIterator[int]:
    """Serve until the context ends; yield the port.

    Raises:
        OSError: the port is taken, or the address is not ours.
    """
    runner = web.AppRunner(
        app, access_log=None, handler_cancellation=True, shutdown_timeout=_HANDLER_SECONDS
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, ssl_context=tls, backlog=512)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        with closing(_STOP_SECONDS):
            await runner.cleanup()
