"""S3 by a role (``RoleARN``, ``UploadRoleARN``): credentials for an hour, for one project's caches.

URLs that come from a role are good for an hour at most, as its credentials end then; they are made
anew before that for what a long job uploads at its end.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from urllib.parse import urlencode

from podlane.runner.cache import s3
from podlane.runner.cache.settings import S3Settings
from podlane.runner.cache.store import CacheUrlError, Method, SignedUrl

ROLE_SECONDS = 3600
RENEW_SECONDS = 2700.0
_TIMEOUT_SECONDS = 10.0
_MAX_ANSWER = 64 * 1024
_VERSION = "2011-06-15"
_FORM = "application/x-www-form-urlencoded"


@dataclass(slots=True, kw_only=True)
class RoleStore:
    """Signs with credentials of a role, asked for once per job and purpose."""

    settings: S3Settings
    prefix: str
    now: Callable[[], datetime]
    expires_seconds: int
    renew_seconds: float | None = RENEW_SECONDS
    _known: dict[tuple[str, bool], S3Settings] = field(default_factory=dict, repr=False)

    def again(self) -> RoleStore:
        """Return a store that assumes the roles anew."""
        return replace(self, _known={})

    def sign(self, method: Method, name: str, *, key: str = "") -> SignedUrl:
        """Return the URL of the object ``name``.

        Raises:
            CacheUrlError: the role is refused.
        """
        uploads = method is Method.PUT
        role = self.settings.upload_role if uploads else ""
        role = role or self.settings.role
        settings = self._in_role(role, uploads) if role else self.settings
        seconds = min(self.expires_seconds, ROLE_SECONDS) if role else self.expires_seconds
        return s3.S3Store(settings=settings, now=self.now, expires_seconds=seconds).sign(
            method, name, key=key
        )

    def _in_role(self, role: str, uploads: bool) -> S3Settings:
        if (role, uploads) not in self._known:
            policy = _policy(self.settings, role, self.prefix, uploads=uploads)
            self._known[role, uploads] = assume(self.settings, role, policy, self.now())
        return self._known[role, uploads]


def assume(settings: S3Settings, role: str, policy: str, now: datetime) -> S3Settings:
    """Return the settings with the credentials of ``role``, limited by ``policy``.

    Raises:
        CacheUrlError: no answer, or a refusal; in AWS's words.
    """
    form = urlencode({
        "Action": "AssumeRole", "Version": _VERSION, "RoleArn": role, "Policy": policy,
        "RoleSessionName": "podlane", "DurationSeconds": str(ROLE_SECONDS),
    })  # fmt: skip
    is_http, host = _endpoint(settings)
    make = http.client.HTTPConnection if is_http else http.client.HTTPSConnection
    connection = make(host, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("POST", "/", form.encode(), _signed_headers(settings, host, form, now))
        answer = connection.getresponse()
        text = answer.read(_MAX_ANSWER).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise CacheUrlError(f"the role {role} cannot be assumed: {host}: {error}") from error
    finally:
        connection.close()
    if answer.status != http.client.OK:
        said = _element(text, "Message") or f"the answer was {answer.status}"
        raise CacheUrlError(f"the role {role} cannot be assumed: {said}")
    return replace(
        settings,
        access_key=_element(text, "AccessKeyId"),
        secret_key=_element(text, "SecretAccessKey"),
        session_token=_element(text, "SessionToken"),
    )


def _endpoint(settings: S3Settings) -> tuple[bool, str]:
    """Return whether to speak plain HTTP, and where: AWS's service, or the server itself."""
    place = s3.endpoint_of(replace(settings, path_style=True, accelerate=False))
    if place.host.endswith(s3.AWS):
        return False, f"sts.{settings.region or s3.DEFAULT_REGION}.{s3.AWS}"
    return place.scheme == "http", place.host


def _policy(settings: S3Settings, role: str, prefix: str, *, uploads: bool) -> str:
    partition = role.split(":")[1] if ":" in role else "aws"
    resource = f"arn:{partition}:s3:::{settings.bucket}/{prefix}/*"
    action = "s3:PutObject" if uploads else "s3:GetObject"
    statements = [{"Effect": "Allow", "Action": [action], "Resource": resource}]
    if settings.encryption_key_id:
        keys = ["kms:Decrypt", "kms:GenerateDataKey"]
        key = {"Effect": "Allow", "Action": keys, "Resource": settings.encryption_key_id}
        statements.append(key)
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def _signed_headers(settings: S3Settings, host: str, form: str, now: datetime) -> dict[str, str]:
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{settings.region or s3.DEFAULT_REGION}/sts/aws4_request"
    headers = {"content-type": _FORM, "host": host, "x-amz-date": stamp}
    if settings.session_token:
        headers["x-amz-security-token"] = settings.session_token
    names = ";".join(sorted(headers))
    request = "\n".join([
        "POST", "/", "", *(f"{name}:{headers[name]}" for name in sorted(headers)),
        "", names, hashlib.sha256(form.encode()).hexdigest(),
    ])  # fmt: skip
    digest = hashlib.sha256(request.encode()).hexdigest()
    to_sign = f"{s3.ALGORITHM}\n{stamp}\n{scope}\n{digest}"
    key = s3.signing_key(settings.secret_key, scope)
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    credential = f"{settings.access_key}/{scope}"
    headers["authorization"] = (
        f"{s3.ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"
    )
    return headers


def _element(text: str, name: str) -> str:
    found = re.search(rf"<{name}>([^<]*)</{name}>", text)
    return found[1].strip() if found else ""
