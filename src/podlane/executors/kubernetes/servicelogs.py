"""What services print, in the job's trace (``CI_DEBUG_SERVICES``)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

from anyio.abc import TaskGroup

from podlane.executors.base import Emit, Level, Message
from podlane.executors.kubernetes.driver import PodDriver
from podlane.executors.kubernetes.observe import begun
from podlane.kit.errors import PodlaneError
from podlane.kube.types import Pod
from podlane.kube.watch import Gone

_MAX_LINE = 16 * 1024


class ServiceLogs:
    """Follows each service's log from when its container has begun: there is none before."""

    def __init__(self, services: Sequence[str]) -> None:
        self._services = services
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
            tasks.start_soon(_follow, driver, name, emit)


async def _follow(driver: PodDriver, container: str, emit: Emit) -> None:
    """Emit each line of a service's log until its container ends. Never raises for a broken stream."""
    rest = b""
    try:
        async with aclosing(driver.service_log(container)) as chunks:
            async for chunk in chunks:
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > _MAX_LINE:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    await emit(_message(container, line))
    except PodlaneError as error:
        text = f"the log of service {container} ends here: {error.message}"
        await emit(Message(text=text, level=Level.WARNING))
    if rest:
        await emit(_message(container, rest))


def _message(container: str, line: bytes) -> Message:
    text = line.decode("utf-8", "replace").rstrip("\r")
    return Message(text=f"[service:{container}] {text}", level=Level.SERVICE)
