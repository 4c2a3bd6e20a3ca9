"""Composition root: everything that makes up a coordinator is made and connected here, once."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import socket
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
from aiohttp import web

from podlane.coordinator.api import answers
from podlane.coordinator.api.artifacts import ArtifactLimits, ArtifactsApi
from podlane.coordinator.api.cache import CacheApi
from podlane.coordinator.api.git_http import GitHttp
from podlane.coordinator.api.jobs import MAX_PATCH_BYTES, JobsApi
from podlane.coordinator.api.listening import listen, url_of
from podlane.coordinator.api.oidc import OidcApi
from podlane.coordinator.api.runners import PollSettings, RunnersApi
from podlane.coordinator.children.downstream import Downstream
from podlane.coordinator.control import routes
from podlane.coordinator.control.routes import ControlApi
from podlane.coordinator.control.service import Service
from podlane.coordinator.dispatch.dispatcher import Dispatcher
from podlane.coordinator.dispatch.signing import Signer
from podlane.coordinator.events import CoordinatorEvent, JobResult
from podlane.coordinator.sources.repository import Repositories
from podlane.coordinator.state import queue
from podlane.coordinator.state.engine import Engine, EngineSettings
from podlane.coordinator.state.lookout import Lookout, Patience
from podlane.coordinator.state.notice import Notice
from podlane.coordinator.state.retention import Retention
from podlane.coordinator.storage import datadir
from podlane.coordinator.storage.blobs import Blobs
from podlane.coordinator.storage.caches import Caches
from podlane.coordinator.storage.runners import Runners
from podlane.coordinator.storage.store import Store
from podlane.coordinator.storage.tokens import TokenMaker
from podlane.coordinator.submission import Submission
from podlane.kit import log
from podlane.kit.clock import SystemClock
from podlane.kit.errors import PodlaneError
from podlane.kit.tasks import closing

_logger = logging.getLogger(__name__)
_TIDY_EVERY = 30
_STOP_SECONDS = 10.0
_FINISH_SECONDS = 2.0  # for requests that are being answered


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorSettings:
    """How to run a coordinator. Times in seconds.

    ``data_dir`` belongs to one coordinator at a time. ``listen`` is ``host:port``, port 0 for any
    free one. ``external_url``: how runners and jobs reach us, if not by ``listen``.
    ``abandon_unfinished``: end what an earlier process left, instead of waiting for its runners.
    ``runner_tags``: of the built-in runner token; ``*`` takes any job. ``cache_dir`` may be shared with
    other coordinators; usually it is in ``data_dir``. ``protected_refs``, ``protected_tags``,
    ``ci_separated_caches`` and ``jobs_cache_index``: see ``Snapshot``.
    """

    data_dir: Path
    listen: str = "127.0.0.1:0"
    external_url: str | None = None
    trace_update_interval_seconds: float = 1.0
    hold_seconds: float = 50.0
    offer_seconds: float = 60.0
    lost_after_seconds: float = 300.0
    look_around_seconds: float = 1.0
    abandon_unfinished: bool = False
    keep_pipelines: int = 100
    runner_tags: tuple[str, ...] = (queue.ANY_TAG,)
    registration_token: str = ""
    protected_refs: tuple[str, ...] = ()
    protected_tags: tuple[str, ...] = ()
    ci_separated_caches: bool = True
    jobs_cache_index: int | None = None
    max_artifact_bytes: int = 5 * 1024**3
    cache_dir: Path | None = None
    max_cache_bytes: int = 10 * 1024**3


class RunningCoordinator:
    """A coordinator that serves. ``url`` is the runners'; ``runner_token`` lets one ask for jobs."""

    def __init__(self, service: Service, *, url: str, runner_token: str, admin_token: str) -> None:
        self._service = service
        self.url = url
        self.runner_token = runner_token
        self.admin_token = admin_token

    async def create_pipeline(self, submission: Submission) -> int:
        """Take a snapshot of the working tree, queue the jobs, and return the pipeline's id.

        Raises:
            UsageError, PermanentError: there is no such directory, no job, or git refuses.
        """
        return await self._service.submit(submission)

    async def events(self, pipeline_id: int) -> AsyncIterator[CoordinatorEvent]:
        """Yield everything about a pipeline from its beginning, ending with PipelineFinished."""
        async for event in self._service.watch(self._service.pipeline(pipeline_id)):
            yield event

    async def cancel(
        self, pipeline_id: int, *, force: bool = False, job: str | None = None
    ) -> None:
        """Cancel all its jobs, or one; running ones may run ``after_script`` unless ``force``."""
        self._service.engine.cancel(self._service.pipeline(pipeline_id), force=force, only=job)

    async def play(self, pipeline_id: int, job: str) -> None:
        """Start a manual job."""
        self._service.engine.play(self._service.pipeline(pipeline_id), job)

    async def job_results(
        self, pipeline_id: int, *, trace_bytes: int | None = None
    ) -> list[JobResult]:
        """Return how its jobs stand or ended, in the order of the file."""
        return await self._service.results(self._service.pipeline(pipeline_id), trace_bytes)


