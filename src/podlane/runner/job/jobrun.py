"""One job, from the moment it was handed out until its result is delivered. Read this first.

    acknowledge ─▶ plan ─▶ environment.run ─▶ last lines ─▶ deliver trace and result
         │           │            ▲
         ▼           ▼            │ cancel: the script stops, after_script and uploads still run
       dropped    refused         │ abort, interruption, timeout: everything stops

The reporter runs beside all of it. Whatever happens, the environment is left, and with it all that
it made, before the result is told.
"""

from __future__ import annotations

import logging
import math
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TypeAlias

import anyio
import anyio.to_thread
from msgspec.structs import replace

from podlane.executors.base import Environment, StageFinished, StageStarted, take_over
from podlane.gitlab.answers import UpdateOutcome
from podlane.kit import log
from podlane.kit.errors import PermanentError, PodlaneError
from podlane.model.job import Job, Variable
from podlane.model.masking import Masker
from podlane.model.outcome import JobOutcome
from podlane.model.substages import RESOLVE_SECRETS
from podlane.runner.configuration import feature_flags
from podlane.runner.job import outcome as outcomes
from podlane.runner.job import variables as job_variables
from podlane.runner.job.inputs import interpolated
from podlane.runner.job.keeping import Files, JobState, Keeper, Left
from podlane.runner.job.outcome import Stop
from podlane.runner.job.plan import FIRST, make_plan, wanted_secrets
from podlane.runner.job.reporter import Orders, Reporter
from podlane.runner.job.succession import is_heir
from podlane.runner.job.trace_buffer import TraceBuffer
from podlane.runner.job.tracelog import LogState, TraceLog
from podlane.runner.job.variables import JobNumbers
from podlane.runner.job.workplace import Workplace
from podlane.runner.secrets.resolve import SecretParts, resolve
from podlane.runner.system_id import short_token

_logger = logging.getLogger(__name__)
KIB = 1024
_Opened: TypeAlias = tuple[AbstractAsyncContextManager[Environment], JobState]
_TIMEOUT_SLACK_SECONDS = 5.0  # an environment keeps the job's timeout itself; this is the belt


