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
from podlane.kit.tasks import plain_errors
from podlane.node.images.config import StoredImage
from podlane.node.kubelet import sync
from podlane.node.kubelet.containerlog import ContainerLog
from podlane.node.kubelet.env import ConfigError
from podlane.node.kubelet.hooks import POST_START_ERROR, Hook, HookError
from podlane.node.kubelet.obtaining import obtain
from podlane.node.kubelet.podspec import Container, Handler
from podlane.node.kubelet.prepare import Place, Prepared, prepare
from podlane.node.kubelet.run import ContainerRun
from podlane.node.kubelet.states import (
    ContainerRecord,
    Running,
    Terminated,
    Waiting,
)
from podlane.node.kubelet.status import ALWAYS
from podlane.node.kubelet.voice import Voice
from podlane.node.runtime.base import ContainerHandle, StartError
from podlane.node.runtime.mounts import remove_tree


class ContainerWorker:
    """Runs one container as its pod's restart policy says; reports each change of its state."""

    def __init__(self, container: Container, *, init: bool, has_init: bool) -> None:
        self.container = container
        self.init = init
        record = ContainerRecord(
            name=container.name,
            image=container.image,
            state=sync.first_state(has_init=has_init),
            sidecar=init and container.restart_policy == ALWAYS,
        )
        self._voice = Voice(container, record, init=init)
        self.run: ContainerRun | None = None
        self.log: ContainerLog | None = None
        self.previous_log: ContainerLog | None = None
        self.finished = anyio.Event()
        self.started = anyio.Event()
        self._hook_error = ""
        self.in_hook = False
        self._alive = False
        self._place: Place | None = None
        self._stopping = False
        self._stop_signal = signal.SIGTERM
        self._patience = anyio.CancelScope()

    async def work(
        self, place: Place, secrets: tuple[JsonObject, ...], report: Callable[[], None]
    ) -> None:
        """Run the container until it needs to run no more."""
        self._voice.report, self._place = report, place
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
            self._voice.attempted.set()
            self.finished.set()

    @property
    def record(self) -> ContainerRecord:
        """How it is."""
        return self._voice.record

    @property
    def attempted(self) -> anyio.Event:
        """Set when a first start has succeeded or failed."""
        return self._voice.attempted

    @property
    def alive(self) -> bool:
        """Whether there is a process to be stopped, reported as running or not."""
        return self._alive or self.record.running

    async def stop(self) -> None:
        """End it politely: ``preStop``, TERM. Returns when it has ended; the caller bounds that."""
        place, handler = self._place, self.container.lifecycle.pre_stop
        if handler is not None and place is not None and self.run is not None:
            self.in_hook = True
            try:
                await Hook(place, self.container, self.run, handler).call()
            except HookError:
                self._voice.warn(place, "FailedPreStopHook", "PreStopHook failed")
            self.in_hook = False
        self.terminate(kill=False)
        await self.finished.wait()

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
                found = await obtain(place, self.container, self._voice, secrets, held)
                prepared = await self._prepared(place, found)
            if prepared is None or self._stopping:
                return None
            # From here on, to stop is to send a signal.
            return await self._execute(place, prepared)

    async def _prepared(self, place: Place, image: StoredImage) -> Prepared:
        while True:
            try:
                prepared = await to_thread.run_sync(
                    prepare, place, self.container, image, self.record.restarts
                )
            except ConfigError as error:
                self._voice.wait_with(place, "CreateContainerConfigError", error.message)
            except OSError as error:
                why = f"{error.strerror or error}: {error.filename or place.sandbox.directory}"
                self._voice.wait_with(place, "CreateContainerError", why)
                await to_thread.run_sync(remove_tree, self._directory(place))
            else:
                self._voice.event(place, "Created", f"Created container: {self.container.name}")
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
            self._alive = True
            self._voice.event(place, "Started", f"Started container {name}")
            handler = self.container.lifecycle.post_start
            if handler is None:
                running()
            else:
                tasks.start_soon(self._after_start, place, handler, running)

        def running() -> None:
            uid = place.context.pod.metadata.uid
            self._voice.tell(
                replace(
                    self.record,
                    state=Running(started_at=started_at),
                    container_id=f"{node.runtime.name}://{uid}-{handle.id}",
                )
            )
            self.started.set()
            self._voice.attempted.set()

        try:
            with plain_errors():
                async with anyio.create_task_group() as tasks:
                    try:
                        exit_code = await self.run.execute(prepared, self.container, on_started)
                    finally:
                        self._alive = False
                        tasks.cancel_scope.cancel()
        except StartError as error:
            ended = sync.start_error(error.message, node.clock.now())
            self._voice.warn(place, "Failed", f"Error: {ended.message}")
        else:
            ended = await self._ended(place, prepared, exit_code, started_at)
        self._voice.tell(replace(self.record, state=ended))
        return ended

    async def _after_start(
        self, place: Place, handler: Handler, running: Callable[[], None]
    ) -> None:
        """Call ``postStart``; a container whose hook fails must not go on."""
        assert self.run is not None
        try:
            await Hook(place, self.container, self.run, handler).call()
        except HookError as error:
            self._hook_error = str(error)
            self._voice.warn(place, "FailedPostStartHook", "PostStartHook failed")
            self._voice.event(place, "Killing", "FailedPostStartHook")
            with anyio.move_on_after(place.context.pod.spec.termination_grace_period_seconds):
                await self.stop()
            self.terminate(kill=True)
        except anyio.get_cancelled_exc_class():
            if not self._stopping:  # the container ended under its hook
                self._voice.warn(place, "FailedPostStartHook", "PostStartHook failed")
            raise
        else:
            running()

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
        if self._hook_error:
            state = Waiting(reason=POST_START_ERROR, message=self._hook_error)
            self._voice.tell(replace(self.record, state=state, previous=ended))
            self._hook_error = ""
        with anyio.CancelScope() as self._patience:
            await to_thread.run_sync(remove_tree, directory)
            if restarts > 0:
                pause = place.node.delays.restart.delay(restarts, place.node.random)
                message = (
                    f"back-off {pause:.0f}s restarting failed container={self.container.name} "
                    f"pod={place.context.pod.description}"
                )
                state = Waiting(reason="CrashLoopBackOff", message=message)
                self._voice.tell(replace(self.record, state=state, previous=ended))
                self._voice.warn(place, "BackOff", message)
                await anyio.sleep(pause)
        self._voice.tell(replace(self.record, restarts=restarts + 1, previous=ended))

    def _directory(self, place: Place) -> Path:
        return place.sandbox.directory / f"{self.container.name}-{self.record.restarts}"
