"""Read ``cache_dir`` and ``[runners.cache]`` of ``config.toml``."""

from __future__ import annotations

from podlane.kit.jsonvalue import JsonObject
from podlane.runner.cache import s3
from podlane.runner.cache.settings import (
    DEFAULT_CACHE_DIR,
    AzureSettings,
    CacheSettings,
    CoordinatorCacheSettings,
    GcsSettings,
    S3Settings,
    StorageSettings,
)
from podlane.runner.configuration.toml_table import Table

_TYPES = ("s3", "gcs", "azure", "coordinator")
# Keys of the time before there were other storages than S3.
_FLAT = ("ServerAddress", "AccessKey", "SecretKey", "BucketName", "BucketLocation", "Insecure")
_S3_ROLES = ("AssumeRoleMaxConcurrency", "DisableAssumeRoleCredentialsCaching")


def read_cache(runner: Table) -> CacheSettings:
    """Return the settings; what is wrong goes into the table's findings."""
    directory = runner.text("cache_dir") or DEFAULT_CACHE_DIR
    if not directory.startswith("/"):
        runner.error("cache_dir", "setting-value", "must be an absolute path in the pod")
    table = runner.table("cache")
    settings = CacheSettings(
        directory=directory,
        path=table.text("Path"),
        shared=table.flag("Shared", default=False),
        redact_url=table.flag("RedactURL", default=False),
        max_uploaded_archive_bytes=table.number("MaxUploadedArchiveSize", 0),
        storage=_storage(table),
    )
    table.no_effect(dict.fromkeys(_FLAT, "write it in [runners.cache.s3]"), removed=True)
    table.finish()
    return settings


def _storage(table: Table) -> StorageSettings | None:
    kind = table.text("Type")
    found: dict[str, StorageSettings] = {
        "s3": _s3(table.table("s3"), table.raw("s3"), chosen=kind == "s3"),
        "gcs": _gcs(table.table("gcs"), chosen=kind == "gcs"),
        "azure": _azure(table.table("azure"), chosen=kind == "azure"),
        "coordinator": CoordinatorCacheSettings(),
    }
    if kind and kind not in found:
        table.error("Type", "setting-value", f'"{kind}" is none of {", ".join(_TYPES)}')
    return found.get(kind)


def _s3(table: Table, given: JsonObject, *, chosen: bool) -> S3Settings:
    settings = S3Settings(
        bucket=table.text("BucketName"),
        region=table.text("BucketLocation"),
        server_address=table.text("ServerAddress"),
        access_key=table.text("AccessKey"),
        secret_key=table.text("SecretKey"),
        session_token=table.text("SessionToken"),
        authentication_type=table.text("AuthenticationType"),
        insecure=table.flag("Insecure", default=False),
        path_style=table.flag("PathStyle", default=False)
        if "pathstyle" in map(str.lower, given)
        else None,
        dual_stack=table.flag("DualStack", default=True),
        accelerate=table.flag("Accelerate", default=False),
        encryption=table.text("ServerSideEncryption"),
        encryption_key_id=table.text("ServerSideEncryptionKeyID"),
        role=table.text("RoleARN"),
        upload_role=table.text("UploadRoleARN"),
    )
    table.ignore(_S3_ROLES)
    table.finish()
    if chosen:
        _need(table, BucketName=settings.bucket)
        key, problem = s3.check(settings)
        if problem:
            table.error(key, "setting-value", problem)
        elif settings.encryption and settings.uses_identity:
            message = "cannot be asked for without AccessKey and SecretKey"
            hint = "make it the bucket's default encryption"
            table.error("ServerSideEncryption", "setting-value", message, hint)
        elif (settings.role or settings.upload_role) and settings.uses_identity:
            message = "cannot be assumed without AccessKey and SecretKey"
            hint = "give the identity itself the rights, and remove the role"
            table.error(
                "RoleARN" if settings.role else "UploadRoleARN", "setting-value", message, hint
            )
    return settings


def _gcs(table: Table, *, chosen: bool) -> GcsSettings:
    settings = GcsSettings(
        bucket=table.text("BucketName"),
        access_id=table.text("AccessID"),
        private_key=table.text("PrivateKey"),
        credentials_file=table.text("CredentialsFile"),
    )
    table.no_effect({"UniverseDomain": "storage.googleapis.com is used"})
    table.finish()
    if chosen:
        _need(table, BucketName=settings.bucket)
    return settings


def _azure(table: Table, *, chosen: bool) -> AzureSettings:
    settings = AzureSettings(
        container=table.text("ContainerName"),
        account_name=table.text("AccountName"),
        account_key=table.text("AccountKey"),
        storage_domain=table.text("StorageDomain"),
    )
    table.finish()
    if chosen:
        _need(table, ContainerName=settings.container, AccountName=settings.account_name)
    return settings


def _need(table: Table, **values: str) -> None:
    for key, value in values.items():
        if not value:
            table.error(key, "setting-missing", "must be given")
