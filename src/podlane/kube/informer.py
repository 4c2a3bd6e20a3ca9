"""One list and one watch of pods for everybody: follows, reconnects, and tells each subscriber.

Deliveries are levels, not edges: a subscriber that is slow gets the newest state of its pod, not
every state in between. Nothing is queued without bound, and nobody can hold up the others.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from random import SystemRandom

import anyio

from podlane.kit.backoff import Backoff, Random
from podlane.kit.errors import PodlaneError
from podlane.kit.log import event
from podlane.kube.client import KubeClient
from podlane.kube.errors import ApiError, ForbiddenError, GoneError
from podlane.kube.types import Pod
from podlane.kube.watch import Gone, PodView, Seen

_log = logging.getLogger(__name__)
_USEFUL_SECONDS = 1.0
_OUTAGE_FAILURES = 3  # in a row, before the next one is called an outage
_DENIED_FAILURES = 1  # a server that has just begun may refuse what it allows a moment later


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSettings:
    """How the shared watch behaves."""

    timeout_seconds: int = 300
    inactivity_seconds: float = 120.0
    backoff: Backoff = field(default_factory=lambda: Backoff(first_seconds=0.2, max_seconds=30.0))


class Subscription:
    """The states of one pod: an async iterator that yields ``Pod`` or ``Gone``, newest only."""

    def __init__(self, latest: Pod | Gone | None) -> None:
        self._latest = latest
        self._news = anyio.Event()
        if latest is not None:
            self._news.set()

    def deliver(self, state: Pod | Gone) -> None:
        """Put the newest state there."""
        self._latest = state
        self._news.set()

    def __aiter__(self) -> AsyncIterator[Pod | Gone]:
        return self

    async def __anext__(self) -> Pod | Gone:
        await self._news.wait()
        state, self._news = self._latest, anyio.Event()
        assert state is not None
        return state


class PodWatch:
    """The pods of one namespace and label selector; nothing is asked before :meth:`running`."""

    def __init__(self, client: KubeClient, namespace: str, label_selector: str) -> None:
        self._client = client
        self._namespace = namespace
        self._selector = label_selector
        self._view = PodView()
        self._subscriptions: dict[str, set[Subscription]] = {}
        self.problem: PodlaneError | None = None
        self._worked = False
        self._outage, self._recovery = anyio.Event(), anyio.Event()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        client: KubeClient,
        namespace: str,
        label_selector: str = "",
        settings: WatchSettings | None = None,
        random: Random | None = None,
    ) -> AsyncIterator[PodWatch]:
        """List once, then keep following in the background until the context ends.

        Raises:
            kube.errors.ApiError, UnreachableError: the first list failed. Later failures are
                retried for ever and shown in ``problem``.
        """
        self = cls(client, namespace, label_selector)
        async with self.running(settings, random):
            yield self

    @asynccontextmanager
    async def running(
        self, settings: WatchSettings | None = None, random: Random | None = None
    ) -> AsyncIterator[None]:
        """As :meth:`open`, for a watch that may have subscribers already."""
        await self._list()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._follow, settings or WatchSettings(), random or SystemRandom())
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()

    @property
    def pods(self) -> dict[str, Pod]:
        """The pods as last seen, by name."""
        return self._view.pods

    async def lost(self, seconds: float) -> PodlaneError:
        """Return the trouble when nothing has got through for ``seconds`` on end; else never return.

        An outage begins after a few failures in a row: a single broken watch is no news. Where we
        may not watch at all, waiting does not help (``ForbiddenError``).
        """
        while True:
            await self._outage.wait()
            if isinstance(self.problem, ForbiddenError) and not self._worked:
                return self.problem
            recovery = self._recovery
            with anyio.move_on_after(seconds):
                await recovery.wait()
            if self.problem is not None and not recovery.is_set():
                return self.problem

    @contextmanager
    def subscribe(self, pod_name: str) -> Iterator[Subscription]:
        """Get the states of one pod, beginning with the present one if it is known.

        Subscribe before creating the pod: what came and went before is not told.
        """
        subscription = Subscription(self._view.pods.get(pod_name))
        self._subscriptions.setdefault(pod_name, set()).add(subscription)
        try:
            yield subscription
        finally:
            remaining = self._subscriptions[pod_name]
            remaining.discard(subscription)
            if not remaining:
                del self._subscriptions[pod_name]

    async def _list(self) -> None:
        self._tell(
            self._view.replace(await self._client.list_pods(self._namespace, self._selector))
        )

    async def _follow(self, settings: WatchSettings, random: Random) -> None:
        failures, stale = 0, False
        while True:
            before, began = self._view.resource_version, anyio.current_time()
            try:
                if stale:
                    await self._list()
                    stale = False
                    self._recovered()
                await self._watch(settings)
                self._worked = True
                self._recovered()
            except GoneError:
                stale = True
            except PodlaneError as error:
                denied = isinstance(error, ForbiddenError) and not self._worked
                outage = failures >= (_DENIED_FAILURES if denied else _OUTAGE_FAILURES)
                self._failed(error, outage=outage)
                # After a refusal our version may be from another life of the server; after an
                # outage only a list tells at once that it is over, for a quiet watch tells nothing.
                stale = stale or isinstance(error, ApiError) or outage
            lasted = anyio.current_time() - began
            useful = before != self._view.resource_version or lasted > _USEFUL_SECONDS
            self._worked |= useful and not isinstance(self.problem, ForbiddenError)
            failures = 0 if useful and self.problem is None else failures + 1
            if failures:
                await anyio.sleep(settings.backoff.delay(failures, random))

    async def _watch(self, settings: WatchSettings) -> None:
        changes = self._client.watch_pods(
            self._namespace,
            self._selector,
            self._view.resource_version,
            timeout_seconds=settings.timeout_seconds,
            inactivity_seconds=settings.inactivity_seconds,
        )
        async with aclosing(changes):
            async for change in changes:
                self._recovered()
                self._tell(self._view.apply(change))

    def _recovered(self) -> None:
        self.problem = None
        if self._outage.is_set():
            self._recovery.set()
            self._outage, self._recovery = anyio.Event(), anyio.Event()

    def _failed(self, error: PodlaneError, *, outage: bool) -> None:
        level = logging.INFO if self.problem is None else logging.WARNING
        self.problem = error
        if outage:
            self._outage.set()
        event(_log, level, "pod_watch_broken", error=error.message)

    def _tell(self, changes: list[Seen]) -> None:
        for seen in changes:
            for subscription in self._subscriptions.get(seen.name, ()):
                subscription.deliver(seen.state)
