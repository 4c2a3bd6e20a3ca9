"""The runners at work: one shift for each version of the settings, the same slots for all of them."""

from __future__ import annotations

import logging
import random as random_module
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import anyio
import anyio.abc
import anyio.to_thread

from podlane.executors.base import Executor
from podlane.executors.kubernetes.pause_pods.standby import Standby, Tenure
from podlane.kit import log
from podlane.kit.clock import SystemClock
from podlane.kit.errors import PodlaneError, TemporaryError, UsageError
from podlane.model.job import Job
from podlane.runner.configuration import feature_flags
from podlane.runner.configuration.settings import GlobalSettings, RunnerSettings, TlsSettings
from podlane.runner.identity import Manager
from podlane.runner.job.jobrun import JobRun
from podlane.runner.job.keeping import Files, Left, Shelf
from podlane.runner.job.succession import Heritage, divide
from podlane.runner.job.variables import JobNumbers
from podlane.runner.job.workplace import Workplace
from podlane.runner.manager.observe import ObservedApi, ObservedExecutor, job_url
from podlane.runner.manager.pace import Pace
from podlane.runner.manager.poller import Poller, RunnerApi
from podlane.runner.manager.slots import Lease, RunnerSlots, Slots
from podlane.runner.manager.stats import JobStatus, RunnerGauges, Stats
from podlane.runner.system_id import short_token

_logger = logging.getLogger(__name__)
LATE_SECONDS = 30

OpenExecutor: TypeAlias = Callable[[RunnerSettings, Manager], AbstractAsyncContextManager[Executor]]
OpenApi: TypeAlias = Callable[[RunnerSettings, Manager], AbstractAsyncContextManager[RunnerApi]]