@asynccontextmanager
async def running_coordinator(settings: CoordinatorSettings) -> AsyncIterator[RunningCoordinator]:
    """Serve in this process until the block is left.

    Raises:
        UsageError: the data directory or the address cannot be used; the sentence says why.
    """
    async with AsyncExitStack() as stack:
        lock = await anyio.to_thread.run_sync(datadir.lock, settings.data_dir)
        stack.callback(os.close, lock)
        blobs = Blobs(settings.data_dir)
        secrets = await anyio.to_thread.run_sync(datadir.prepare, settings.data_dir, blobs)
        store = stack.enter_context(contextlib.closing(Store(settings.data_dir / "coordinator.db")))
        listener = stack.enter_context(listen(settings.listen))
        url = (settings.external_url or url_of(listener)).rstrip("/")
        engine = Engine(
            store=store, clock=SystemClock(),
            settings=EngineSettings(
                protected_refs=settings.protected_refs,
                protected_tags=settings.protected_tags,
                ci_separated_caches=settings.ci_separated_caches,
                jobs_cache_index=settings.jobs_cache_index,
            ),
        )  # fmt: skip
        patience = Patience(
            offer_seconds=settings.offer_seconds, lost_after_seconds=settings.lost_after_seconds
        )
        lookout = Lookout(engine, blobs, SystemClock(), patience)
        await lookout.recover(store, abandon=settings.abandon_unfinished)
        repositories = Repositories(settings.data_dir / "repositories")
        used = {p.row.snapshot.repository for p in engine.pipelines.values() if not p.completed}
        await anyio.to_thread.run_sync(repositories.remove_all_but, used)
        service = Service(engine, blobs, repositories, SystemClock())
        stopping = Notice()
        parts = _Parts(
            settings=settings, secrets=secrets, store=store, blobs=blobs, engine=engine,
            repositories=repositories, service=service, stopping=stopping, url=url,
            lookout=lookout,
        )  # fmt: skip
        await stack.enter_async_context(_serving(listener, parts))
        stack.enter_context(_plain_errors())
        background = await stack.enter_async_context(anyio.create_task_group())
        stack.callback(background.cancel_scope.cancel)
        retention = Retention(
            engine=engine, store=store, blobs=blobs, repositories=repositories,
            clock=SystemClock(), keep_pipelines=settings.keep_pipelines,
        )  # fmt: skip
        background.start_soon(_keep_house, parts, retention)
        downstream = Downstream(
            engine=engine, blobs=blobs, repositories=repositories, clock=SystemClock(),
            tokens=TokenMaker(secrets.key), server_url=url,
        )  # fmt: skip
        background.start_soon(downstream.run)
        log.event(_logger, logging.INFO, "coordinator_started", url=url)
        yield RunningCoordinator(
            service, url=url, runner_token=secrets.runner_token, admin_token=secrets.admin_token
        )


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Let an error of the caller's block out as it is, not wrapped by our task group."""
    try:
        yield
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from group.exceptions[0].__cause__
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What the routes need."""

    settings: CoordinatorSettings
    secrets: datadir.Secrets
    store: Store
    blobs: Blobs
    engine: Engine
    repositories: Repositories
    service: Service
    stopping: Notice
    lookout: Lookout
    url: str


def _routes(parts: _Parts) -> list[web.RouteDef]:
    settings, engine = parts.settings, parts.engine
    maker = TokenMaker(parts.secrets.key)
    runners = Runners(parts.store)
    runners.add(
        parts.secrets.runner_token, description="built-in", tags=settings.runner_tags
    )  # fmt: skip
    poll = PollSettings(
        hold_seconds=settings.hold_seconds, registration_token=settings.registration_token,
        personal_token=parts.secrets.admin_token,
    )  # fmt: skip
    interval = settings.trace_update_interval_seconds
    signer = Signer(settings.data_dir)
    dispatcher = Dispatcher(
        engine=engine, blobs=parts.blobs, tokens=maker, signer=signer, clock=SystemClock(),
        server_url=parts.url,
    )  # fmt: skip
    return [
        *RunnersApi(dispatcher, runners, parts.stopping, poll).routes(),
        *OidcApi(signer, server_url=parts.url).routes(),
        *JobsApi(engine, parts.blobs, maker, trace_interval_seconds=interval).routes(),
        *ArtifactsApi(
            engine=engine, store=parts.store, blobs=parts.blobs, tokens=maker,
            clock=SystemClock(), limits=ArtifactLimits(max_bytes=settings.max_artifact_bytes),
        ).routes(),
        *CacheApi(engine=engine, caches=_caches(settings), tokens=maker).routes(),
        *GitHttp(engine, maker, parts.repositories, server_url=parts.url).routes(),
        *ControlApi(parts.service, parts.secrets.admin_token, parts.stopping).routes(),
    ]  # fmt: skip


def _caches(settings: CoordinatorSettings) -> Caches:
    return Caches(settings.cache_dir or settings.data_dir / "caches", settings.max_cache_bytes)


@asynccontextmanager
async def _serving(listener: socket.socket, parts: _Parts) -> AsyncIterator[None]:
    application = web.Application(client_max_size=MAX_PATCH_BYTES, middlewares=[_answer_errors])
    application.add_routes(_routes(parts))
    runner = web.AppRunner(
        application, access_log=None, handle_signals=False, shutdown_timeout=_FINISH_SECONDS
    )
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        yield
    finally:
        with closing(_STOP_SECONDS):
            parts.stopping.notify()
            parts.engine.queued.notify()
            await runner.cleanup()


@web.middleware
async def _answer_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turn errors into answers; only the bugs go into the log with their traceback."""
    try:
        return await handler(request)
    except PodlaneError as error:
        log.event(_logger, logging.WARNING, "request_failed", path=request.path, error=error)
        return routes.problem(error)
    except web.HTTPException:
        raise
    except ConnectionError as error:  # the client's: nobody is left to hear an answer
        log.event(_logger, logging.INFO, "client_gone", path=request.path, error=error)
        return answers.message(400, "the request broke off")
    except Exception:  # the boundary of a request: a bug in one must not end the others
        log.event(_logger, logging.ERROR, "request_crashed", path=request.path)
        _logger.exception("request_crashed")
        raise


async def _keep_house(parts: _Parts, retention: Retention) -> None:
    """Look for lost runners; now and then remove what is old and tidy the database."""
    for count in itertools.count():
        try:
            await parts.lookout.look_around()
            if count % _TIDY_EVERY == 0:
                await retention.tidy()
                await anyio.to_thread.run_sync(parts.store.checkpoint)
        except (PodlaneError, OSError, sqlite3.Error) as error:
            log.event(_logger, logging.ERROR, "housekeeping_failed", error=error)
        await anyio.sleep(parts.settings.look_around_seconds)
