"""The contract of a runtime, in words and types.

A runtime turns a bundle into a process and runs further commands beside it; it knows nothing of
pods, images or the API. Whoever implements it promises:

* ``create`` returns when the container's first process exists but has not executed the command yet;
  the process is ours to await from then on, so no exit code can be lost. A command that cannot be
  executed is a :class:`StartError` from ``create`` or ``start``, with the runtime's own words.
* ``exec`` runs a command with the container's user, environment and limits. Its exit code is the
  command's; 126 and 127 say (with a line on stderr) that it could not be executed.
* Killing the first process ends every process of the container.
* What a runtime leaves on disk is below the directory that it was given. Control groups are removed
  by ``cgroups``, after the counters were read.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from podlane.kit.errors import PermanentError
from podlane.kit.jsonvalue import JsonObject
from podlane.node.runtime.process import Process, Stdio


class StartError(PermanentError):
    """The runtime could not make or start the container's command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerHandle:
    """A container that the runtime knows.

    ``state`` is the directory of the runtime's own files; ``process`` is the ``process`` of its
    configuration: the user, environment and rights of every further command.
    """

    id: str
    state: Path
    process: JsonObject


class ExecHandle(Protocol):
    """A command beside the container's first process."""

    async def wait(self) -> int:
        """Return the exit code."""
        ...

    def kill(self) -> None:
        """Kill the command."""
        ...


class Runtime(Protocol):
    """Something that runs containers."""

    name: str

    async def create(
        self, handle: ContainerHandle, bundle: Path, stdio: Stdio, console: Path | None = None
    ) -> Process:
        """Make the container's first process, stopped just before its command."""
        ...

    async def start(self, handle: ContainerHandle) -> None:
        """Let it execute the command."""
        ...

    def exec(
        self,
        handle: ContainerHandle,
        command: Sequence[str],
        stdio: Stdio,
        console: Path | None = None,
    ) -> AbstractAsyncContextManager[ExecHandle]:
        """Run a further command; leaving the context kills it if it still runs."""
        ...
