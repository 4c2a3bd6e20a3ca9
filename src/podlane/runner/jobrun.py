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

import anyio
import anyio.to_thread

from podlane.executors.base import Environment, StageFinished, StageStarted
from podlane.gitlab.answers import UpdateOutcome
from podlane.kit import log
from podlane.kit.errors import PodlaneError
from podlane.model.job import Job, Variable
from podlane.model.masking import Masker
from podlane.model.outcome import JobOutcome
from podlane.model.substages import RESOLVE_SECRETS
from podlane.runner import feature_flags, job_variables
from podlane.runner import outcome as outcomes
from podlane.runner.job_inputs import interpolated
from podlane.runner.job_variables import JobNumbers
from podlane.runner.outcome import Stop
from podlane.runner.plan import FIRST, make_plan, wanted_secrets
from podlane.runner.reporter import Orders, Reporter
from podlane.runner.secrets.resolve import SecretParts, resolve
from podlane.runner.trace_buffer import TraceBuffer
from podlane.runner.tracelog import TraceLog
from podlane.runner.workplace import Workplace

_logger = logging.getLogger(__name__)
KIB = 1024
_TIMEOUT_SLACK_SECONDS = 5.0  # an environment keeps the job's timeout itself; this is the belt


class JobRun:
    """The run of one job."""

    def __init__(self, job: Job, place: Workplace, *, numbers: JobNumbers = FIRST) -> None:
        self._job = _known_by(job)
        self._payload = job
        self._place = place
        self._numbers = numbers
        runner = place.runner
        flags = feature_flags.resolve(
            runner.feature_flags, job.variables, timestamps=runner.timestamps_by_default
        )
        self._buffer = TraceBuffer(limit_bytes=runner.output_limit_kib * KIB)
        self._reporter = Reporter(
            place.api, self._job, self._buffer,
            random=place.random, final_tries=runner.final_update_tries,
            dynamic_keepalive=flags["FF_USE_DYNAMIC_TRACE_FORCE_SEND_INTERVAL"],
        )  # fmt: skip
        self._log = TraceLog(
            self._buffer, with_sections=job.features.trace_sections,
            clock=place.clock, grew=self._reporter.grew,
        )  # fmt: skip
        self._scope = anyio.CancelScope()
        self._stop: Stop | None = None
        self._environment: Environment | None = None

    async def run(self) -> JobOutcome | None:
        """Run the job and deliver its result; None when the coordinator has given it up before."""
        with log.fields(job=self._job.id, project=self._job.job_info.project_id):
            try:
                answer = await self._reporter.acknowledge()
                if answer.outcome is UpdateOutcome.ABORT:
                    log.event(_logger, logging.INFO, "job_dropped", reason=answer.message)
                    return None
                return await self._run_and_report(canceled=answer.cancel_requested)
            finally:
                self._buffer.close()

    async def _run_and_report(self, *, canceled: bool) -> JobOutcome:
        log.event(_logger, logging.INFO, "job_started", job_name=self._job.job_info.name)
        async with anyio.create_task_group() as group:
            orders = Orders(cancel=self._cancel, abort=lambda: self._end_with(Stop.ABORTED))
            group.start_soon(self._reporter.run, orders)
            before = outcomes.of_stop(Stop.CANCELED, self._job) if canceled else None
            outcome = before or await self._execute()
            await self._log.finish(outcome, at=self._place.clock.now())
            self._reporter.close()
        log.event(_logger, logging.INFO, "job_finished", result=outcome.reason or "success")
        if self._stop is Stop.ABORTED:
            return outcome
        patience = self._place.farewell_seconds if self._place.interrupted.is_set() else math.inf
        with anyio.move_on_after(patience):
            told = await self._reporter.finish(outcome)
            if not told.delivered:
                log.event(_logger, logging.ERROR, "result_not_delivered", reason=told.message)
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
            async with await self._planned() as environment:
                self._environment = environment
                return await environment.run(self._log.event)
        except Exception as error:  # the supervisor of jobs: one job's trouble is not another's
            if not isinstance(error, PodlaneError):
                log.event(_logger, logging.ERROR, "job_crashed", error=type(error).__name__)
                _logger.exception("job_crashed")
            return outcomes.of_error(error)
        finally:
            self._environment = None

    async def _planned(self) -> AbstractAsyncContextManager[Environment]:
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
        self._payload = self._job
        self._reporter.debug_trace = plan.debug_trace
        await self._log.prepare(plan)
        return place.executor.environment(plan.execution)

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
        await self._log.warn("script canceled externally (UI, API)")
        if self._environment is None:
            self._end_with(Stop.CANCELED)
        else:
            await self._environment.cancel()

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
