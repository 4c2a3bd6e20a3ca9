"""What containers print themselves, in the job's trace: services, and the image's entrypoint."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

import anyio
from anyio.abc import TaskGroup

from podlane.executors.base import Emit, Level, Message
from podlane.executors.kubernetes.manifests.containers import BUILD
from podlane.executors.kubernetes.requests.driver import PodDriver
from podlane.executors.kubernetes.status.observe import begun
from podlane.kit.errors import PodlaneError
from podlane.kube.types import Pod
from podlane.kube.watch import Gone

_MAX_LINE = 16 * 1024
_DRAIN_SECONDS = 10.0


class ServiceLogs:
    """Follows each container's log from when it has begun: there is none before.

    ``told``: what ``build`` has printed so far is in the trace already.
    """

    def __init__(self, services: Sequence[str], *, told: bool = False) -> None:
        self._services = services
        self._told = told
        self._over = anyio.Event()
        self._begun: frozenset[str] = frozenset()
        self._followed: set[str] = set()

    def see(self, state: Pod | Gone) -> bool:
        """Take note of the pod's state; return whether there is something new to follow."""
        self._begun = begun(state, self._services)
        return not self._begun <= self._followed

    def follow(self, tasks: TaskGroup, driver: PodDriver, emit: Emit) -> None:
        """Follow what has begun and is not followed yet."""
        for name in sorted(self._begun - self._followed):
            self._followed.add(name)
            tasks.start_soon(self._one, driver, name, emit)

    async def drain(self, *, ended: bool) -> None:
        """Wait until all that ``build`` has printed is told, if it is followed and has ended."""
        if ended and BUILD in self._followed:
            with anyio.move_on_after(_DRAIN_SECONDS):
                await self._over.wait()

    async def _one(self, driver: PodDriver, name: str, emit: Emit) -> None:
        await _follow(driver, name, emit, new=self._told and name == BUILD)
        if name == BUILD:
            self._over.set()


async def _follow(driver: PodDriver, container: str, emit: Emit, *, new: bool) -> None:
    """Emit each line of a log until its container ends. Never raises for a broken stream."""
    rest = b""
    try:
        async with aclosing(driver.container_log(container, new=new)) as chunks:
            async for chunk in chunks:
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > _MAX_LINE:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    await emit(_message(container, line))
    except PodlaneError as error:
        what = f"container {container}" if container == BUILD else f"service {container}"
        text = f"the log of {what} ends here: {error.message}"
        await emit(Message(text=text, level=Level.WARNING))
    if rest:
        await emit(_message(container, rest))


def _message(container: str, line: bytes) -> Message:
    text = line.decode("utf-8", "replace").rstrip("\r")
    if container == BUILD:
        return Message(text=text)
    return Message(text=f"[service:{container}] {text}", level=Level.SERVICE)
