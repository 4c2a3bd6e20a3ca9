"""One watch for each namespace that jobs are in: opened when the first needs it, closed with the last.

The namespace of the settings has one all the time. A job with a token of its own has one of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from random import SystemRandom

import anyio
from anyio.abc import TaskGroup

from podlane.executors.kubernetes.requests.retries import Retries, retried
from podlane.kit.errors import PodlaneError
from podlane.kit.tasks import closing
from podlane.kube.access import with_token
from podlane.kube.client import KubeClient
from podlane.kube.informer import PodWatch

_CLOSE_SECONDS = 5.0
_RETRIES = Retries()


class Lease:
    """A client and a watch that jobs use; nothing is asked before :meth:`opened` is called."""

    def __init__(
        self,
        client: KubeClient,
        watch: PodWatch,
        tasks: TaskGroup | None = None,
        retries: Retries = _RETRIES,
    ) -> None:
        self.client = client
        self.watch = watch
        self.users = 1
        self.error: PodlaneError | None = None
        self.on_last: Callable[[], Awaitable[None]] | None = None
        self._tasks = tasks
        self._retries = retries
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

    async def release(self) -> None:
        """Use it no longer. With its last user it ends, and returns when it asks nothing any more."""
        self.users -= 1
        if self.users:
            return
        self._scope.cancel()
        with closing(_CLOSE_SECONDS):
            if self._begun:
                await self._ended.wait()
            if self.on_last is not None:
                await self.on_last()

    async def _run(self) -> None:
        try:
            with self._scope:
                await retried(self._follow, self._retries, SystemRandom())
        except PodlaneError as error:
            self.error = error
        finally:
            self._ready.set()
            self._ended.set()

    async def _follow(self) -> None:
        async with self.watch.running():
            self._ready.set()
            await anyio.sleep_forever()


class Watches:
    """The watches of one runner. ``selector`` chooses the pods; ``tasks`` outlives all jobs."""

    def __init__(
        self, client: KubeClient, selector: str, tasks: TaskGroup, retries: Retries = _RETRIES
    ) -> None:
        self._client = client
        self._selector = selector
        self._tasks = tasks
        self._retries = retries
        self._leases: dict[str, Lease] = {}

    @classmethod
    @asynccontextmanager
    async def open(
        cls, client: KubeClient, selector: str, namespace: str | None, retries: Retries = _RETRIES
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
            self = cls(client, selector, tasks, retries)
            if namespace is not None and first is not None:
                self._leases[namespace] = Lease(client, first)  # its user is this context
            yield self

    async def take(self, namespace: str, token: str = "") -> Lease:
        """Use the watch of a namespace: together with all others there, or with a token alone.

        Release it. Raises:
            kube.errors.AccessError: with such a token the server cannot be used.
        """
        if token:
            return await self._apart(namespace, token)
        lease = self._leases.get(namespace)
        if lease is not None and lease.users and lease.error is None:
            lease.users += 1
            return lease
        lease = self._leases[namespace] = self._lease(self._client, namespace)

        async def forget() -> None:
            if self._leases.get(namespace) is lease:
                del self._leases[namespace]

        lease.on_last = forget
        return lease

    async def _apart(self, namespace: str, token: str) -> Lease:
        async with AsyncExitStack() as stack:
            access = with_token(self._client.access, token)
            client = await stack.enter_async_context(KubeClient.connect(access))
            lease = self._lease(client, namespace)
            lease.on_last = stack.pop_all().aclose
        return lease

    def _lease(self, client: KubeClient, namespace: str) -> Lease:
        watch = PodWatch(client, namespace, self._selector)
        return Lease(client, watch, self._tasks, self._retries)
