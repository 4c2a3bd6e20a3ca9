"""A coordinator that is a separate process, behind its control API (see ``routes``)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager

import aiohttp
import msgspec

from podlane.coordinator.control.outage import Outage, Patience
from podlane.coordinator.control.replay import Replay
from podlane.coordinator.control.wire import (
    PREFIX,
    CreatedPipeline,
    JobResults,
    PipelineList,
    Problem,
)
from podlane.coordinator.events import (
    CoordinatorEvent,
    JobResult,
    PipelineFinished,
    PipelineSummary,
)
from podlane.coordinator.submission import Submission
from podlane.kit.errors import PermanentError, TemporaryError, UsageError

_NO_LIMIT = aiohttp.ClientTimeout(total=None, sock_connect=10)
_NOT_THERE = (502, 503, 504)  # a coordinator never says so: who says it stands before one
_LINE_BYTES = 4 * 1024 * 1024


class RemoteCoordinator:
    """Speaks the control API. Construct with :func:`open_coordinator`."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        url: str,
        admin_token: str,
        patience: Patience | None,
    ) -> None:
        self._session = session
        self._patience = patience
        self._headers = {"Authorization": f"Bearer {admin_token}"}
        self.url = url.rstrip("/")

    async def create_pipeline(self, submission: Submission) -> int:
        """Have the coordinator take a snapshot of ``submission.source`` and queue the jobs.

        Raises:
            UsageError: the coordinator refuses; the sentence is its own.
            TemporaryError: it does not answer.
        """
        body = await self._ask("POST", "/pipelines", body=msgspec.json.encode(submission))
        return msgspec.json.decode(body, type=CreatedPipeline).id

    async def events(self, pipeline_id: int) -> AsyncIterator[CoordinatorEvent]:
        """Yield everything about a pipeline from its beginning, ending with PipelineFinished.

        With patience the stream goes on where it broke, once the coordinator is back.

        Raises:
            TemporaryError: the coordinator went away before the end, and did not come back in time.
        """
        replay = Replay()
        outage = None if self._patience is None else Outage(self._patience)
        while True:
            replay.begin()
            try:
                async with aclosing(self._stream(pipeline_id)) as stream:
                    async for event in stream:
                        if outage is not None:
                            outage.over()
                        if (new := replay.new(event)) is not None:
                            yield new
            except TemporaryError as error:
                if outage is None:
                    raise
                await outage.wait(error)
            else:
                return

    async def _stream(self, pipeline_id: int) -> AsyncGenerator[CoordinatorEvent, None]:
        decoder = msgspec.json.Decoder(CoordinatorEvent)
        url = f"{self.url}{PREFIX}/pipelines/{pipeline_id}/events"
        try:
            async with self._session.get(url, headers=self._headers) as response:
                await self._check(response)
                async for line in response.content:
                    if not line.endswith(b"\n"):
                        break  # the end of the line never came
                    event = self._decoded(decoder, line)
                    yield event
                    if isinstance(event, PipelineFinished):
                        return
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._gone(error) from error
        raise self._gone(None)

    def _decoded(
        self, decoder: msgspec.json.Decoder[CoordinatorEvent], line: bytes
    ) -> CoordinatorEvent:
        try:
            return decoder.decode(line)
        except msgspec.DecodeError as error:
            raise PermanentError(
                f"the coordinator {self.url} tells what this version does not know: {error}",
                hint="use the same version of Podlane on both sides",
            ) from error

    async def cancel(
        self, pipeline_id: int, *, force: bool = False, job: str | None = None
    ) -> None:
        """Cancel all its jobs, or one; running ones may run ``after_script`` unless ``force``."""
        query = {"force": "true"} if force else {}
        if job is not None:
            query["job"] = job

        async def ask() -> bytes:
            return await self._ask("POST", f"/pipelines/{pipeline_id}/cancel", query=query)

        await (ask() if force or self._patience is None else self._patience.outlast(ask))

    async def cancel_job(self, job_id: int, *, force: bool = False) -> None:
        """Cancel one job.

        Raises:
            UsageError: the coordinator has no such job, or it is over.
        """
        query = {"force": "true"} if force else {}
        await self._ask("POST", f"/jobs/{job_id}/cancel", query=query)

    async def pipelines(self) -> list[PipelineSummary]:
        """Return where its pipelines stand, newest first."""
        return msgspec.json.decode(
            await self._ask("GET", "/pipelines"), type=PipelineList
        ).pipelines

    async def play(self, pipeline_id: int, job: str) -> None:
        """Start a manual job."""
        await self._ask("POST", f"/pipelines/{pipeline_id}/play", query={"job": job})

    async def job_results(
        self, pipeline_id: int, *, trace_bytes: int | None = None
    ) -> list[JobResult]:
        """Return how its jobs stand or ended, in the order of the file."""
        query = None if trace_bytes is None else {"trace_bytes": str(trace_bytes)}

        async def ask() -> bytes:
            return await self._ask("GET", f"/pipelines/{pipeline_id}/jobs", query=query)

        body = await (ask() if self._patience is None else self._patience.outlast(ask))
        return msgspec.json.decode(body, type=JobResults).jobs

    async def _ask(
        self, method: str, path: str, *, body: bytes | None = None,
        query: Mapping[str, str] | None = None,
    ) -> bytes:  # fmt: skip
        url = f"{self.url}{PREFIX}{path}"
        try:
            async with self._session.request(
                method, url, data=body, params=query, headers=self._headers
            ) as response:
                await self._check(response)
                return await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._gone(error) from error

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        if response.ok:
            return
        if response.status == 401:  # noqa: PLR2004 - HTTP
            raise UsageError(
                f"the coordinator {self.url} does not accept the admin token",
                hint="PODLANE_COORDINATOR_TOKEN=$(cat DATA_DIR/admin-token) podlane …",
            )
        if response.status in _NOT_THERE:
            raise self._gone(f"a proxy in front of it answered {response.status}")
        body = await response.read()
        try:
            problem = msgspec.json.decode(body, type=Problem)
        except msgspec.DecodeError:
            raise PermanentError(
                f"{self.url} answered {response.status}; is it a Podlane coordinator?"
            ) from None
        kind = UsageError if response.status == 400 else PermanentError  # noqa: PLR2004 - HTTP
        raise kind(problem.message, hint=problem.hint)

    def _gone(self, error: Exception | str | None) -> TemporaryError:
        why = f": {str(error) or type(error).__name__}" if error is not None else ""
        if isinstance(error, aiohttp.ClientPayloadError):  # its text is of HTTP's framing
            why = ": the connection broke in the middle of an answer"
        return TemporaryError(
            f"the coordinator {self.url} does not answer{why}",
            hint="is podlane coordinator serve running there?",
        )


@asynccontextmanager
async def open_coordinator(
    url: str, admin_token: str, patience: Patience | None = None
) -> AsyncIterator[RemoteCoordinator]:
    """Open a connection to a separate coordinator; with ``patience``, outlast its absence."""
    async with aiohttp.ClientSession(timeout=_NO_LIMIT, read_bufsize=_LINE_BYTES) as session:
        yield RemoteCoordinator(session, url=url, admin_token=admin_token, patience=patience)
