"""Apply what happens to pipelines: the acting half of ``lifecycle`` and ``queue``.

The truth is in memory; every change is in the database before anybody is told. Methods that change
state do not wait in between, so that no two requests can disagree about a job.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from msgspec import structs

from podlane.coordinator.events import full_name
from podlane.coordinator.state import bridges, lifecycle
from podlane.coordinator.state.live import LiveJob, LivePipeline, path_of
from podlane.coordinator.state.notice import Notice
from podlane.coordinator.storage.rows import JobRow, PipelineRow
from podlane.coordinator.storage.store import Store
from podlane.coordinator.submission import Snapshot, Submission
from podlane.kit.clock import Clock
from podlane.kit.errors import UsageError
from podlane.model.failures import SERVER_TIMEOUTS, FailureReason
from podlane.model.pipeline import When
from podlane.model.states import FINISHED, IllegalTransitionError, JobEvent, JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Settings of all projects, most under GitLab's names.

    ``protected_refs``: protected branches beside the default one, with ``*`` for anything;
    ``protected_tags``: tags.
    ``ci_separated_caches`` and ``jobs_cache_index``: see ``Snapshot``.
    """

    protected_refs: tuple[str, ...] = ()
    protected_tags: tuple[str, ...] = ()
    ci_separated_caches: bool = True
    jobs_cache_index: int | None = None

    def applied(self, snapshot: Snapshot, submission: Submission) -> Snapshot:
        """Return a snapshot with the project's settings."""
        return structs.replace(
            snapshot, protected_refs=self.protected_refs, protected_tags=self.protected_tags,
            ci_separated_caches=self.ci_separated_caches, jobs_cache_index=self.jobs_cache_index,
            default_branch=submission.default_branch or snapshot.default_branch,
        )  # fmt: skip


