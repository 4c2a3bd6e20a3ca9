"""Presigned URLs of S3 and of everything that speaks like it: AWS Signature Version 4 in the query.

Signed here and not by a library because the headers of server-side encryption have to be signed too.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote, urlsplit

from podlane.runner.cache.settings import S3Settings
from podlane.runner.cache.store import Method, SignedUrl

MAX_SECONDS = 7 * 24 * 3600
KEY_HEADER = "x-amz-meta-cachekey"  # GitLab Runner's; a hashed name alone tells people nothing
DEFAULT_REGION = "us-east-1"
AWS = "amazonaws.com"
ALGORITHM = "AWS4-HMAC-SHA256"
_ENCRYPTIONS: Mapping[str, str] = {"S3": "AES256", "KMS": "aws:kms", "DSSE-KMS": "aws:kms:dsse"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a bucket is: ``path`` is in front of every object's name."""

    scheme: str
    host: str
    path: str


def endpoint_of(settings: S3Settings) -> Endpoint:
    """Return where the bucket is, by GitLab Runner's rules."""
    scheme = "http" if settings.insecure else "https"
    server = settings.server_address
    if "://" in server:
        scheme, server = urlsplit(server).scheme, urlsplit(server).netloc
    region = settings.region or DEFAULT_REGION
    bucket, stack = settings.bucket, ".dualstack" if settings.dual_stack else ""
    if settings.accelerate:
        return Endpoint(scheme, f"{bucket}.s3-accelerate{stack}.{AWS}", "")
    is_aws = server in {"", f"s3.{AWS}"}
    host = f"s3{stack}.{region}.{AWS}" if is_aws else server
    path_style = settings.path_style
    if path_style is None:
        # A certificate for *.s3… does not cover a bucket with a dot in its name.
        path_style = "." in bucket or not host.partition(":")[0].endswith(f".{AWS}")
    return (
        Endpoint(scheme, host, f"/{bucket}")
        if path_style
        else Endpoint(scheme, f"{bucket}.{host}", "")
    )


def upload_headers(settings: S3Settings) -> dict[str, str]:
    """Return the headers that ask for encryption at rest."""
    if not settings.encryption:
        return {}
    headers = {"X-Amz-Server-Side-Encryption": _ENCRYPTIONS[settings.encryption.upper()]}
    if settings.encryption_key_id:
        headers["X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"] = settings.encryption_key_id
    return headers


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Store:
    """Signs with the access key of the settings; nothing is asked of anybody."""

    settings: S3Settings
    now: Callable[[], datetime]
    expires_seconds: int
    renew_seconds: float | None = None

    def again(self) -> S3Store:
        """Return itself."""
        return self

    def sign(self, method: Method, name: str, *, key: str = "") -> SignedUrl:
        """Return the URL of the object ``name``."""
        headers: dict[str, str] = {}
        if method is Method.PUT:
            headers = upload_headers(self.settings)
            if key.isascii() and key.isprintable() and key.strip() == key and key:
                headers[KEY_HEADER] = key
        url = self._presigned(method, name, headers)
        return SignedUrl(url=url, headers=headers)

    def _presigned(self, method: Method, name: str, headers: Mapping[str, str]) -> str:
        settings, place = self.settings, endpoint_of(self.settings)
        stamp = self.now().strftime("%Y%m%dT%H%M%SZ")
        scope = f"{stamp[:8]}/{settings.region or DEFAULT_REGION}/s3/aws4_request"
        signed = {"host": place.host, **{key.lower(): value for key, value in headers.items()}}
        query = {
            "X-Amz-Algorithm": ALGORITHM,
            "X-Amz-Credential": f"{settings.access_key}/{scope}",
            "X-Amz-Date": stamp,
            "X-Amz-Expires": str(min(max(self.expires_seconds, 1), MAX_SECONDS)),
            "X-Amz-SignedHeaders": ";".join(sorted(signed)),
        }
        if settings.session_token:
            query["X-Amz-Security-Token"] = settings.session_token
        pairs = "&".join(
            f"{key}={quote(value, safe='-_.~')}" for key, value in sorted(query.items())
        )
        path = quote(f"{place.path}/{name}", safe="/-_.~")
        request = "\n".join([
            method.value, path, pairs,
            *(f"{key}:{signed[key].strip()}" for key in sorted(signed)),
            "", query["X-Amz-SignedHeaders"], "UNSIGNED-PAYLOAD",
        ])  # fmt: skip
        digest = hashlib.sha256(request.encode()).hexdigest()
        to_sign = f"{ALGORITHM}\n{stamp}\n{scope}\n{digest}"
        signature = hmac.digest(
            signing_key(settings.secret_key, scope), to_sign.encode(), "sha256"
        ).hex()
        return f"{place.scheme}://{place.host}{path}?{pairs}&X-Amz-Signature={signature}"


def signing_key(secret: str, scope: str) -> bytes:
    """Return the key that signs for a scope, ``<day>/<region>/<service>/aws4_request``."""
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def check(settings: S3Settings) -> tuple[str, str]:
    """Return the setting that is wrong and why; empty texts if none is."""
    if settings.encryption and settings.encryption.upper() not in _ENCRYPTIONS:
        known = ", ".join(_ENCRYPTIONS)
        return "ServerSideEncryption", f'"{settings.encryption}" is none of {known}'
    if settings.authentication_type not in {"", "iam", "access-key"}:
        wrong = settings.authentication_type
        return "AuthenticationType", f'"{wrong}" is neither iam nor access-key'
    if settings.authentication_type == "access-key" and settings.uses_identity:
        return "AuthenticationType", "is access-key, but AccessKey or SecretKey is empty"
    return "", ""
