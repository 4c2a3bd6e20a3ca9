"""One watch for each namespace that jobs are in: opened when the first needs it, closed with the last.

The namespace of the settings has one all the time. A job with a token of its own has one of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
from anyio.abc import TaskGroup

from podlane.kit.errors import PodlaneError
from podlane.kit.tasks import closing
from podlane.kube.access import with_token
from podlane.kube.client import KubeClient
from podlane.kube.informer import PodWatch

_CLOSE_SECONDS = 5.0


class Lease:
    """A client and a watch that somebody uses; nothing is asked before :meth:`opened` is called."""

    def __init__(self, client: KubeClient, watch: PodWatch, tasks: TaskGroup | None = None) -> None:
        self.client = client
        self.watch = watch
        self.users = 0
        self.error: PodlaneError | None = None
        self._tasks = tasks
        self._begun = tasks is None
        self._scope = anyio.CancelScope()
        self._ready, self._ended = anyio.Event(), anyio.Event()
        if tasks is None:
            self._ready.set()
            self._ended.set()

    async def opened(self) -> PodWatch:
        """Return the watch when it has listed what there is.

        Raises:
            kube.errors.ApiError, UnreachableError: it cannot.
        """
        if not self._begun and self._tasks is not None:
            self._begun = True
            self._tasks.start_soon(self._run)
        await self._ready.wait()
        if self.error is not None:
            raise self.error
        return self.watch

    async def close(self) -> None:
        """End the watch, and return when it asks nothing any more."""
        self._scope.cancel()
        if self._begun:
            with closing(_CLOSE_SECONDS):
                await self._ended.wait()

    async def _run(self) -> None:
        try:
            with self._scope:
                async with self.watch.running():
                    self._ready.set()
                    await anyio.sleep_forever()
        except PodlaneError as error:
            self.error = error
        finally:
            self._ready.set()
            self._ended.set()


class Watches:
    """The watches of one runner. ``selector`` chooses the pods; ``tasks`` outlives all jobs."""

    def __init__(self, client: KubeClient, selector: str, tasks: TaskGroup) -> None:
        self._client = client
        self._selector = selector
        self._tasks = tasks
        self._leases: dict[str, Lease] = {}

    @classmethod
    @asynccontextmanager
    async def open(
        cls, client: KubeClient, selector: str, namespace: str | None
    ) -> AsyncIterator[Watches]:
        """Open the watch of the settings' namespace, if there is one for all jobs, and keep it.

        Raises:
            kube.errors.ApiError, UnreachableError: it cannot list what there is.
        """
        async with AsyncExitStack() as stack:
            first = None
            if namespace is not None:
                first = await stack.enter_async_context(PodWatch.open(client, namespace, selector))
            tasks = await stack.enter_async_context(anyio.create_task_group())
            stack.callback(tasks.cancel_scope.cancel)
            self = cls(client, selector, tasks)
            if namespace is not None and first is not None:
                lease = self._leases[namespace] = Lease(client, first)
                lease.users += 1  # ours, which outlasts all jobs
            yield self

    @asynccontextmanager
    async def at(self, namespace: str, token: str = "") -> AsyncIterator[Lease]:
        """Use the watch of a namespace: together with all others there, or with a token alone.

        Raises:
            kube.errors.AccessError: with such a token the server cannot be used.
        """
        if not token:
            async with self._shared(namespace) as lease:
                yield lease
            return
        async with KubeClient.connect(with_token(self._client.access, token)) as client:
            lease = self._lease(client, namespace)
            try:
                yield lease
            finally:
                await lease.close()

    @asynccontextmanager
    async def _shared(self, namespace: str) -> AsyncIterator[Lease]:
        lease = self._leases.get(namespace)
        if lease is None or lease.error is not None:
            lease = self._leases[namespace] = self._lease(self._client, namespace)
        lease.users += 1
        try:
            yield lease
        finally:
            lease.users -= 1
            if not lease.users:
                if self._leases.get(namespace) is lease:
                    del self._leases[namespace]
                await lease.close()

    def _lease(self, client: KubeClient, namespace: str) -> Lease:
        return Lease(client, PodWatch(client, namespace, self._selector), self._tasks)
