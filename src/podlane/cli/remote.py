"""A coordinator that runs elsewhere on this machine, through its control API."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import aiohttp
import msgspec

from podlane.cli import places
from podlane.coordinator.control import PREFIX, CreatedPipeline, JobResults, Problem
from podlane.coordinator.events import CoordinatorEvent, JobResult
from podlane.coordinator.submission import Submission
from podlane.kit.errors import PermanentError, PodlaneError, UsageError

TOKEN = "PODLANE_COORDINATOR_TOKEN"  # noqa: S105 - the name of a variable
_BAD_REQUEST = 400
_T = TypeVar("_T")


def admin_token() -> str:
    """Return the token of the environment, or that of the coordinator with the usual data directory.

    Raises:
        UsageError: there is none.
    """
    if token := os.environ.get(TOKEN):
        return token
    path = places.coordinator_dir() / "admin-token"
    try:
        return path.read_text().strip()
    except OSError as error:
        raise UsageError(
            f"no admin token: {TOKEN} is not set and {path} cannot be read ({error.strerror})",
            hint=f"{TOKEN}=$(cat DATA_DIR/admin-token) podlane …, "
            "with the --data-dir of podlane coordinator serve",
        ) from error


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[RemoteCoordinator]:
    """Yield a client of the coordinator at ``url``."""
    headers = {"Authorization": f"Bearer {admin_token()}"}
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        yield RemoteCoordinator(session, url.rstrip("/"))


class RemoteCoordinator:
    """The same calls as on a coordinator in this process."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self.url = url

    async def create_pipeline(self, submission: Submission) -> int:
        """Hand over a pipeline; the coordinator takes its snapshot of the source."""
        body = msgspec.json.encode(submission)
        return (await self._call("POST", "pipelines", CreatedPipeline, body)).id

    async def events(self, pipeline_id: int) -> AsyncIterator[CoordinatorEvent]:
        """Yield the pipeline's events, one JSON line each."""
        decoder = msgspec.json.Decoder[CoordinatorEvent](CoordinatorEvent)
        rest = b""
        try:
            async with self._session.get(self._at(f"pipelines/{pipeline_id}/events")) as response:
                await _check(response, self.url)
                async for chunk in response.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        yield decoder.decode(line)
        except aiohttp.ClientError as error:
            raise self._unreachable(error) from error

    async def cancel(self, pipeline_id: int, *, force: bool = False) -> None:
        """Cancel all jobs of a pipeline."""
        query = "?force=true" if force else ""
        await self._call("POST", f"pipelines/{pipeline_id}/cancel{query}", None)

    async def job_results(self, pipeline_id: int) -> list[JobResult]:
        """Return how the jobs stand or ended."""
        return (await self._call("GET", f"pipelines/{pipeline_id}/jobs", JobResults)).jobs

    def _at(self, path: str) -> str:
        return f"{self.url}{PREFIX}/{path}"

    async def _call(
        self, method: str, path: str, shape: type[_T] | None, body: bytes | None = None
    ) -> _T:
        try:
            async with self._session.request(method, self._at(path), data=body) as response:
                await _check(response, self.url)
                answer = await response.read()
        except aiohttp.ClientError as error:
            raise self._unreachable(error) from error
        return msgspec.json.decode(answer or b"null", type=shape)

    def _unreachable(self, error: aiohttp.ClientError) -> PodlaneError:
        return PermanentError(
            f"the coordinator at {self.url} does not answer: {error}",
            hint="is podlane coordinator serve running there?",
        )


async def _check(response: aiohttp.ClientResponse, url: str) -> None:
    if response.status < _BAD_REQUEST:
        return
    body = await response.read()
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except msgspec.MsgspecError:
        text = body.decode("utf-8", "replace").strip().partition("\n")[0][:200]
        problem = Problem(message=f"the coordinator at {url} answers {response.status}: {text}")
    kind = UsageError if response.status == _BAD_REQUEST else PermanentError
    raise kind(problem.message, hint=problem.hint)
