"""What services print, in the job's trace (``CI_DEBUG_SERVICES``)."""

from __future__ import annotations

from contextlib import aclosing

from podlane.executors.base import Emit, Level, Message
from podlane.executors.kubernetes.driver import PodDriver
from podlane.kit.errors import PodlaneError

_MAX_LINE = 16 * 1024


async def follow_service(driver: PodDriver, container: str, emit: Emit) -> None:
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
