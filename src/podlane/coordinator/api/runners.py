"""Routes of the Runner API that a runner uses for itself: register, verify, remove, ask for jobs."""

from __future__ import annotations

from dataclasses import dataclass

import anyio
from aiohttp import web

from podlane.coordinator.api import answers
from podlane.coordinator.dispatch.dispatcher import Dispatcher
from podlane.coordinator.state.notice import Notice
from podlane.coordinator.storage.rows import RunnerRow
from podlane.coordinator.storage.runners import Runners
from podlane.coordinator.storage.tokens import new_runner_token, same
from podlane.gitlab import wire
from podlane.gitlab.info import RunnerInfo
from podlane.model.job import Job

_PROTECTED = "ref_protected"
_ACCESS_LEVELS = frozenset({"", "not_protected", _PROTECTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class PollSettings:
    """How long a request for a job is held, and the tokens of people (empty: refused).

    ``registration_token`` makes runners, ``personal_token`` renews the token of any.
    """

    hold_seconds: float = 50.0
    registration_token: str = ""
    personal_token: str = ""


class RunnersApi:
    """Handlers; one instance per coordinator. ``stopping`` releases all who wait."""

    def __init__(
        self, dispatcher: Dispatcher, runners: Runners, stopping: Notice, settings: PollSettings
    ) -> None:
        self._dispatcher = dispatcher
        self._engine = dispatcher.engine
        self._runners = runners
        self._stopping = stopping
        self._settings = settings

    def routes(self) -> list[web.RouteDef]:
        """Return what to add to the application."""
        return [
            web.post("/api/v4/runners", self.register),
            web.post("/api/v4/runners/verify", self.verify),
            web.put("/api/v4/runners/{id}", self.pause),
            web.delete("/api/v4/runners", self.unregister),
            web.delete("/api/v4/runners/managers", self.remove_manager),
            web.post("/api/v4/runners/reset_authentication_token", self.reset_token),
            web.post("/api/v4/runners/{id}/reset_authentication_token", self.reset_token_of),
            web.post("/api/v4/jobs/request", self.request_job),
            web.get("/api/v4/runners/router/discovery", self.no_router),
        ]

    async def no_router(self, request: web.Request) -> web.Response:
        """``GET runners/router/discovery``: jobs are asked for over HTTP here."""
        return answers.message(501, f"{request.path}: there is no job router")

    async def register(self, request: web.Request) -> web.Response:
        """``POST runners``, with the coordinator's registration token."""
        body = await answers.read(request, wire.Registration)
        expected = self._settings.registration_token
        if not expected or not same(expected, body.token):
            return answers.forbidden("invalid token supplied")
        token = new_runner_token(registered=True)
        tags = tuple(tag.strip() for tag in body.tag_list.split(",") if tag.strip())
        if body.access_level not in _ACCESS_LEVELS:
            return answers.message(400, "access_level does not have a valid value")
        attributes = RunnerRow(
            id=0, token_hash="", description=body.description, tags=tags,
            run_untagged=body.run_untagged, locked=body.locked, paused=body.paused,
            protected_only=body.access_level == _PROTECTED,
            maximum_timeout=max(body.maximum_timeout, 0),
        )  # fmt: skip
        runner = self._runners.register(token, attributes)
        return answers.json(wire.RunnerAnswer(id=runner.id, token=token), status=201)

    async def verify(self, request: web.Request) -> web.Response:
        """``POST runners/verify``."""
        body = await answers.read(request, wire.RunnerRequest)
        runner = self._runners.find(body.token)
        if runner is None:
            return answers.forbidden()
        return answers.json(wire.RunnerAnswer(id=runner.id, token=body.token))

    async def unregister(self, request: web.Request) -> web.Response:
        """``DELETE runners``."""
        body = await answers.read(request, wire.RunnerRequest)
        runner = self._runners.find(body.token)
        if runner is None:
            return answers.forbidden()
        self._runners.remove(runner)
        return web.Response(status=204)

    async def remove_manager(self, request: web.Request) -> web.Response:
        """``DELETE runners/managers``: one machine leaves, the runner stays."""
        body = await answers.read(request, wire.RunnerRequest)
        if self._runners.find(body.token) is None:
            return answers.forbidden()
        return web.Response(status=204)

    async def reset_token(self, request: web.Request) -> web.Response:
        """``POST runners/reset_authentication_token``."""
        body = await answers.read(request, wire.RunnerRequest)
        runner = self._runners.find(body.token)
        if runner is None:
            return answers.forbidden()
        token = self._runners.renew(runner)
        return answers.json(wire.RunnerAnswer(id=runner.id, token=token), status=201)

    async def reset_token_of(self, request: web.Request) -> web.Response:
        """``POST runners/:id/reset_authentication_token``, with a personal token."""
        expected = self._settings.personal_token
        if not expected or not same(expected, request.headers.get(wire.PRIVATE_TOKEN, "")):
            return answers.forbidden("the personal token is not valid")
        runner = self._runners.with_id(request.match_info["id"])
        if runner is None:
            return answers.message(404, "there is no such runner")
        token = self._runners.renew(runner)
        return answers.json(wire.RunnerAnswer(id=runner.id, token=token), status=201)

    async def pause(self, request: web.Request) -> web.Response:
        """``PUT runners/:id`` with ``paused``, and a personal token."""
        expected = self._settings.personal_token
        if not expected or not same(expected, request.headers.get(wire.PRIVATE_TOKEN, "")):
            return answers.forbidden("the personal token is not valid")
        body = await answers.read(request, wire.RunnerChange)
        runner = self._runners.with_id(request.match_info["id"])
        if runner is None:
            return answers.message(404, "there is no such runner")
        runner = self._runners.pause(runner, paused=body.paused)
        self._engine.queued.notify()
        return answers.json(wire.RunnerAnswer(id=runner.id))

    async def request_job(self, request: web.Request) -> web.Response:
        """``POST jobs/request``: a job at once if there is one, else wait for one.

        A runner that does not echo our ``X-GitLab-Last-Update`` has not seen the queue as it is
        now, so it is answered at once; one that does is held until something is queued.
        """
        body = await answers.read(request, wire.JobRequest)
        runner = self._runners.find(body.token)
        if runner is None:
            return answers.forbidden()
        seen = self._engine.queued.count
        job = await self._dispatcher.take(runner, body.info)
        if job is None and body.last_update == str(seen) and not self._stopping.count:
            with anyio.move_on_after(self._settings.hold_seconds):
                job = await self._wait_for_job(request, runner, body.info, seen)
        headers = {wire.LAST_UPDATE: str(self._engine.queued.count)}
        if job is None:
            return web.Response(status=204, headers=headers)
        return answers.job(job, headers=headers)

    async def _wait_for_job(
        self, request: web.Request, runner: RunnerRow, info: RunnerInfo, seen: int
    ) -> Job | None:
        while not self._stopping.count:
            seen = await self._engine.queued.wait_beyond(seen)
            # A job given to a runner that has hung up would be lost until the offer expires.
            if request.transport is None or request.transport.is_closing():
                return None
            current = self._runners.with_id(str(runner.id))  # it may have been paused meanwhile
            if current is None:
                return None
            job = await self._dispatcher.take(current, info)
            if job is not None:
                return job
        return None
