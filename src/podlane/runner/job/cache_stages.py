"""The sub-stages of a job's caches: which of them there are, and their scripts."""

from __future__ import annotations

from dataclasses import dataclass, replace

from podlane.executors.base import Renewal, StageScript
from podlane.model import substages
from podlane.runner.cache import opening, selection
from podlane.runner.cache.access import CachePlace, CachePlanner, PlannedCache
from podlane.runner.cache.selection import JobCache
from podlane.runner.cache.store import CacheUrlError
from podlane.runner.job.variables import project_path
from podlane.runner.scripts import caches
from podlane.runner.scripts.context import ScriptContext
from podlane.runner.system_id import short_token

RENEWED = "/tmp/podlane-cache-urls"  # noqa: S108 - in the helper container, which the job does not share


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCaches:
    """Everything about the caches of one job. ``secrets`` are what its trace must not show."""

    planned: tuple[PlannedCache, ...] = ()
    limit_bytes: int = 0
    secrets: tuple[str, ...] = ()
    renewal: Renewal | None = None

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
            renewal=_renewal(place, chosen, context.job.timeout_seconds),
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
                renewed = self.renewal.path if self.renewal else ""
                script = caches.archive(
                    context, wanted, limit_bytes=self.limit_bytes, renewed=renewed
                )
                result.append(StageScript(substage=substage, script=script))
        return result


def _renewal(
    place: CachePlace, chosen: tuple[JobCache, ...], timeout_seconds: int
) -> Renewal | None:
    """Return what makes the URLs of the uploads anew, where they may end before the job does."""
    pushed = tuple(cache for cache in chosen if cache.pushes and cache.keys)
    store = place.store
    if store is None or store.renew_seconds is None or not pushed:
        return None
    if store.renew_seconds >= timeout_seconds:
        return None

    def make() -> str:
        planner = CachePlanner(replace(place, store=store.again()))
        # Only to save: what is restored has been long since.
        pushes = [planner.plan(replace(cache, policy="push")).push for cache in pushed]
        if problem := next((push.problem for push in pushes if push and push.problem), ""):
            raise CacheUrlError(problem)
        return caches.renewed_urls(pushes)

    return Renewal(path=RENEWED, every_seconds=store.renew_seconds, make=make)
