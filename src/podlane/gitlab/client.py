"""The runner's side of the Runner API: methods return what the answer means, or raise a sentence."""

from __future__ import annotations

import math
import random as random_module
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio
import msgspec

from podlane.gitlab import answers, info, ranges, retry, wire
from podlane.gitlab.answers import (
    Forbidden,
    JobOffered,
    JobUnreadable,
    NoJob,
    PatchResult,
    RequestJobResult,
    Unavailable,
    UpdateResult,
)
from podlane.gitlab.connections import DEFAULT_MAX_AGE_SECONDS, Connections, open_connections
from podlane.gitlab.errors import (
    BadAnswerError,
    ForbiddenError,
    UnreachableError,
    UnreadableJobError,
)
from podlane.gitlab.info import RunnerInfo
from podlane.gitlab.transport import Reply, Request, TlsFiles, Transport
from podlane.gitlab.wire import JobUpdate, Registration, RunnerAnswer, Session
from podlane.kit.backoff import Random
from podlane.kit.clock import Clock, SystemClock
from podlane.kit.errors import PodlaneError, TemporaryError

_SERVER_ERROR = 500
_CORRELATION_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
NO_ANSWER = -1


# Who asks for a job holds one of few slots, so a longer wait is left to the caller.
_REQUEST_JOB_PATIENCE_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestReport:
    """One finished request. ``endpoint`` is GitLab Runner's name; ``status`` -1: no answer.

    ``path`` is below the coordinator's URL; ``attempts`` counts the first one, too.
    """

    endpoint: str
    status: int
    seconds: float
    attempts: int
    path: str = ""
    method: str = ""


