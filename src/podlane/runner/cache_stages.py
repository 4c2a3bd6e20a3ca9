"""The sub-stages of a job's caches: which of them there are, and their scripts."""

from __future__ import annotations

from dataclasses import dataclass

from podlane.executors.base import StageScript
from podlane.model import substages
from podlane.runner.cache import opening, selection
from podlane.runner.cache.access import CachePlanner, PlannedCache
from podlane.runner.job_variables import project_path
from podlane.runner.scripts import caches
from podlane.runner.scripts.context import ScriptContext
from podlane.runner.system_id import short_token


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCaches:
    """Everything about the caches of one job. ``secrets`` are what its trace must not show."""

    planned: tuple[PlannedCache, ...] = ()
    limit_bytes: int = 0
    secrets: tuple[str, ...] = ()

    @classmethod
    def of(cls, context: ScriptContext) -> JobCaches:
        """Choose keys and make URLs.

        Raises:
            UnknownPolicyError: a sentence for the job's author.
        """
        chosen = selection.of_job(context.job, context.variables, context.flags)
        if not chosen:
            return cls()
        place = opening.place_of(
            context.runner.cache,
            context.job,
            server_url=context.runner.url,
            short_token=short_token(context.runner.token),
            project_path=project_path(context.job, context.variables),
        )
        planner = CachePlanner(place)
        planned = tuple(map(planner.plan, chosen))
        return cls(
            planned=planned,
            limit_bytes=place.max_uploaded_archive_bytes,
            secrets=tuple(planner.secrets),
        )

    def restoring(self, context: ScriptContext, *, attempts: int) -> list[StageScript]:
        """Return ``restore_cache``, if there is anything to restore."""
        if not self.planned:
            return []
        script = caches.restore(context, self.planned)
        return [StageScript(substage=substages.RESTORE_CACHE, script=script, attempts=attempts)]

    def archiving(self, context: ScriptContext) -> list[StageScript]:
        """Return ``archive_cache`` and ``archive_cache_on_failure``, as ``when`` asks for them."""
        result = []
        for success, substage in (
            (True, substages.ARCHIVE_CACHE),
            (False, substages.ARCHIVE_CACHE_ON_FAILURE),
        ):
            wanted = [entry for entry in self.planned if entry.cache.saved(success=success)]
            if wanted:
                script = caches.archive(context, wanted, limit_bytes=self.limit_bytes)
                result.append(StageScript(substage=substage, script=script))
        return result
