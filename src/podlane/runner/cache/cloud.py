"""Presigned URLs where a library has to find credentials or sign with RSA: GCS, Azure, S3 by identity.

obstore reads the identities of machines and pods (instance metadata, web identity, workload identity).
It is imported with this module, which is imported only where it is configured.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store

from podlane.runner.cache import s3
from podlane.runner.cache.settings import AzureSettings, GcsSettings, S3Settings
from podlane.runner.cache.store import CacheUrlError, Method, SignedUrl

if TYPE_CHECKING:
    from obstore.store import AzureConfig, ClientConfig, RetryConfig

_AZURE_HEADERS = {"x-ms-blob-type": "BlockBlob"}
# Credentials that cannot be had must not hold up a job: it goes on without its cache.
_RETRY: RetryConfig = {"max_retries": 2, "retry_timeout": timedelta(seconds=15)}
_CLIENT: ClientConfig = {"timeout": timedelta(seconds=10)}
# A machine's credentials may have a few minutes left only when they are handed out.
_RENEW_SECONDS = 600.0
_TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address, no secret


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudStore:
    """Signs with whatever credentials the library has."""

    store: S3Store | GCSStore | AzureStore
    expires_seconds: int
    what: str
    renew_seconds: float | None = None

    def again(self) -> CloudStore:
        """Return itself: the library asks for new credentials when the old ones end."""
        return self

    def sign(self, method: Method, name: str, *, key: str = "") -> SignedUrl:
        """Return the URL of the object ``name``; may ask the cloud for credentials.

        Raises:
            CacheUrlError: there are none, or they were refused.
        """
        del key  # the library signs no headers
        is_azure = isinstance(self.store, AzureStore)
        # A shared access signature knows reading, not HEAD.
        wanted = Method.GET if is_azure and method is Method.HEAD else method
        expires = timedelta(seconds=min(max(self.expires_seconds, 60), s3.MAX_SECONDS))
        try:
            url = obstore.sign(self.store, wanted.value, name, expires_in=expires)
        except (BaseError, ValueError, OSError) as error:
            raise CacheUrlError(
                f"{self.what} gives no credentials to sign with: {_first_line(error)}"
            ) from error
        headers = _AZURE_HEADERS if is_azure and method is Method.PUT else {}
        return SignedUrl(url=url, headers=headers)


def open_s3(settings: S3Settings, expires_seconds: int) -> CloudStore:
    """Return the store of a bucket that the machine's or pod's identity opens."""
    place = s3.endpoint_of(settings)
    store = S3Store(
        settings.bucket,
        region=settings.region or s3.DEFAULT_REGION,
        endpoint=f"{place.scheme}://{place.host}",
        virtual_hosted_style_request=not place.path,
        retry_config=_RETRY,
        client_options={**_CLIENT, "allow_http": True},
    )
    return CloudStore(
        store=store, expires_seconds=expires_seconds, what="the identity for S3",
        renew_seconds=_RENEW_SECONDS,
    )  # fmt: skip


def open_gcs(settings: GcsSettings, expires_seconds: int) -> CloudStore:
    """Return the store of a bucket, opened by a service account or by the machine's identity."""
    try:
        if settings.access_id and settings.private_key:
            account = {
                "type": "service_account",
                "client_email": settings.access_id,
                "private_key": settings.private_key.replace("\\n", "\n"),
                "private_key_id": "",
                "client_id": "",
                "token_uri": _TOKEN_URI,
            }
            key = json.dumps(account)
            store = GCSStore(settings.bucket, service_account_key=key, retry_config=_RETRY)
        elif settings.credentials_file:
            file = settings.credentials_file
            store = GCSStore(settings.bucket, service_account_path=file, retry_config=_RETRY)
        else:
            store = GCSStore(settings.bucket, retry_config=_RETRY, client_options=_CLIENT)
    except (BaseError, ValueError, OSError) as error:
        raise CacheUrlError(
            "the service account of [runners.cache.gcs] cannot be used; "
            "check PrivateKey or CredentialsFile"
        ) from error
    has_key = bool((settings.access_id and settings.private_key) or settings.credentials_file)
    return CloudStore(
        store=store, expires_seconds=expires_seconds, what="the identity for GCS",
        renew_seconds=None if has_key else _RENEW_SECONDS,
    )  # fmt: skip


def open_azure(settings: AzureSettings, expires_seconds: int) -> CloudStore:
    """Return the store of a container, opened by the account's key or by the machine's identity."""
    config: AzureConfig = {"account_name": settings.account_name}
    if settings.account_key:
        config["account_key"] = settings.account_key
    if settings.storage_domain:
        config["endpoint"] = f"https://{settings.account_name}.{settings.storage_domain}"
    try:
        store = AzureStore(
            settings.container, config=config, retry_config=_RETRY, client_options=_CLIENT
        )
    except (BaseError, ValueError, OSError) as error:
        raise CacheUrlError(
            "the account of [runners.cache.azure] cannot be used; check AccountName and AccountKey"
        ) from error
    return CloudStore(
        store=store, expires_seconds=expires_seconds, what="the identity for Azure",
        renew_seconds=None if settings.account_key else _RENEW_SECONDS,
    )  # fmt: skip


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