def _no_report(report: RequestReport) -> None:
    """Drop a report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """Which coordinator, and who asks. ``report`` is told of every finished request."""

    url: str
    token: str
    system_id: str
    info: RunnerInfo
    podlane_version: str = "0"
    tls: TlsFiles = field(default_factory=TlsFiles)
    report: Callable[[RequestReport], None] = _no_report


class RunnerApiClient:
    """One runner at one coordinator. Construct with :func:`open_client`, or share connections."""

    def __init__(
        self,
        settings: ClientSettings,
        connections: Connections,
        *,
        random: Random | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings
        self._random = random or random_module.SystemRandom()
        self._clock = clock or SystemClock()
        self._transport = Transport(
            connections,
            url=settings.url,
            user_agent=info.user_agent(settings.podlane_version),
            tls=settings.tls,
        )

    async def verify(self) -> RunnerAnswer:
        """Check the runner token and introduce this machine; return the runner's id.

        Raises:
            ForbiddenError: the token is not (or no longer) valid.
            TemporaryError: the coordinator cannot say now.
            BadAnswerError: what answers is not a GitLab.
        """
        settings = self._settings
        body = wire.RunnerRequest(
            token=settings.token, info=settings.info, system_id=settings.system_id
        )
        headers = {wire.RUNNER_TOKEN: settings.token}
        request = Request(
            method="POST", path="runners/verify", body=wire.encode(body), headers=headers
        )
        reply = await self._send(request)
        self._check(reply, expected=200, what="verify the runner")
        return wire.decode(reply.body, RunnerAnswer)

    async def register(self, registration: Registration) -> RunnerAnswer:
        """Make a runner with a registration token; return its id and token.

        Raises:
            ForbiddenError, TemporaryError, BadAnswerError: as for ``verify``.
        """
        request = Request(method="POST", path="runners", body=wire.encode(registration))
        reply = await self._send(request)
        self._check(reply, expected=201, what="register a runner")
        return wire.decode(reply.body, RunnerAnswer)

    async def unregister(self) -> None:
        """Remove this runner: its manager for ``glrt-`` tokens, the whole runner otherwise.

        Raises:
            ForbiddenError, TemporaryError, BadAnswerError: as for ``verify``.
        """
        settings = self._settings
        modern = settings.token.startswith("glrt-")
        body = wire.RunnerRequest(
            token=settings.token, system_id=settings.system_id if modern else ""
        )
        path = "runners/managers" if modern else "runners"
        reply = await self._send(Request(method="DELETE", path=path, body=wire.encode(body)))
        self._check(reply, expected=204, what="unregister the runner")

    async def reset_token(self) -> RunnerAnswer:
        """Ask for a new runner token; the old one stops working.

        Raises:
            ForbiddenError, TemporaryError, BadAnswerError: as for ``verify``.
        """
        body = wire.encode(wire.RunnerRequest(token=self._settings.token))
        reply = await self._send(
            Request(method="POST", path="runners/reset_authentication_token", body=body)
        )
        self._check(reply, expected=201, what="reset the runner token")
        return wire.decode(reply.body, RunnerAnswer)

    async def reset_token_of(self, runner_id: int, personal_token: str) -> RunnerAnswer:
        """Ask for a new token of a runner with a personal access token.

        Raises:
            ForbiddenError, TemporaryError, BadAnswerError: as for ``verify``.
        """
        request = Request(
            method="POST", path=f"runners/{runner_id}/reset_authentication_token", body=b"null",
            headers={wire.PRIVATE_TOKEN: personal_token},
        )  # fmt: skip
        reply = await self._send(request)
        self._check(reply, expected=201, what="reset the runner token")
        return wire.decode(reply.body, RunnerAnswer)

    async def request_job(
        self, last_update: str = "", session: Session | None = None
    ) -> RequestJobResult:
        """Ask for a job. The coordinator may hold the request while it has none (long poll)."""
        settings = self._settings
        body = wire.JobRequest(
            token=settings.token, info=settings.info, system_id=settings.system_id,
            last_update=last_update, session=session,
        )  # fmt: skip
        headers = {wire.RUNNER_TOKEN: settings.token}
        request = Request(
            method="POST", path="jobs/request", body=wire.encode(body), headers=headers
        )
        try:
            reply = await self._send(request, patience_seconds=_REQUEST_JOB_PATIENCE_SECONDS)
        except (UnreachableError, BadAnswerError) as error:
            return Unavailable(message=error.message)
        return self._offer(reply, reply.headers.get(wire.LAST_UPDATE, last_update))

    def _offer(self, reply: Reply, last_update: str) -> RequestJobResult:
        match reply.status:
            case 201:
                try:
                    job = wire.decode_job(reply.body)
                except UnreadableJobError as error:
                    return JobUnreadable(error=error, last_update=last_update)
                except BadAnswerError as error:
                    return Unavailable(message=error.message)
                job = msgspec.structs.replace(
                    job, correlation_id=_correlation_id(reply), tls_ca_chain=reply.tls_chain
                )
                return JobOffered(job=job, last_update=last_update, retried=reply.retries > 0)
            case 204:
                return NoJob(last_update=last_update, retried=reply.retries > 0)
            case 403:
                return Forbidden(message=self._sentence(reply, "ask for a job"))
            case _:
                return Unavailable(
                    message=self._sentence(reply, "ask for a job"),
                    retry_after_seconds=self._asked_wait(reply),
                    is_there=True,
                )

    async def update_job(self, job_id: int, token: str, update: JobUpdate) -> UpdateResult:
        """PUT the job's state; token and info are filled in. Never raises: failures are results."""
        body = wire.JobUpdate(
            state=update.state, token=token, info=self._settings.info,
            failure_reason=update.failure_reason, checksum=update.checksum,
            output=update.output, exit_code=update.exit_code,
        )  # fmt: skip
        request = Request(
            method="PUT", path=f"jobs/{job_id}", body=wire.encode(body),
            headers={wire.JOB_TOKEN: token},
        )  # fmt: skip
        try:
            reply = await self._send(request)
        except PodlaneError as error:
            return UpdateResult(outcome=answers.UpdateOutcome.FAILED, message=error.message)
        message = self._sentence(reply, f"update job {job_id}")
        return answers.update_result(reply.status, reply.headers, message)

    async def patch_trace(
        self, job_id: int, token: str, start: int, data: bytes, *, debug_trace: bool = False
    ) -> PatchResult:
        """Append ``data`` (not empty) at offset ``start``. Never raises: failures are results."""
        request = Request(
            method="PATCH", path=f"jobs/{job_id}/trace", body=data,
            headers={
                wire.JOB_TOKEN: token,
                "Content-Type": "text/plain",
                "Content-Range": ranges.content_range(start, len(data)),
            },
            query={"debug_trace": "true" if debug_trace else "false"},
        )  # fmt: skip
        try:
            reply = await self._send(request)
        except PodlaneError as error:
            return PatchResult(outcome=answers.PatchOutcome.FAILED, message=error.message)
        message = self._sentence(reply, f"append to the trace of job {job_id}")
        return answers.patch_result(
            reply.status, reply.headers, end=start + len(data), message=message
        )

    async def _send(self, request: Request, *, patience_seconds: float = math.inf) -> Reply:
        began, attempts, status = anyio.current_time(), 0, NO_ANSWER

        async def send() -> Reply:
            nonlocal attempts
            attempts += 1
            return await self._transport.send(request)

        try:
            reply = await retry.with_retries(
                send, clock=self._clock, random=self._random, patience_seconds=patience_seconds
            )
            status = reply.status
        finally:
            self._settings.report(
                RequestReport(
                    endpoint=endpoint_of(request), status=status, attempts=attempts,
                    seconds=anyio.current_time() - began,
                    path=f"/api/v4/{request.path}", method=request.method.lower(),
                )
            )  # fmt: skip
        return replace(reply, retries=attempts - 1)

    def _asked_wait(self, reply: Reply) -> float | None:
        return retry.requested_wait(reply.headers, now=self._clock.now())

    def _check(self, reply: Reply, *, expected: int, what: str) -> None:
        if reply.status == expected:
            return
        sentence = self._sentence(reply, what)
        if reply.status in {401, 403}:
            raise ForbiddenError(
                sentence, hint="check the token, or create the runner again in GitLab"
            )
        if reply.status >= _SERVER_ERROR or retry.is_retried(reply.status):
            raise TemporaryError(sentence, retry_after_seconds=self._asked_wait(reply))
        raise BadAnswerError(sentence, hint="check that the URL is that of a GitLab server")

    def _sentence(self, reply: Reply, what: str) -> str:
        said = wire.error_text(reply.body)
        detail = f" ({said})" if said else ""
        return f"{self._settings.url} answered {reply.status}{detail} when asked to {what}"


def _correlation_id(reply: Reply) -> str:
    """Return the id by which GitLab knows a request, as far as it can go into a header."""
    found = reply.headers.get("X-Request-Id", "")
    return found if _CORRELATION_ID.fullmatch(found) else ""


def endpoint_of(request: Request) -> str:
    """Return GitLab Runner's name for what is asked, "" where it has none."""
    if request.path.endswith("reset_authentication_token"):
        return "reset_token"
    if request.path == "jobs/request":
        return "request_job"
    return {"PUT": "update_job", "PATCH": "patch_trace"}.get(request.method, "")


@asynccontextmanager
async def open_client(
    settings: ClientSettings, *, max_age_seconds: float = DEFAULT_MAX_AGE_SECONDS
) -> AsyncIterator[RunnerApiClient]:
    """Open a client with connections of its own, none of which is kept for longer."""
    async with open_connections(max_age_seconds) as connections:
        yield RunnerApiClient(settings, connections)