class Engine:
    """All pipelines of one coordinator."""

    def __init__(self, *, store: Store, settings: EngineSettings, clock: Clock) -> None:
        self.queued = Notice()
        self.bridges_waiting = Notice()
        self.pipelines: dict[int, LivePipeline] = {}
        self.jobs: dict[int, tuple[LivePipeline, LiveJob]] = {}
        self._store = store
        self._settings = settings
        self._clock = clock

    # --- pipelines ------------------------------------------------------------------------------

    def create(
        self, submission: Submission, snapshot: Snapshot, pipeline_id: int,
        started_by: tuple[LivePipeline, LiveJob] | None = None,
    ) -> None:  # fmt: skip
        """Add a pipeline and queue what can start. ``pipeline_id`` is from ``reserve_id``.

        ``started_by`` is the bridge that starts it, which follows it from now on.

        Raises:
            UsageError: the pipeline has no job.
        """
        jobs = [job for job in submission.pipeline.jobs if job.when is not When.NEVER]
        if not jobs:
            raise UsageError("the pipeline has no jobs to run", hint="check the jobs' rules")
        now = self._clock.now()
        snapshot = self._settings.applied(snapshot, submission)
        parent, bridge = started_by or (None, None)
        row = PipelineRow(
            id=pipeline_id, submission=submission, snapshot=snapshot, created_at=now,
            bridge_id=None if bridge is None else bridge.row.id,
        )  # fmt: skip
        live = LivePipeline(row, parent)
        for spec in submission.pipeline.jobs:
            self._add_attempt(live, spec.name, attempt=1)
        self._store.save(live.row, *(job.row for job in live.attempts))
        self.pipelines[pipeline_id] = live
        if parent is not None and bridge is not None:
            parent.children[bridge.row.id] = live
            parent.changed.notify()
        self.advance(live)

    def reserve_id(self) -> int:
        """Return the id of the next pipeline."""
        return self._store.next_id("pipeline")

    def _add_attempt(self, live: LivePipeline, name: str, *, attempt: int) -> LiveJob:
        spec = next(job for job in live.pipeline.jobs if job.name == name)
        row = JobRow(
            id=self._store.next_id("job"), pipeline_id=live.row.id, name=name, attempt=attempt,
            created_at=self._clock.now(),
        )  # fmt: skip
        job = LiveJob(row=row, spec=spec)
        live.add(job)
        self.jobs[row.id] = live, job
        return job

    def forget(self, live: LivePipeline) -> None:
        """Drop a finished pipeline from memory."""
        del self.pipelines[live.row.id]
        for job in live.attempts:
            del self.jobs[job.row.id]

    def advance(self, live: LivePipeline) -> None:
        """Start, hold or skip whatever the jobs' states now decide; notice the end."""
        while events := lifecycle.next_events(live.pipeline, live.standings()):
            for name, event in events:
                if event is JobEvent.HOLD and _is_played(live, name):
                    event = JobEvent.ENQUEUE  # noqa: PLW2901 - a person has said so beforehand
                self.apply(live, live.current[name], event)
        status = lifecycle.pipeline_status(live.pipeline, live.standings())
        comes_to_rest = status in lifecycle.RESTING and not live.finished
        if comes_to_rest:
            live.finish(status, self._clock.now())
            self._store.save(live.row)
        self._follow(live, changed=comes_to_rest)

    def _follow(self, child: LivePipeline, *, changed: bool) -> None:
        """Let the bridge that started a pipeline take its state over, as far as it is told to."""
        bridge, parent = child.bridge(), child.parent
        if bridge is None or parent is None or bridge.spec.trigger is None:
            return
        event = bridges.inherited(bridge.spec.trigger.strategy, child.row.status, bridge.state)
        if event is not None:
            self.apply(parent, bridge, event)
            self._release(bridge)
            self.follow_up(parent, bridge, None)
        if event is not None or changed:
            self.advance(parent)

    def apply(self, live: LivePipeline, job: LiveJob, event: JobEvent) -> None:
        """Note what happened to a job, and wake whom it concerns.

        Raises:
            IllegalTransitionError: the job's state does not allow it.
        """
        now = self._clock.now()
        live.move(job, event, now)
        if job.state in FINISHED:
            job.row = replace(job.row, finished_at=now)
        elif event is JobEvent.RUN:
            job.row = replace(job.row, started_at=now)
        elif event is JobEvent.RESUME:
            job.row = replace(job.row, finished_at=None)
        self._store.save(job.row)
        if job.state is JobState.MANUAL:
            job.held_since = now
        if job.state is JobState.PENDING:
            (self.bridges_waiting if job.spec.bridge else self.queued).notify()

    def _release(self, job: LiveJob) -> None:
        """Wake those who may have waited for the job's resource."""
        if job.spec.resource_group:
            self.queued.notify()
            self.bridges_waiting.notify()

    # --- jobs and runners -----------------------------------------------------------------------

    def find(self, job_id: int) -> tuple[LivePipeline, LiveJob] | None:
        """Return a job with its pipeline."""
        return self.jobs.get(job_id)

    def busy_jobs(self) -> Iterator[tuple[LivePipeline, LiveJob]]:
        """Return the jobs that are with runners."""
        return (entry for entry in self.jobs.values() if entry[1].with_runner)

    def acknowledge(self, live: LivePipeline, job: LiveJob) -> None:
        """Note the first ``PUT state=running``: the second phase of the hand-over."""
        if job.state is JobState.OFFERED:
            job.row = replace(job.row, started_at=self._clock.now())
            self.apply(live, job, JobEvent.ACKNOWLEDGE)

    def finish(
        self, live: LivePipeline, job: LiveJob, *, reason: FailureReason | None, exit_code: int
    ) -> None:
        """Note the job's result (``reason`` None: success), retry it if asked for, and go on."""
        cancelled = job.state is JobState.CANCELING
        job.row = replace(
            job.row,
            failure_reason=None if reason is None else reason.value,
            exit_code=exit_code if reason is None or exit_code else None,
        )
        overdue = reason in SERVER_TIMEOUTS
        failed = JobEvent.EXPIRE if overdue else JobEvent.FAIL
        self.apply(live, job, JobEvent.SUCCEED if reason is None else failed)
        self._release(job)
        if overdue or not cancelled:
            self.follow_up(live, job, reason)
        self.advance(live)

    def follow_up(self, live: LivePipeline, job: LiveJob, reason: FailureReason | None) -> None:
        """After a failure: try again, or cancel the rest, if the file says so."""
        if lifecycle.is_retried(
            job.spec, attempt=job.row.attempt, reason=reason, exit_code=job.row.exit_code
        ):
            job.row = replace(job.row, retried=True)
            again = self._add_attempt(live, job.row.name, attempt=job.row.attempt + 1)
            self._store.save(job.row, again.row)
            self.apply(live, again, JobEvent.ENQUEUE)
        elif lifecycle.cancels_the_rest(live.pipeline, job.spec, job.standing):
            self.cancel(live)

    def cancel(self, live: LivePipeline, *, force: bool = False, only: str | None = None) -> None:
        """Cancel a pipeline's jobs, or one of them; ``force`` does not wait for running ones.

        With all its jobs go the children that its bridges have started.
        """
        if live.finished and not live.completed:  # it waits for a person, who does not come
            live.reopen()
            self._store.save(live.row)
        for name, job in list(live.current.items()):
            if job.state in FINISHED or (only is not None and name != only):
                continue
            graceful = job.graceful and not force and not job.spec.bridge
            try:
                self.apply(live, job, JobEvent.CANCEL_GRACEFULLY if graceful else JobEvent.CANCEL)
            except IllegalTransitionError:
                continue  # it is being cancelled already
            self._release(job)
        if only is None:
            for child in list(live.children.values()):
                self.cancel(child, force=force)
        self.advance(live)

    def play(self, live: LivePipeline, name: str) -> None:
        """Start a job that waits for a person.

        Raises:
            UsageError: there is no such job, or it does not wait.
        """
        job = live.current.get(name)
        if job is None or job.state is not JobState.MANUAL:
            raise UsageError(f"job {name!r} of pipeline {live.row.id} does not wait to be started")
        if (child := live.children.get(job.row.id)) is not None:
            raise UsageError(
                f"job {name!r} of pipeline {live.row.id} mirrors pipeline {child.row.id}",
                hint=f"start the jobs that wait in pipeline {child.row.id}",
            )
        live.reopen()
        self._store.save(live.row)
        self.apply(live, job, JobEvent.ENQUEUE)
        self._resume_above(live)
        self.advance(live)

    def _resume_above(self, child: LivePipeline) -> None:
        """Let the bridges that follow a pipeline go on with it."""
        bridge, parent = child.bridge(), child.parent
        if bridge is None or parent is None or bridge.spec.trigger is None:
            return
        event = bridges.resumed(bridge.spec.trigger.strategy, bridge.state)
        if event is not None:
            self.apply(parent, bridge, event)
        if bridge.state is JobState.RUNNING and parent.finished:
            parent.reopen()
            self._store.save(parent.row)
            self._resume_above(parent)


def _is_played(live: LivePipeline, name: str) -> bool:
    """Whether a manual job starts without a person."""
    played = live.row.submission.play
    return bool(played) and full_name(path_of(live), name) in played
