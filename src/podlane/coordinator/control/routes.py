"""The control API of a separate coordinator: what ``podlane run`` and ``podlane cancel`` use.

All under ``/podlane/v1/``, with ``Authorization: Bearer <admin token>``:

- ``POST pipelines`` with a :class:`~podlane.coordinator.submission.Submission` → 201 ``{"id": 7}``;
- ``GET pipelines``: the pipelines, newest first, and where their jobs stand;
- ``GET pipelines/7/events``: one JSON event per line until the pipeline rests;
- ``GET pipelines/7/jobs``: how its jobs stand or ended;
- ``POST pipelines/7/cancel[?force=true][&job=NAME]``, ``POST jobs/12/cancel[?force=true]`` and
  ``POST pipelines/7/play?job=NAME`` → 204.

An error is ``{"message": …, "hint": …}`` with status 400, 401, 404 or 500.
"""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path
from typing import Protocol

import anyio
import msgspec
from aiohttp import web

from podlane.coordinator.api import answers
from podlane.coordinator.control.service import Service
from podlane.coordinator.control.wire import (
    PREFIX,
    CreatedPipeline,
    JobResults,
    PipelineList,
    Problem,
)
from podlane.coordinator.events import CoordinatorEvent
from podlane.coordinator.state.live import LivePipeline
from podlane.coordinator.state.notice import Notice
from podlane.coordinator.storage.tokens import same
from podlane.coordinator.submission import Submission
from podlane.kit.errors import PodlaneError, UsageError
from podlane.kit.tasks import plain_errors


class _Encoder(Protocol):
    def encode(self, obj: CoordinatorEvent) -> bytes: ...


class ControlApi:
    """Handlers; one instance per coordinator."""

    def __init__(self, service: Service, admin_token: str, stopping: Notice) -> None:
        self._service = service
        self._stopping = stopping
        self._admin_token = admin_token
        self._encoder: _Encoder = msgspec.json.Encoder()

    def routes(self) -> list[web.RouteDef]:
        """Return what to add to the application."""
        one = f"{PREFIX}/pipelines/{{id:\\d+}}"
        return [
            web.post(f"{PREFIX}/pipelines", self.create),
            web.get(f"{PREFIX}/pipelines", self.pipelines),
            web.post(f"{PREFIX}/jobs/{{id:\\d+}}/cancel", self.cancel_job),
            web.get(f"{one}/events", self.events),
            web.get(f"{one}/jobs", self.jobs),
            web.post(f"{one}/cancel", self.cancel),
            web.post(f"{one}/play", self.play),
        ]

    async def create(self, request: web.Request) -> web.Response:
        """``POST pipelines``."""
        self._authorize(request)
        submission = await answers.read(request, Submission)
        if not Path(submission.source).is_absolute():
            raise UsageError(f"source must be an absolute path, got {submission.source!r}")
        pipeline_id = await self._service.submit(submission)
        return answers.json(CreatedPipeline(id=pipeline_id), status=201)

    async def pipelines(self, request: web.Request) -> web.Response:
        """``GET pipelines``."""
        self._authorize(request)
        return answers.json(PipelineList(pipelines=self._service.summaries()))

    async def events(self, request: web.Request) -> web.StreamResponse:
        """``GET pipelines/:id/events``; ends without its last event when the coordinator stops."""
        live = self._pipeline(request)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        with plain_errors():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._until_stopping, tasks.cancel_scope)
                await self._tell(live, response)
                tasks.cancel_scope.cancel()
        return response

    async def _tell(self, live: LivePipeline, response: web.StreamResponse) -> None:
        try:
            async with aclosing(self._service.watch(live)) as events:
                async for event in events:
                    await response.write(self._encoder.encode(event) + b"\n")
            await response.write_eof()
        except ConnectionError:
            pass  # the watcher has gone

    async def _until_stopping(self, scope: anyio.CancelScope) -> None:
        await self._stopping.wait_beyond(0)
        scope.cancel()

    async def jobs(self, request: web.Request) -> web.Response:
        """``GET pipelines/:id/jobs``; ``trace_bytes`` asks for the ends of the traces only."""
        asked = request.query.get("trace_bytes", "")
        limit = int(asked) if asked.isascii() and asked.isdigit() else None
        results = await self._service.results(self._pipeline(request), limit)
        return answers.json(JobResults(jobs=results))

    async def cancel(self, request: web.Request) -> web.Response:
        """``POST pipelines/:id/cancel``."""
        live = self._pipeline(request)
        self._service.engine.cancel(live, force=_force(request), only=request.query.get("job"))
        return web.Response(status=204)

    async def cancel_job(self, request: web.Request) -> web.Response:
        """``POST jobs/:id/cancel``."""
        self._authorize(request)
        self._service.cancel_job(int(request.match_info["id"]), force=_force(request))
        return web.Response(status=204)

    async def play(self, request: web.Request) -> web.Response:
        """``POST pipelines/:id/play``."""
        self._service.engine.play(self._pipeline(request), request.query.get("job", ""))
        return web.Response(status=204)

    def _authorize(self, request: web.Request) -> None:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer" or not same(self._admin_token, token):
            raise web.HTTPUnauthorized(
                headers={"WWW-Authenticate": "Bearer"}, text="the admin token is needed\n"
            )

    def _pipeline(self, request: web.Request) -> LivePipeline:
        self._authorize(request)
        return self._service.pipeline(int(request.match_info["id"]))


def _force(request: web.Request) -> bool:
    return request.query.get("force") == "true"


def problem(error: PodlaneError) -> web.Response:
    """Return the answer that carries an error's sentence."""
    status = 400 if isinstance(error, UsageError) else 500
    return answers.json(Problem(message=error.message, hint=error.hint), status=status)
