"""From settings to the place of a job's caches."""

from __future__ import annotations

from datetime import UTC, datetime

from podlane.model.job import Job
from podlane.runner.cache import keys
from podlane.runner.cache.access import CachePlace
from podlane.runner.cache.coordinator import CoordinatorStore
from podlane.runner.cache.roles import RoleStore
from podlane.runner.cache.s3 import S3Store
from podlane.runner.cache.settings import (
    AzureSettings,
    CacheSettings,
    CoordinatorCacheSettings,
    GcsSettings,
    S3Settings,
)
from podlane.runner.cache.store import CacheStore, CacheUrlError, ClosedStore


def place_of(
    settings: CacheSettings, job: Job, *, server_url: str, short_token: str, project_path: str
) -> CachePlace:
    """Return where the job's caches are."""
    owner = "" if settings.shared else short_token
    prefix = keys.object_prefix(settings.path, owner, job.job_info.project_id)
    store: CacheStore | None
    try:
        store = open_store(settings, job, server_url=server_url, prefix=prefix)
    except CacheUrlError as error:
        store = ClosedStore(error)
    return CachePlace(
        directory=f"{settings.directory.rstrip('/')}/{project_path}",
        prefix=prefix,
        store=store,
        max_uploaded_archive_bytes=settings.max_uploaded_archive_bytes,
    )


def open_store(
    settings: CacheSettings, job: Job, *, server_url: str, prefix: str
) -> CacheStore | None:
    """Return what makes the URLs of one job below ``prefix``; they live as long as the job may.

    Raises:
        CacheUrlError: the settings of the storage cannot be used.
    """
    seconds = job.timeout_seconds
    match settings.storage:
        case None:
            return None
        case CoordinatorCacheSettings():
            return CoordinatorStore(server_url=server_url, job_id=job.id, job_token=job.token)
        case S3Settings() as found if found.role or found.upload_role:
            return RoleStore(settings=found, prefix=prefix, now=_now, expires_seconds=seconds)
        case S3Settings() as found if not found.uses_identity:
            return S3Store(settings=found, now=_now, expires_seconds=seconds)
    from podlane.runner.cache import cloud  # takes its library along

    match settings.storage:
        case S3Settings():
            return cloud.open_s3(settings.storage, seconds)
        case GcsSettings():
            return cloud.open_gcs(settings.storage, seconds)
        case AzureSettings():
            return cloud.open_azure(settings.storage, seconds)


def _now() -> datetime:
    return datetime.now(tz=UTC)
