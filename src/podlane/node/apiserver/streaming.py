"""Log, exec and attach: between a client's stream and the kubelet's."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import TypeVar

import anyio
from aiohttp import web

from podlane.kit.errors import PermanentError
from podlane.kit.jsonvalue import JsonObject, obj, text
from podlane.kit.tasks import closing
from podlane.kube import channels, errors
from podlane.kube.channels import Channel
from podlane.kube.paths import Target
from podlane.node.apiserver import admission, requests, spdywire
from podlane.node.apiserver.context import Api
from podlane.node.apiserver.spdywire import SpdyWire
from podlane.node.apiserver.wires import WebSocketWire, Wire
from podlane.node.streams import ContainerStream, LogRequest, StreamRequest

_log = logging.getLogger(__name__)
_CLOSE_SECONDS = 2.0
_T = TypeVar("_T")


async def log(api: Api, request: web.Request, target: Target) -> web.StreamResponse:
    """Answer a log request."""
    pod, container = _container(api, request, target)
    asked = _log_request(request.query, text(pod, "metadata", "uid"), container)
    state = admission.container_state(pod, container)
    if not asked.previous and "running" not in state and "terminated" not in state:
        reason = text(state, "waiting", "reason") or "ContainerCreating"
        raise errors.bad_request(
            f'container "{container}" in pod "{target.name}" is waiting to start: {reason}'
        )
    response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
    with api.until_shutdown():
        if asked.follow:
            await response.prepare(request)
        try:
            async with _closed(api.streams.log(asked)) as chunks:
                async for chunk in chunks:
                    if not response.prepared:
                        await response.prepare(request)
                    await response.write(chunk)
        except PermanentError as error:
            if not response.prepared:
                raise errors.bad_request(error.message) from error
            await response.write(error.message.encode() + b"\n")
    if not response.prepared:
        await response.prepare(request)
    await response.write_eof()
    return response


def _log_request(query: Mapping[str, str], uid: str, container: str) -> LogRequest:
    return LogRequest(
        pod_uid=uid,
        container=container,
        follow=requests.is_true(query, "follow"),
        previous=requests.is_true(query, "previous"),
        timestamps=requests.is_true(query, "timestamps"),
        tail_lines=requests.whole(query, "tailLines"),
        since_seconds=requests.whole(query, "sinceSeconds"),
        limit_bytes=requests.whole(query, "limitBytes"),
    )


async def exec_or_attach(api: Api, request: web.Request, target: Target) -> web.StreamResponse:
    """Answer an exec or attach over WebSocket (protocols v5 and v4) or SPDY (v4)."""
    pod, container = _container(api, request, target)
    asked = _stream_request(request, target, text(pod, "metadata", "uid"), container)
    _check_running(pod, container, target)
    wire: Wire
    if spdywire.is_asked(request):
        wire = await SpdyWire.accept(request, asked)
    else:
        wire = await WebSocketWire.accept(request)
    start = api.streams.attach if target.subresource == "attach" else api.streams.exec
    with api.until_shutdown():
        status = await _run(start(asked), wire, asked)
        await wire.finish(status)
    return wire.response


def _stream_request(
    request: web.Request, target: Target, uid: str, container: str
) -> StreamRequest:
    query = request.query
    command = tuple(query.getall("command", []))
    if target.subresource == "exec" and not command:
        raise errors.bad_request("you must specify at least 1 command for the container")
    tty = requests.is_true(query, "tty")
    asked = StreamRequest(
        pod_uid=uid,
        container=container,
        command=command if target.subresource == "exec" else (),
        stdin=requests.is_true(query, "stdin"),
        stdout=requests.is_true(query, "stdout"),
        stderr=requests.is_true(query, "stderr") and not tty,
        tty=tty,
    )
    if not (asked.stdin or asked.stdout or asked.stderr):
        raise errors.bad_request("you must specify at least one of stdin, stdout, stderr")
    return asked


def _container(api: Api, request: web.Request, target: Target) -> tuple[JsonObject, str]:
    pod = api.store.get("pods", target.namespace or "", target.name or "")
    asked = request.query.get("container", "")
    if not asked:
        marked = obj(pod, "metadata", "annotations").get("kubectl.kubernetes.io/default-container")
        asked = marked if isinstance(marked, str) else ""
    return pod, admission.exec_container(pod, asked)


def _check_running(pod: JsonObject, container: str, target: Target) -> None:
    phase = text(pod, "status", "phase")
    if phase in ("Succeeded", "Failed"):
        what = "exec into" if target.subresource == "exec" else "attach to"
        raise errors.bad_request(
            f"cannot {what} a container in a completed pod; current phase is {phase}"
        )
    if "running" not in admission.container_state(pod, container):
        raise errors.failure(
            500,
            "InternalError",
            f'unable to upgrade connection: container not found ("{container}")',
        )


async def _run(
    starting: AbstractAsyncContextManager[ContainerStream],
    wire: Wire,
    asked: StreamRequest,
) -> bytes:
    """Carry both directions until the process or the client ends; return the status to send."""
    status = channels.encode_failure("the client has gone")
    detached = anyio.Event()
    try:
        async with starting as stream, anyio.create_task_group() as tasks:
            tasks.start_soon(_input_until_over, wire, stream, asked, tasks.cancel_scope, detached)
            status = await _output(wire, stream)
            tasks.cancel_scope.cancel()
    except PermanentError as error:
        return channels.encode_failure(error.message)
    except OSError as error:  # a full disk, no more descriptors: no fault of ours
        _log.warning(
            "stream_failed", extra={"fields": {"pod_uid": asked.pod_uid, "error": str(error)}}
        )
        return channels.encode_failure(f"the node cannot start the stream: {error}")
    except Exception as error:  # noqa: BLE001 - the boundary of a request whose answer has begun
        _log.exception("stream_failed", extra={"fields": {"pod_uid": asked.pod_uid}})
        return channels.encode_failure(f"the node failed: {type(error).__name__}: {error}")
    return channels.encode_exit(0) if detached.is_set() else status


async def _output(wire: Wire, stream: ContainerStream) -> bytes:
    try:
        async with _closed(stream.output()) as chunks:
            async for channel, data in chunks:
                await wire.send(channel, data)
        return channels.encode_exit(await stream.wait())
    except PermanentError as error:
        return channels.encode_failure(error.message)
    except ConnectionError:
        return channels.encode_failure("the client has gone")


async def _input_until_over(
    wire: Wire,
    stream: ContainerStream,
    asked: StreamRequest,
    scope: anyio.CancelScope,
    detached: anyio.Event,
) -> None:
    """Carry stdin and sizes; a client that closes or detaches ends everything."""
    with suppress(ConnectionError):  # a ping could not be answered
        if await _input(wire, stream, asked):
            detached.set()
    scope.cancel()


async def _input(wire: Wire, stream: ContainerStream, asked: StreamRequest) -> bool:
    """Carry stdin and sizes until the client goes; whether it has only detached."""
    is_open = asked.stdin
    async with _closed(wire.received()) as messages:
        async for channel, data in messages:
            if channel == Channel.RESIZE and (size := channels.decode_size(data)):
                await stream.resize(*size)
            elif channel == Channel.STDIN and is_open and data:
                is_open = await _fed(stream, data)
            elif channel == Channel.CLOSE and data[:1] == b"\0" and is_open:
                is_open = False
                if not await stream.close_stdin():
                    return True
    return False


async def _fed(stream: ContainerStream, data: bytes) -> bool:
    """Write to stdin; whether the process still takes more."""
    try:
        await stream.write_stdin(data)
    except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
        return False
    return True


@asynccontextmanager
async def _closed(iterator: AsyncIterator[_T]) -> AsyncIterator[AsyncIterator[_T]]:
    """Close a generator when we leave it early."""
    try:
        yield iterator
    finally:
        if isinstance(iterator, AsyncGenerator):
            with closing(_CLOSE_SECONDS):
                await iterator.aclose()
