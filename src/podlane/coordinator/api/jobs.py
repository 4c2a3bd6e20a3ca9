"""Routes of the Runner API for one job: state, trace. All need the job's token."""

from __future__ import annotations

import errno

import anyio
import anyio.to_thread
from aiohttp import web

from podlane.coordinator.api import answers
from podlane.coordinator.state.engine import Engine
from podlane.coordinator.state.live import BUSY, LiveJob, LivePipeline
from podlane.coordinator.storage.blobs import Blobs
from podlane.coordinator.storage.tokens import TokenMaker
from podlane.gitlab import ranges, wire
from podlane.gitlab.trace import FinalCheck
from podlane.model.failures import FailureReason
from podlane.model.states import FINISHED, JobState

# After this many refused results the stored trace is taken as it is: better that than a lost result.
MAX_MISMATCHES = 4
MAX_PATCH_BYTES = 32 * 1024 * 1024
_FINAL_STATES = frozenset({"success", "failed"})
_INSUFFICIENT_STORAGE = 507


class JobsApi:
    """Handlers; one instance per coordinator."""

    def __init__(
        self, engine: Engine, blobs: Blobs, tokens: TokenMaker, *, trace_interval_seconds: float
    ) -> None:
        self._engine = engine
        self._blobs = blobs
        self._tokens = tokens
        self._interval = str(max(round(trace_interval_seconds), 1))

    def routes(self) -> list[web.RouteDef]:
        """Return what to add to the application."""
        return [
            web.put("/api/v4/jobs/{id}", self.update),
            web.patch("/api/v4/jobs/{id}/trace", self.append_trace),
        ]

    # --- state ----------------------------------------------------------------------------------

    async def update(self, request: web.Request) -> web.Response:
        """``PUT jobs/:id``: keepalive and acknowledgement (``running``), or the result."""
        body = await answers.read(request, wire.JobUpdate)
        token = request.headers.get(wire.JOB_TOKEN, "") or body.token
        found = self._find(request, token)
        if found is None:
            return answers.forbidden("the job token is not valid")
        live, job = found
        if job.state not in BUSY:
            return self._late(job, body)
        job.last_contact = anyio.current_time()
        if body.state == "running":
            self._engine.acknowledge(live, job)
            return self._said(job, 200)
        if body.state not in _FINAL_STATES:
            return answers.message(400, f"a job cannot become {body.state!r}")
        status = await self._check_trace(job, body)
        if status != 200:  # noqa: PLR2004 - HTTP
            return self._said(job, status)
        if job.state not in BUSY:  # somebody was faster while we checked
            return self._late(job, body)
        before = self._said(job, 200)
        self._engine.finish(live, job, reason=_reason(body), exit_code=body.exit_code)
        return before

    def _late(self, job: LiveJob, body: wire.JobUpdate) -> web.Response:
        """Answer an update of a job that has ended: the same result once more is accepted."""
        same = {"success": JobState.SUCCESS, "failed": JobState.FAILED}.get(body.state)
        if job.state is same and (job.row.failure_reason or "") == (
            _reason(body) or ""
        ):  # its answer was lost on the way
            return web.Response(status=200, headers={wire.TRACE_INTERVAL: self._interval})
        return self._not_running(job)

    async def _check_trace(self, job: LiveJob, body: wire.JobUpdate) -> int:
        """Compare the stored trace with what the runner has: 200, 202 (not yet) or 412 (resend)."""
        size = body.output.bytesize if body.output is not None else None
        said = (body.output.checksum if body.output is not None else "") or body.checksum
        check = job.trace.check(bytesize=size, said=said)
        if check is FinalCheck.MATCHES or job.mismatches >= MAX_MISMATCHES:
            return 200
        job.mismatches += 1
        if not job.can_resend or (check is FinalCheck.MISSING_BYTES and job.mismatches == 1):
            return 202
        async with job.writing:
            await anyio.to_thread.run_sync(self._blobs.truncate_trace, job.row.id)
            job.trace.reset()
        return 412

    # --- trace ----------------------------------------------------------------------------------

    async def append_trace(self, request: web.Request) -> web.Response:
        """``PATCH jobs/:id/trace``: bytes that continue the trace exactly, or 416."""
        found = self._find(request, request.headers.get(wire.JOB_TOKEN, ""))
        if found is None:
            return answers.forbidden("the job token is not valid")
        live, job = found
        if job.state not in BUSY:
            return self._not_running(job)
        data = await request.read()
        job.last_contact = anyio.current_time()
        said = ranges.parse_content_range(request.headers.get("Content-Range", ""))
        if said is None or said[1] != len(data):
            return answers.message(400, "Content-Range does not fit the body")
        return await self._append(live, job, said[0], data)

    async def _append(
        self, live: LivePipeline, job: LiveJob, start: int, data: bytes
    ) -> web.Response:
        async with job.writing:
            if job.state in FINISHED:
                return self._not_running(job)
            if not job.trace.accepts(start):
                return self._said(job, 416)
            try:
                await anyio.to_thread.run_sync(self._blobs.append_trace, job.row.id, start, data)
            except OSError as error:
                if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                    raise
                return answers.message(_INSUFFICIENT_STORAGE, "the coordinator's disk is full")
            job.trace.append(data)
        self._engine.acknowledge(live, job)  # who sends output runs the job, whatever got lost
        live.changed.notify()
        return self._said(job, 202)

    # --- answers --------------------------------------------------------------------------------

    def _find(self, request: web.Request, token: str) -> tuple[LivePipeline, LiveJob] | None:
        raw = request.match_info["id"]
        found = self._engine.find(int(raw)) if raw.isascii() and raw.isdigit() else None
        if found is None or not self._tokens.is_job_token(found[1].row.id, token):
            return None
        return found

    def _said(self, job: LiveJob, status: int) -> web.Response:
        """Answer with the headers that steer the runner."""
        state = JobState.RUNNING if job.state is JobState.OFFERED else job.state
        headers = {
            wire.JOB_STATUS: state.value,
            wire.TRACE_INTERVAL: self._interval,
            "Range": ranges.stored_range(job.trace.size),
        }
        return web.Response(status=status, headers=headers)

    def _not_running(self, job: LiveJob) -> web.Response:
        headers = {wire.JOB_STATUS: job.state.value}
        return answers.message(403, f"the job is {job.state.value}", headers)


def _reason(body: wire.JobUpdate) -> FailureReason | None:
    if body.state == "success":
        return None
    try:
        return FailureReason(body.failure_reason or FailureReason.SCRIPT_FAILURE)
    except ValueError:
        return FailureReason.UNKNOWN_FAILURE
