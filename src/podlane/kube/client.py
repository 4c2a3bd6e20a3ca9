"""The calls that we make to a Kubernetes API server. The list of methods is what a Role must allow."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

import aiohttp
import msgspec

from podlane.kube import paths, watch
from podlane.kube.access import Access
from podlane.kube.errors import UnreachableError
from podlane.kube.execstream import ExecSession, open_exec
from podlane.kube.objects import ObjectClient, selection
from podlane.kube.transport import STREAM, Call, Transport
from podlane.kube.types import Event, EventList, PodList, WatchEvent

_T = TypeVar("_T")


class KubeClient(ObjectClient):
    """A cluster. ``requests`` counts API requests by (verb, resource).

    Every method raises ``kube.errors.ApiError`` (refused) or ``UnreachableError`` (no answer).
    """

    @classmethod
    @asynccontextmanager
    async def connect(cls, access: Access) -> AsyncIterator[KubeClient]:
        """Open a client; nothing is sent before the first call.

        Raises:
            kube.errors.AccessError: credentials or certificates cannot be used.
        """
        async with Transport.open(access) as transport:
            yield cls(transport)

    async def list_pods(self, namespace: str, label_selector: str = "") -> PodList:
        """Return pods and the version at which a watch of them goes on."""
        path = paths.path("pods", namespace or None)
        query = selection(label_selector)
        call = Call(verb="list", resource="pods", path=path, query=query)
        return _decode(await self._transport.read(call), PodList)

    async def list_events(self, namespace: str, field_selector: str = "") -> EventList:
        """Return events, for instance of ``involvedObject.uid=…``."""
        path = paths.path("events", namespace or None)
        query = selection("", field_selector)
        call = Call(verb="list", resource="events", path=path, query=query)
        return _decode(await self._transport.read(call), EventList)

    async def watch_pods(
        self,
        namespace: str,
        label_selector: str = "",
        resource_version: str = "",
        *,
        timeout_seconds: int = 300,
        inactivity_seconds: float = 120,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Yield changes after a version (bookmarks too) until the server ends the watch.

        Close the iterator (``contextlib.aclosing``) when leaving early.

        Raises:
            GoneError: the version is too old; list again.
            UnreachableError: broken off, or silent for longer than ``inactivity_seconds``.
        """
        query = [
            *selection(label_selector),
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", str(timeout_seconds)),
        ]
        if resource_version:
            query.append(("resourceVersion", resource_version))
        path = paths.path("pods", namespace or None)
        call = Call(verb="watch", resource="pods", path=path, query=query)
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=STREAM.sock_connect, sock_read=inactivity_seconds
        )
        lines = watch.Lines()
        async with self._transport.request(call, timeout) as response:
            async for chunk in response.content.iter_any():
                for line in lines.feed(chunk):
                    yield watch.decode(line)

    async def watch_events(
        self, namespace: str, field_selector: str, resource_version: str = ""
    ) -> AsyncGenerator[Event, None]:
        """Yield events: those that there are (without a version), then each one that comes or changes.

        Close the iterator (``contextlib.aclosing``) when leaving early.

        Raises:
            GoneError: the version is too old.
        """
        query = [*selection("", field_selector), ("watch", "true")]
        if resource_version:
            query.append(("resourceVersion", resource_version))
        path = paths.path("events", namespace or None)
        call = Call(verb="watch", resource="events", path=path, query=query)
        lines = watch.Lines()
        async with self._transport.request(call, STREAM) as response:
            async for chunk in response.content.iter_any():
                for line in lines.feed(chunk):
                    found = watch.decode_event(line)
                    if found is not None:
                        yield found

    async def pod_log(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        follow: bool = False,
        options: Sequence[tuple[str, str]] = (),
    ) -> AsyncGenerator[bytes, None]:
        """Yield a container's log.

        ``options``: tailLines, sinceSeconds, timestamps, previous, limitBytes.
        Close the iterator (``contextlib.aclosing``) when leaving early.
        """
        query = [("container", container), *options]
        if follow:
            query.append(("follow", "true"))
        path = paths.path("pods", namespace, pod, "log")
        call = Call(verb="get", resource="pods/log", path=path, query=query)
        async with self._transport.request(call, STREAM) as response:
            async for chunk in response.content.iter_any():
                yield chunk

    def exec(
        self,
        namespace: str,
        pod: str,
        container: str,
        command: Sequence[str],
        *,
        stdin: bool = False,
        tty: bool = False,
    ) -> AbstractAsyncContextManager[ExecSession]:
        """Run a command in a running container."""
        query = [("command", word) for word in command] + _streams(container, stdin, tty)
        path = paths.path("pods", namespace, pod, "exec")
        return open_exec(
            self._transport, Call(verb="create", resource="pods/exec", path=path, query=query)
        )

    def attach(
        self, namespace: str, pod: str, container: str, *, stdin: bool = False, tty: bool = False
    ) -> AbstractAsyncContextManager[ExecSession]:
        """Join a container's first process."""
        path = paths.path("pods", namespace, pod, "attach")
        query = _streams(container, stdin, tty)
        return open_exec(
            self._transport, Call(verb="create", resource="pods/attach", path=path, query=query)
        )


def _streams(container: str, stdin: bool, tty: bool) -> list[tuple[str, str]]:
    flags = {"stdin": stdin, "stdout": True, "stderr": not tty, "tty": tty}
    return [("container", container), *((name, "true") for name, on in flags.items() if on)]


def _decode(body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreachableError(f"the server's answer is no {kind.__name__}: {error}") from error
