"""Hand waiting jobs to runners that ask: choose one, gather what it needs, sign its ID tokens."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace

import anyio
import msgspec

from podlane.coordinator.dispatch import handover, idtokens
from podlane.coordinator.dispatch.predefined import JobFacts
from podlane.coordinator.dispatch.signing import Signer
from podlane.coordinator.state import lifecycle, queue
from podlane.coordinator.state.engine import Engine
from podlane.coordinator.state.live import LiveJob, LivePipeline, say, waiting_jobs
from podlane.coordinator.storage.blobs import Blobs
from podlane.coordinator.storage.rows import RunnerRow
from podlane.coordinator.storage.tokens import TokenMaker
from podlane.gitlab.info import RunnerInfo
from podlane.kit.clock import Clock
from podlane.kit.errors import PodlaneError
from podlane.model import sections
from podlane.model.failures import FailureReason
from podlane.model.job import Job, Variable
from podlane.model.states import JobEvent, JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatcher:
    """Serves the requests for jobs of one coordinator."""

    engine: Engine
    blobs: Blobs
    tokens: TokenMaker
    signer: Signer
    clock: Clock
    server_url: str

    async def take(self, runner: RunnerRow, info: RunnerInfo) -> Job | None:
        """Hand out the next job that fits the runner, if there is one.

        A job that cannot be handed out fails with the reason in its trace, and the next one is tried.
        """
        while (offered := self._offer(runner, info)) is not None:
            live, job = offered
            try:
                # The time to hold the request may pass meanwhile: the job is taken all the same.
                with anyio.CancelScope(shield=True):
                    made = await self._complete(live, job, runner)
            except handover.MissingDependencyError as error:
                why = f"This job could not start because it could not retrieve artifacts: {error}"
                await self._refuse(live, job, FailureReason.MISSING_DEPENDENCY_FAILURE, why)
            except PodlaneError as error:
                why = f"Job failed (system failure): {error.message}"
                why += f" ({error.hint})" if error.hint else ""
                await self._refuse(live, job, FailureReason.RUNNER_SYSTEM_FAILURE, why)
            else:
                if not info.features.get("two_phase_job_commit", False):
                    # An older runner says nothing until it has output, or for half a minute.
                    self.engine.acknowledge(live, job)
                return made
        return None

    def _offer(self, runner: RunnerRow, info: RunnerInfo) -> tuple[LivePipeline, LiveJob] | None:
        offerer = queue.Offerer(
            tags=frozenset(runner.tags), run_untagged=runner.run_untagged,
            protected_only=runner.protected_only, paused=runner.paused,
        )  # fmt: skip
        chosen = queue.pick(waiting_jobs(self.engine.pipelines.values()), offerer)
        if chosen is None:
            return None
        live, job = self.engine.jobs[chosen.job_id]
        job.graceful = info.features.get("cancel_gracefully", False)
        job.can_resend = info.features.get("trace_reset", False)
        job.last_contact = anyio.current_time()
        job.row = replace(
            job.row, runner_id=runner.id, started_at=self.clock.now(),
            timeout_seconds=lifecycle.timeout_seconds(job.spec, runner.maximum_timeout),
        )  # fmt: skip
        self.engine.apply(live, job, JobEvent.OFFER)
        return live, job

    async def _complete(self, live: LivePipeline, job: LiveJob, runner: RunnerRow) -> Job:
        server = handover.Server(url=self.server_url, tokens=self.tokens, now=self.clock.now())
        made, facts = handover.job_for_runner(live, job, runner, server)
        if not job.spec.id_tokens:
            return made
        signed = await self._id_tokens(facts, made)
        return msgspec.structs.replace(made, variables=(*signed, *made.variables))

    async def _id_tokens(self, facts: JobFacts, made: Job) -> tuple[Variable, ...]:
        """Return the tokens as variables; everything else wins over them, as in GitLab."""
        values = {one.key: one.value for one in made.variables}
        signed = []
        for name, token in facts.job.id_tokens.items():
            claims = idtokens.claims(facts, token, values=values, jti=str(uuid.uuid4()))
            jwt = await self.signer.sign(claims)
            signed.append(Variable(key=name, value=jwt, masked=True, raw=True))
        return tuple(signed)

    async def _refuse(
        self, live: LivePipeline, job: LiveJob, reason: FailureReason, why: str
    ) -> None:
        await say(self.blobs, live, job, sections.error(why))
        if job.state is JobState.OFFERED:
            self.engine.finish(live, job, reason=reason, exit_code=0)