class JobRun:
    """The run of one job."""

    def __init__(
        self,
        job: Job,
        place: Workplace,
        *,
        numbers: JobNumbers = FIRST,
        files: Files | None = None,
        left: Left | None = None,
    ) -> None:
        mark = left.mark if left is not None else None
        self._job = _known_by(job)
        self._payload = job
        self._place = place
        self._numbers = numbers
        runner = place.runner
        flags = feature_flags.resolve(
            runner.feature_flags, runner.variables_of(job), timestamps=runner.timestamps_by_default
        )
        self._left = left
        self._buffer = TraceBuffer(
            limit_bytes=runner.output_limit_kib * KIB,
            path=None if files is None else files.trace,
            before=None if mark is None else mark.written,
        )
        self._keeper = Keeper(self._buffer, files)
        self._dynamic_keepalive = (
            flags["FF_USE_DYNAMIC_TRACE_FORCE_SEND_INTERVAL"]
            if left is None
            else left.state.dynamic_keepalive
        )
        self._reporter = Reporter(
            place.api, self._job, self._buffer,
            random=place.random, final_tries=runner.final_update_tries,
            dynamic_keepalive=self._dynamic_keepalive,
        )  # fmt: skip
        self._log = TraceLog(
            self._buffer, with_sections=job.features.trace_sections,
            clock=place.clock, grew=self._reporter.grew,
        )  # fmt: skip
        self._keeper.follow(self._log, mark)
        if files is not None:
            self._reporter.keep = self._keeper.keep
        if left is not None:
            self._log.resume(mark.log if mark is not None else LogState(), left.state.masker())
            self._reporter.debug_trace = left.state.debug_trace
            self._reporter.unsure = mark is None
            self._keeper.note()
        self._scope = anyio.CancelScope()
        self._stop: Stop | None = None
        self._environment: Environment | None = None

    async def run(self) -> JobOutcome | None:
        """Run the job and deliver its result; None when the coordinator has given it up before."""
        with log.fields(job=self._job.id, project=self._job.job_info.project_id):
            try:
                # First a note: once the coordinator counts on us, a successor must know of the job.
                await self._keeper.state(self._state())
                answer = await self._reporter.acknowledge()
                if answer.outcome is UpdateOutcome.ABORT:
                    log.event(_logger, logging.INFO, "job_dropped", reason=answer.message)
                    await self._drop()
                    return None
                return await self._run_and_report(canceled=answer.cancel_requested)
            finally:
                self._buffer.close()

    async def _run_and_report(self, *, canceled: bool) -> JobOutcome:
        begins = "job_started" if self._left is None else "job_resumed"
        log.event(_logger, logging.INFO, begins, job_name=self._job.job_info.name)
        async with anyio.create_task_group() as group:
            orders = Orders(cancel=self._cancel, abort=lambda: self._end_with(Stop.ABORTED))
            group.start_soon(self._reporter.run, orders)
            before = self._keeper.outcome
            if canceled and self._left is None:  # of one that is resumed the reporter hears again
                before = outcomes.of_stop(Stop.CANCELED, self._job)
            outcome = before or await self._execute()
            await self._keeper.close(outcome, partial(self._log.finish, at=self._place.clock.now()))
            self._reporter.close()
        log.event(_logger, logging.INFO, "job_finished", result=outcome.reason or "success")
        if self._stop is not Stop.ABORTED:
            patience = (
                self._place.farewell_seconds if self._place.interrupted.is_set() else math.inf
            )
            with anyio.move_on_after(patience):
                told = await self._reporter.finish(outcome)
                if not told.delivered:
                    log.event(_logger, logging.ERROR, "result_not_delivered", reason=told.message)
                await self._keeper.forget()
            return outcome
        await self._keeper.forget()
        return outcome

    async def _execute(self) -> JobOutcome:
        """Run the job in an environment, until it ends or is stopped from outside."""
        outcome: JobOutcome | None = None
        patience = self._job.timeout_seconds + _TIMEOUT_SLACK_SECONDS
        with self._scope, anyio.move_on_after(patience) as limit:
            async with anyio.create_task_group() as group:
                group.start_soon(self._watch_interruption)
                outcome = await self._in_environment()
                group.cancel_scope.cancel()
        if outcome is not None:
            return outcome
        stop = self._stop or (Stop.TIMED_OUT if limit.cancelled_caught else Stop.INTERRUPTED)
        return outcomes.of_stop(stop, self._job)

    async def _in_environment(self) -> JobOutcome:
        try:
            opened, state = self._taken_over() if self._left else await self._planned()
            async with opened as environment:
                await self._keeper.begin(environment, state)
                del state  # it has all phrases, and they are in the masker now
                self._environment = environment
                if self._keeper.canceled:
                    await environment.cancel()
                outcome = await environment.run(self._log.event)
                await self._keeper.ended(outcome)
                return outcome
        except Exception as error:  # the supervisor of jobs: one job's trouble is not another's
            if not isinstance(error, PodlaneError):
                log.event(_logger, logging.ERROR, "job_crashed", error=type(error).__name__)
                _logger.exception("job_crashed")
            return outcomes.of_error(error)
        finally:
            self._environment = None

    async def _planned(self) -> _Opened:
        """Turn the payload into an environment that has yet to be entered.

        Payload and plan are large, and the job may run for hours: nothing here outlives the call.
        """
        place, job = self._place, self._payload
        await self._log.header(place.runner, place.manager, job)
        await self._log.hide(Masker(job_variables.known_secrets(job, place.runner)))
        job = interpolated(job, place.runner, place.note_inputs)
        resolved = await self._resolve_secrets(job)
        make = partial(
            make_plan, job, place.runner, place.manager, numbers=self._numbers, resolved=resolved
        )
        # The URLs of caches may have to ask a cloud for credentials.
        plan = await anyio.to_thread.run_sync(make) if job.cache else make()
        execution = plan.execution
        state = replace(
            self._state(), phrases=plan.secrets, debug_trace=plan.debug_trace,
            token_prefixes=job.features.token_mask_prefixes or (),
            all_default_tokens=execution.flag("FF_MASK_ALL_DEFAULT_TOKENS"),
        )  # fmt: skip
        self._payload = self._job
        self._reporter.debug_trace = plan.debug_trace
        await self._log.prepare(plan)
        return place.executor.environment(execution), state

    def _taken_over(self) -> _Opened:
        """Return the environment that a dead process left.

        Raises:
            PodlaneError: there is none that can be taken over.
        """
        left, self._left = self._left, None
        assert left is not None
        progress = left.resumable()
        executor, runner = self._place.executor, self._place.runner
        if not is_heir(left, runner):
            raise PermanentError(
                "the runner manager ended while it ran the job, and its runner is gone since",
                hint="its entry in config.toml was removed, or its token was changed; retry the job",
            )
        state = replace(left.state, process=self._state().process)
        return take_over(executor, self._job.id, state.memory, progress), state

    async def _drop(self) -> None:
        """Leave nothing of a job that the coordinator gave to somebody else, or ended."""
        if self._left is not None:
            try:
                opened, _ = self._taken_over()
                async with opened:
                    pass
            except PodlaneError as error:
                log.event(_logger, logging.INFO, "nothing_to_drop", reason=error.message)
        await self._keeper.forget()

    def _state(self) -> JobState:
        place, shelf = self._place, self._place.shelf
        if self._left is not None:
            known = self._left.state
        else:
            phrases = job_variables.known_secrets(self._payload, place.runner)
            known = JobState(
                process="", url=place.runner.url, runner=short_token(place.runner.token),
                job=self._job, phrases=phrases, concurrent_id=self._numbers.concurrent_id,
                concurrent_project_id=self._numbers.concurrent_project_id,
                dynamic_keepalive=self._dynamic_keepalive,
            )  # fmt: skip
        return replace(known, process="" if shelf is None else shelf.process)

    async def _resolve_secrets(self, job: Job) -> tuple[Variable, ...]:
        place, clock = self._place, self._place.clock
        wish = wanted_secrets(job, place.runner, place.manager, numbers=self._numbers)
        if wish is None:
            return ()
        await self._log.event(StageStarted(substage=RESOLVE_SECRETS, at=clock.now()))
        parts = SecretParts(
            clock=clock, random=place.random, open_http=place.open_http, endpoints=place.endpoints
        )
        found = await resolve(wish, parts, say=self._log.say, warn=self._log.warn)
        await self._log.event(StageFinished(substage=RESOLVE_SECRETS, exit_code=0, at=clock.now()))
        return found

    async def _watch_interruption(self) -> None:
        await self._place.interrupted.wait()
        self._end_with(Stop.INTERRUPTED)

    async def _cancel(self) -> None:
        """Obey ``Job-Status: canceling``."""
        log.event(_logger, logging.INFO, "job_canceling")
        if not self._keeper.canceled:  # an earlier process may have said so
            self._keeper.canceled = True
            await self._log.warn("script canceled externally (UI, API)")
        if self._environment is not None:
            await self._environment.cancel()
        elif not self._keeper.resumed:  # such a one has an environment, which is opened soon
            self._end_with(Stop.CANCELED)

    def _end_with(self, stop: Stop) -> None:
        if self._stop is None:
            self._stop = stop
            self._scope.cancel()


def _known_by(job: Job) -> Job:
    """Return the little that a running job is told, counted and reported by."""
    return Job(
        id=job.id, token=job.token, job_info=job.job_info, runner_info=job.runner_info,
        features=job.features,
    )  # fmt: skip