@dataclass(frozen=True, slots=True)
class StopRequest:
    """How to stop a manager. ``drain``: take no new job. ``interrupt``: end the running ones too."""

    drain: anyio.Event = field(default_factory=anyio.Event)
    interrupt: anyio.Event = field(default_factory=anyio.Event)

    def ask_drain(self) -> None:
        """Take no new job, finish the running ones."""
        self.drain.set()

    def ask_interrupt(self) -> None:
        """Take no new job, end the running ones and report them as interrupted."""
        self.interrupt.set()
        self.drain.set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What does not change with the settings. ``shelf``: where successors find running jobs."""

    manager: Manager
    open_executor: OpenExecutor
    open_api: OpenApi
    stop: StopRequest
    stats: Stats = field(default_factory=Stats)
    shelf: Shelf | None = None


@dataclass(frozen=True, slots=True)
class _Shift:
    """The time of one version of the settings: ends with ``retire``, ``quiet`` when nobody asks."""

    retire: anyio.Event = field(default_factory=anyio.Event)
    quiet: anyio.Event = field(default_factory=anyio.Event)


class Crew:
    """All runners; one shift for each version of the settings, slots common to all shifts."""

    def __init__(self, parts: Parts, settings: GlobalSettings) -> None:
        self._parts = parts
        self._slots = Slots(settings.concurrent)
        self._runner_slots: dict[str, RunnerSlots] = {}
        self._standbys: dict[str, Standby] = {}
        self._heritage = Heritage()
        self._resumed: set[Path] = set()
        self._shift = _Shift()
        self._shift.quiet.set()
        self._has_begun = False

    def retire(self) -> None:
        """Take no new job under the present settings."""
        self._shift.retire.set()

    async def change(self, shifts: anyio.abc.TaskGroup, settings: GlobalSettings) -> None:
        """Take jobs under ``settings`` from now on; earlier ones go on as they are.

        Raises:
            PodlaneError: these settings cannot be used; everything is as before.
        """
        if not settings.runners:  # `podlane runner register` may add one at any time
            log.event(_logger, logging.WARNING, "no_runners_configured")
        before, shift = self._shift, _Shift()
        await shifts.start(self._work, settings, shift, before)
        self._shift = shift
        before.retire.set()

    async def _work(
        self,
        settings: GlobalSettings,
        shift: _Shift,
        before: _Shift,
        *,
        task_status: anyio.abc.TaskStatus[None],
    ) -> None:
        await self._look(settings)
        async with AsyncExitStack() as stack:
            posts, late = await self._posts(stack, settings, shift)
            task_status.started()
            self._has_begun = True
            await before.quiet.wait()
            self._slots.resize(settings.concurrent)
            stats = self._parts.stats
            stats.concurrent, stats.runners = settings.concurrent, {}
            stats.resize(settings.concurrent)
            for post in posts:
                post.resize(others=len(settings.runners) - 1)
            async with anyio.create_task_group() as jobs:
                for runner in late:
                    jobs.start_soon(self._work_later, settings, runner, shift)
                async with anyio.create_task_group() as pollers:
                    for post in posts:
                        pollers.start_soon(post.poll, jobs)
                    await shift.retire.wait()
                    pollers.cancel_scope.cancel()
                shift.quiet.set()

    async def _posts(
        self, stack: AsyncExitStack, settings: GlobalSettings, shift: _Shift
    ) -> tuple[list[_Post], list[RunnerSettings]]:
        """Open all runners; return those that may be used, and those whose cluster is away for now.

        Raises:
            PodlaneError: some settings are wrong, or a manager would begin with no runner at all.
        """
        posts: list[_Post] = []
        late: list[RunnerSettings] = []
        for runner in settings.runners:
            async with AsyncExitStack() as own:
                try:
                    posts.append(await self._post(own, settings, runner, shift))
                except TemporaryError as error:
                    is_last = len(late) + 1 == len(settings.runners)
                    if is_last and not self._has_begun:
                        raise
                    _log_late(runner, error)
                    late.append(runner)
                    continue
                stack.push_async_exit(own.pop_all())
        return posts, late

    async def _work_later(
        self, settings: GlobalSettings, runner: RunnerSettings, shift: _Shift
    ) -> None:
        """Open a runner as soon as its cluster is back, and let it work for the rest of the shift."""
        while not shift.retire.is_set():
            with anyio.move_on_after(LATE_SECONDS):
                await shift.retire.wait()
                return
            async with AsyncExitStack() as stack:
                try:
                    post = await self._post(stack, settings, runner, shift)
                except PodlaneError as error:
                    _log_late(runner, error)
                    continue
                log.event(_logger, logging.INFO, "runner_begins_late", runner_name=runner.name)
                post.resize(others=len(settings.runners) - 1)
                async with anyio.create_task_group() as jobs, anyio.create_task_group() as poller:
                    poller.start_soon(post.poll, jobs)
                    await shift.retire.wait()
                    poller.cancel_scope.cancel()
                return

    async def _look(self, settings: GlobalSettings) -> None:
        """Look for jobs of a dead manager that nobody has gone on with."""
        shelf = self._parts.shelf
        if shelf is None:
            self._heritage = divide((), (), settings.runners)
            return
        found = await anyio.to_thread.run_sync(shelf.running)
        left = [each for each in found if not each.alive and each.files.state not in self._resumed]
        running = [each for each in found if each not in left]
        self._heritage = divide(left, running, settings.runners)
        for each in self._heritage.rest:
            state = each.state
            log.event(_logger, logging.ERROR, "job_lost", job=state.job.id, url=state.url)
            await anyio.to_thread.run_sync(each.files.remove)

    async def _post(
        self,
        stack: AsyncExitStack,
        settings: GlobalSettings,
        runner: RunnerSettings,
        shift: _Shift,
    ) -> _Post:
        parts, heritage = self._parts, self._heritage
        # a runner stays the same when its token is renewed
        identity = f"{runner.url} {runner.id or runner.token}"
        standby = self._standbys.setdefault(identity, Standby())
        manager = replace(
            parts.manager, tls_ca_pem=await _ca_pem(runner.tls), memories=heritage.memories,
            household="" if parts.shelf is None else parts.shelf.household,
            tenure=Tenure(standby=standby, ended=shift.retire),
        )  # fmt: skip
        opened = await stack.enter_async_context(parts.open_api(runner, manager))
        executor = await stack.enter_async_context(parts.open_executor(runner, manager))
        api = ObservedApi(opened, runner, parts.stats)
        place = Workplace(
            runner=runner, manager=manager, api=api, clock=SystemClock(),
            executor=ObservedExecutor(executor, parts.stats),
            random=random_module.SystemRandom(), interrupted=parts.stop.interrupt,
            farewell_seconds=settings.shutdown_timeout_seconds,
            note_inputs=parts.stats.note_inputs, shelf=parts.shelf,
        )  # fmt: skip
        slots = self._runner_slots.setdefault(identity, RunnerSlots(self._slots, runner.limit))
        feed_failures, who = parts.stats.feed_failures, (short_token(runner.token), runner.name)

        def resting() -> None:
            feed_failures[who] += 1
            seconds = runner.unhealthy_interval_seconds
            log.event(_logger, logging.ERROR, "runner_unhealthy", rests_for_seconds=seconds)

        pace = Pace(
            runner, check_interval_seconds=settings.check_interval_seconds, random=place.random,
            resting=resting,
        )  # fmt: skip
        share = heritage.shares[settings.runners.index(runner)]
        self._resumed.update(left.files.state for left in share)
        return _Post(place, api, slots, pace, parts.stats, share)


class _Post:
    """What belongs to one runner during one shift."""

    def __init__(
        self,
        place: Workplace,
        api: RunnerApi,
        slots: RunnerSlots,
        pace: Pace,
        stats: Stats,
        share: Sequence[Left],
    ) -> None:
        self._place = place
        self._share = share
        self._api = api
        self._slots = slots
        self._pace = pace
        self._stats = stats
        self._shown = short_token(place.runner.token)

    def resize(self, *, others: int) -> None:
        """Apply the runner's own limit, and share with so many other runners."""
        self._slots.resize(self._place.runner.limit)
        self._slots.others = others
        runner = self._place.runner
        self._stats.runners[self._shown] = RunnerGauges(
            name=runner.name, limit=runner.limit, adaptive_limit=lambda: self._pace.adaptive_limit,
            request_concurrency=max(runner.request_concurrency, 1),
            used_limit=lambda: self._pace.requests, queuing_durations=runner.queuing_durations,
            standby=self._place.manager.tenure.standby,
        )  # fmt: skip

    async def poll(self, jobs: anyio.abc.TaskGroup) -> None:
        """Poll for ever, and start this runner's jobs in the group ``jobs``."""

        def start(job: Job, lease: Lease) -> None:
            jobs.start_soon(self._run, job, lease, poller)

        held, shown = self._stats.requests_held_back, self._shown
        poller = Poller(
            self._api, self._slots, self._pace, start=start,
            parallel=max(self._place.runner.request_concurrency, 1),
            held_back=lambda: held.update([shown]),
        )  # fmt: skip
        with log.fields(runner=shown, runner_name=self._place.runner.name):
            for left in self._share:
                self._resume(left, jobs, poller)
            self._share = ()
            await poller.run()

    def _resume(self, left: Left, jobs: anyio.abc.TaskGroup, poller: Poller) -> None:
        numbers = JobNumbers(
            concurrent_id=left.state.concurrent_id,
            concurrent_project_id=left.state.concurrent_project_id,
        )
        lease = self._slots.take_over(numbers, left.state.job.job_info.project_id)
        jobs.start_soon(self._run, left.state.job, lease, poller, left)

    async def _run(self, job: Job, lease: Lease, poller: Poller, left: Left | None = None) -> None:
        runner, outcome = self._place.runner, None
        flags = feature_flags.resolve(
            runner.feature_flags, runner.variables_of(job), timestamps=False
        )
        status = JobStatus(
            id=job.id, url=job_url(job), runner=self._shown, runner_name=runner.name,
            project_id=job.job_info.project_id, started_at=anyio.current_time(),
            executor=runner.executor, with_stages=flags["FF_EXPORT_HIGH_CARDINALITY_METRICS"],
        )  # fmt: skip
        self._stats.job_started(job, status, now=self._place.clock.now())
        try:
            standby = self._place.manager.tenure.standby
            with log.fields(runner=self._shown, runner_name=runner.name), standby.busy():
                if flags["FF_LOG_IMAGES_CONFIGURED_FOR_JOB"]:
                    _log_images(job)
                files = left.files if left is not None else await self._files(job.id)
                run = JobRun(
                    job, self._place, numbers=lease.numbers or JobNumbers(), files=files, left=left
                )
                del job, left  # its payload is large, and the run drops it once it has a plan
                outcome = await run.run()
        except Exception:  # the supervisor of jobs: no job ends the manager
            _logger.exception("job_lost")
        finally:
            self._stats.job_ended(status.id, outcome, anyio.current_time())
            lease.release()
            poller.job_ended()

    async def _files(self, job_id: int) -> Files | None:
        shelf, url = self._place.shelf, self._place.runner.url
        if shelf is None:
            return None
        return await anyio.to_thread.run_sync(shelf.files, url, job_id)


def _log_late(runner: RunnerSettings, error: PodlaneError) -> None:
    """Say why a runner takes no jobs for now."""
    log.event(
        _logger, logging.ERROR, "runner_cannot_begin", runner_name=runner.name, error=error.message,
        hint=error.hint or "", again_in_seconds=LATE_SECONDS,
    )  # fmt: skip


def _log_images(job: Job) -> None:
    """Say which images the job asks for, without the values of its variables."""
    for event, image in (
        ("image_configured_for_job", job.image),
        *(("service_image_configured_for_job", service) for service in job.services or ()),
    ):
        if image.name:
            log.event(_logger, logging.INFO, event, job=job.id, image_name=image.name)


async def _ca_pem(tls: TlsSettings) -> str:
    if not tls.ca_file:
        return ""
    try:
        return await anyio.Path(tls.ca_file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"cannot read tls-ca-file {tls.ca_file}: {error}", hint="name a readable PEM file"
        ) from error
