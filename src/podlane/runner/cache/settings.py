"""``[runners.cache]`` as frozen values (runner-protocol 8.3); names are the keys', in our case."""

from __future__ import annotations

from dataclasses import dataclass, field

DEFAULT_CACHE_DIR = "/cache"


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """``[runners.cache.s3]``. Without keys, the identity of the machine or pod is used (``iam``)."""

    bucket: str = ""
    region: str = ""
    server_address: str = ""
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    authentication_type: str = ""
    insecure: bool = False
    path_style: bool | None = None
    dual_stack: bool = True
    accelerate: bool = False
    encryption: str = ""
    encryption_key_id: str = ""
    role: str = ""
    upload_role: str = ""

    @property
    def uses_identity(self) -> bool:
        """Whether the credentials are those of the machine."""
        return self.authentication_type == "iam" or not (self.access_key and self.secret_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class GcsSettings:
    """``[runners.cache.gcs]``. ``credentials_file`` is a service account's JSON."""

    bucket: str = ""
    access_id: str = ""
    private_key: str = field(default="", repr=False)
    credentials_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureSettings:
    """``[runners.cache.azure]``."""

    container: str = ""
    account_name: str = ""
    account_key: str = field(default="", repr=False)
    storage_domain: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorCacheSettings:
    """``Type = "coordinator"``: the caches are kept by the coordinator that hands out the jobs."""


StorageSettings = S3Settings | GcsSettings | AzureSettings | CoordinatorCacheSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSettings:
    """Where caches are kept. Without ``storage`` they stay in ``directory``, in the pod."""

    directory: str = DEFAULT_CACHE_DIR
    path: str = ""
    shared: bool = False
    max_uploaded_archive_bytes: int = 0
    redact_url: bool = False
    storage: StorageSettings | None = None
