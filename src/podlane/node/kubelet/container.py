"""One container of a pod, through all its runs."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import anyio
from anyio import to_thread

from podlane.kit.jsonvalue import JsonObject
from podlane.node.images.config import StoredImage
from podlane.node.kubelet import pulls, sync
from podlane.node.kubelet.containerlog import ContainerLog
from podlane.node.kubelet.env import ConfigError
from podlane.node.kubelet.podspec import Container
from podlane.node.kubelet.prepare import Place, Prepared, prepare
from podlane.node.kubelet.run import ContainerRun
from podlane.node.kubelet.states import (
    ContainerRecord,
    Running,
    Terminated,
    Waiting,
)
from podlane.node.kubelet.status import ALWAYS
from podlane.node.runtime.base import ContainerHandle, StartError
from podlane.node.runtime.mounts import remove_tree

_ERR_SHARE = 0.1  # of a pause shows the error itself, the rest "backing off"


class ContainerWorker:
    """Runs one container as its pod's restart policy says; reports each change of its state."""

    def __init__(self, container: Container, *, init: bool, has_init: bool) -> None:
        self.container = container
        self.init = init
        self.record = ContainerRecord(
            name=container.name,
            image=container.image,
            state=sync.first_state(has_init=has_init),
            sidecar=init and container.restart_policy == ALWAYS,
        )
        self.run: ContainerRun | None = None
        self.log: ContainerLog | None = None
        self.previous_log: ContainerLog | None = None
        self.finished = anyio.Event()
        self.started = anyio.Event()
        self._stopping = False
        self._stop_signal = signal.SIGTERM
        self._patience = anyio.CancelScope()
        self._report: Callable[[], None] = lambda: None

    async def work(
        self, place: Place, secrets: tuple[JsonObject, ...], report: Callable[[], None]
    ) -> None:
        """Run the container until it needs to run no more."""
        self._report = report
        policy = place.context.pod.spec.restart_policy
        try:
            while not self._stopping:
                ended = await self._run_once(place, secrets)
                if ended is None or self._stopping:
                    return
                if not sync.restarts(policy, self.container, ended, init=self.init):
                    return
                await self._pause_before_restart(place, ended)
        finally:
            self.finished.set()

    def give_up(self) -> None:
        """Start nothing any more; what runs goes on."""
        self._stopping = True
        self._patience.cancel()

    def terminate(self, *, kill: bool) -> None:
        """Ask the first process to end, or end it."""
        if self.run is not None:
            self.run.signal(signal.SIGKILL if kill else self._stop_signal)

    def close(self) -> None:
        """Close the logs."""
        for log in (self.log, self.previous_log):
            if log is not None:
                log.close()

    async def _run_once(self, place: Place, secrets: tuple[JsonObject, ...]) -> Terminated | None:
        """Return how the run ended, None if a stop came before it began."""
        prepared: Prepared | None = None
        async with AsyncExitStack() as held:
            with anyio.CancelScope() as self._patience:
                found = await self._obtain(place, secrets, held)
                prepared = await self._prepared(place, found)
            if prepared is None or self._stopping:
                return None
            # From here on, to stop is to send a signal.
            return await self._execute(place, prepared)

    async def _obtain(
        self, place: Place, secrets: tuple[JsonObject, ...], held: AsyncExitStack
    ) -> StoredImage:
        node, reference = place.node, self.container.image
        policy = pulls.effective_policy(self.container.image_pull_policy, reference)
        attempt = 0
        while True:
            attempt += 1
            try:
                obtained = await node.supply.obtain(
                    reference,
                    policy,
                    secrets,
                    lambda: self._event(place, "Pulling", f'Pulling image "{reference}"'),
                )
                await held.enter_async_context(node.supply.hold(obtained.image))
            except pulls.InvalidNameError as error:
                self._wait_with(place, "InvalidImageName", error.message)
                await anyio.sleep_forever()
            except pulls.NeverPullError as error:
                self._wait_with(place, "ErrImageNeverPull", error.message)
                await anyio.sleep(node.delays.configure_seconds)
            except pulls.PullError as error:
                await self._back_off(place, error.message, attempt)
            else:
                what = f'Successfully pulled image "{reference}"'
                here = f'Container image "{reference}" already present on machine'
                self._event(place, "Pulled", what if obtained.pulled else here)
                self._set(replace(self.record, image_id=obtained.image.image_id))
                return obtained.image

    async def _back_off(self, place: Place, why: str, attempt: int) -> None:
        reference, delays = self.container.image, place.node.delays
        self._warn(place, "Failed", f'Failed to pull image "{reference}": {why}')
        self._wait_with(place, "ErrImagePull", why)
        pause = delays.pull.delay(attempt, place.node.random)
        await anyio.sleep(pause * _ERR_SHARE)
        message = f'Back-off pulling image "{reference}"'
        place.node.events.normal(place.context.pod, "BackOff", message, self._path)
        self._wait_with(place, "ImagePullBackOff", f"{message}: ErrImagePull: {why}")
        await anyio.sleep(pause * (1 - _ERR_SHARE))

    async def _prepared(self, place: Place, image: StoredImage) -> Prepared:
        while True:
            try:
                prepared = await to_thread.run_sync(
                    prepare, place, self.container, image, self.record.restarts
                )
            except ConfigError as error:
                self._wait_with(place, "CreateContainerConfigError", error.message)
            except OSError as error:
                why = f"{error.strerror or error}: {error.filename or place.sandbox.directory}"
                self._wait_with(place, "CreateContainerError", why)
                await to_thread.run_sync(remove_tree, self._directory(place))
            else:
                self._event(place, "Created", f"Created container: {self.container.name}")
                return prepared
            await anyio.sleep(place.node.delays.configure_seconds)

    async def _execute(self, place: Place, prepared: Prepared) -> Terminated:
        node, name, runs = place.node, self.container.name, self.record.restarts
        handle = ContainerHandle(
            id=f"{name}-{runs}", state=place.sandbox.state, process=prepared.process
        )
        if self.previous_log is not None:
            self.previous_log.close()
        self.previous_log, self.log = self.log, ContainerLog(place.sandbox.log_path(name, runs))
        await to_thread.run_sync(self.log.open)
        self.run = ContainerRun(node.runtime, handle, self.log, node.clock)
        started_at = node.clock.now()

        def on_started() -> None:
            uid = place.context.pod.metadata.uid
            self._set(
                replace(
                    self.record,
                    state=Running(started_at=started_at),
                    container_id=f"{node.runtime.name}://{uid}-{handle.id}",
                )
            )
            self.started.set()
            self._event(place, "Started", f"Started container {name}")

        try:
            exit_code = await self.run.execute(prepared, self.container, on_started)
        except StartError as error:
            ended = sync.start_error(error.message, node.clock.now())
            self._warn(place, "Failed", f"Error: {ended.message}")
        else:
            ended = await self._ended(place, prepared, exit_code, started_at)
        self._set(replace(self.record, state=ended))
        return ended

    async def _ended(
        self, place: Place, prepared: Prepared, exit_code: int, started_at: float
    ) -> Terminated:
        container, cgroups = self.container, place.node.cgroups

        def look() -> tuple[bool, bytes]:
            killed = prepared.cgroup is not None and cgroups.oom_killed(prepared.cgroup)
            return killed, prepared.termination_file.read_bytes()

        oom_killed, written = await to_thread.run_sync(look)
        policy, words = container.termination_message_policy, ""
        if policy == "FallbackToLogsOnError" and exit_code != 0 and self.log is not None:
            words = await self.log.last_words()
        return Terminated(
            exit_code=exit_code,
            reason=sync.end_reason(exit_code, oom_killed=oom_killed),
            message=sync.termination_message(written, policy, exit_code, words),
            started_at=started_at,
            finished_at=place.node.clock.now(),
        )

    async def _pause_before_restart(self, place: Place, ended: Terminated) -> None:
        restarts, directory = self.record.restarts, self._directory(place)
        with anyio.CancelScope() as self._patience:
            await to_thread.run_sync(remove_tree, directory)
            if restarts > 0:
                pause = place.node.delays.restart.delay(restarts, place.node.random)
                message = (
                    f"back-off {pause:.0f}s restarting failed container={self.container.name} "
                    f"pod={place.context.pod.description}"
                )
                state = Waiting(reason="CrashLoopBackOff", message=message)
                self._set(replace(self.record, state=state, previous=ended))
                self._warn(place, "BackOff", message)
                await anyio.sleep(pause)
        self._set(replace(self.record, restarts=restarts + 1, previous=ended))

    @property
    def _path(self) -> str:
        kind = "initContainers" if self.init else "containers"
        return f"{kind}{{{self.container.name}}}"

    def _directory(self, place: Place) -> Path:
        return place.sandbox.directory / f"{self.container.name}-{self.record.restarts}"

    def _event(self, place: Place, reason: str, message: str) -> None:
        place.node.events.normal(place.context.pod, reason, message, self._path)

    def _warn(self, place: Place, reason: str, message: str) -> None:
        place.node.events.warning(place.context.pod, reason, message, self._path)

    def _wait_with(self, place: Place, reason: str, message: str) -> None:
        state = Waiting(reason=reason, message=message)
        if state != self.record.state:
            self._set(replace(self.record, state=state))
            if reason not in {"ErrImagePull", "ImagePullBackOff"}:
                self._warn(place, "Failed", f"Error: {message}")
            else:
                self._warn(place, "Failed", f"Error: {reason}")

    def _set(self, record: ContainerRecord) -> None:
        self.record = record
        self._report()
