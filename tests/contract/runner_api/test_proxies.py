"""A coordinator behind a reverse proxy that says for it that it is away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import msgspec
import pytest
from aiohttp import web

from podlane.coordinator.control.outage import Patience
from podlane.coordinator.control.remote import open_coordinator
from podlane.coordinator.control.wire import JobResults
from podlane.coordinator.events import CoordinatorEvent, PipelineFinished
from podlane.kit.backoff import Backoff
from podlane.kit.errors import PermanentError, TemporaryError

pytestmark = pytest.mark.anyio
FINISHED = PipelineFinished(pipeline_id=1, status="success", duration_seconds=1)
STATUSES = pytest.mark.parametrize("status", [502, 503, 504])
_encoder = msgspec.json.Encoder()


@asynccontextmanager
async def proxy(*away: int) -> AsyncIterator[str]:
    """Answers with these statuses first, then as a coordinator whose pipeline has ended."""
    left = list(away)

    async def answer(request: web.Request) -> web.Response:
        if left:
            return web.Response(status=left.pop(0), text="<html>Bad Gateway</html>")
        if request.path.endswith("/events"):
            event: CoordinatorEvent = FINISHED
            return web.Response(body=_encoder.encode(event) + b"\n")
        return web.Response(body=_encoder.encode(JobResults(jobs=[])))

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


def patience(notes: list[str]) -> Patience:
    quick = Backoff(first_seconds=0.01, max_seconds=0.01)
    return Patience(note=notes.append, seconds=60, backoff=quick, random=Random(1))


async def test_its_answers_are_outlasted_as_a_refused_connection_is() -> None:
    notes: list[str] = []
    async with (
        proxy(502, 503, 504, 502) as url,
        open_coordinator(url, "token", patience(notes)) as there,
    ):
        events = [event async for event in there.events(1)]
    assert events == [FINISHED]
    first, last = notes
    assert "does not answer: a proxy in front of it answered 502; waiting for it" in first
    assert last == "the coordinator answers again"


@STATUSES
async def test_results_are_asked_for_until_it_answers(status: int) -> None:
    async with (
        proxy(status, status) as url,
        open_coordinator(url, "token", patience([])) as there,
    ):
        assert await there.job_results(1) == []


@STATUSES
async def test_without_patience_it_is_told_at_once(status: int) -> None:
    async with proxy(status) as url, open_coordinator(url, "token", None) as there:
        with pytest.raises(TemporaryError, match=f"answered {status}"):
            await there.job_results(1)


async def test_what_is_no_coordinator_is_not_waited_for() -> None:
    async with proxy(418) as url, open_coordinator(url, "token", patience([])) as there:
        with pytest.raises(PermanentError, match="is it a Podlane coordinator"):
            await there.job_results(1)
