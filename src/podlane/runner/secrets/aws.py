"""AWS Secrets Manager, with the credentials that STS gives for the job's token.

API: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html; requests are
signed as in https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import msgspec

from podlane.kit.errors import PermanentError
from podlane.kit.jsonvalue import Json, obj, text
from podlane.model.secrets import AwsSecret
from podlane.runner.secrets.http import FORM, Answer, Ask, Http, SecretMissingError, failure, form

_SERVICE = "secretsmanager"
_MISSING = "ResourceNotFoundException"
_MAX_SESSION_NAME = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsEndpoints:
    """Where AWS is; ``{region}`` is filled in."""

    sts: str = "https://sts.{region}.amazonaws.com"
    secrets: str = "https://secretsmanager.{region}.amazonaws.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Temporary credentials."""

    access: str
    secret: str
    session: str


AMAZON = AwsEndpoints()


async def read(
    secret: AwsSecret,
    http: Http,
    *,
    session_name: str,
    now: datetime,
    endpoints: AwsEndpoints = AMAZON,
) -> str:
    """Return the value of a secret, or of one field of it.

    Raises:
        SecretMissingError: there is no such secret, or no such field.
        PermanentError, TemporaryError: AWS does not answer as it should.
    """
    region = secret.region or secret.server.region
    if not region:
        raise PermanentError(
            "no AWS region is given", hint="set AWS_REGION, or region of the secret"
        )
    keys = await _assume_role(secret, http, session_name, endpoints.sts.format(region=region))
    wanted = {
        "SecretId": secret.secret_id,
        "VersionId": secret.version_id,
        "VersionStage": secret.version_stage,
    }
    body = msgspec.json.encode({name: value for name, value in wanted.items() if value})
    url = endpoints.secrets.format(region=region) + "/"
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": "secretsmanager.GetSecretValue",
    }
    signed = sign(url, headers, body, keys=keys, region=region, now=now)
    ask = Ask(
        what="read from AWS Secrets Manager", method="POST", url=url, headers=signed, body=body
    )
    answer = await http.send(ask)
    if _MISSING in text(answer.json, "__type"):
        raise SecretMissingError(f"no secret {secret.secret_id} in {region}")
    if not answer.ok:
        raise failure(ask, answer, text(answer.json, "__type"))
    return _value(answer, secret)


def _value(answer: Answer, secret: AwsSecret) -> str:
    value = text(answer.json, "SecretString")
    if not value:
        try:
            value = base64.b64decode(text(answer.json, "SecretBinary")).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise PermanentError(f"the secret {secret.secret_id} is no text") from error
    if not secret.field:
        return value
    try:
        document: Json = msgspec.json.decode(value)
    except msgspec.DecodeError as error:
        raise PermanentError(
            f"the secret {secret.secret_id} is no JSON, so it has no field {secret.field!r}"
        ) from error
    found = obj(document).get(secret.field)
    if found is None:
        raise SecretMissingError(f"the secret {secret.secret_id} has no field {secret.field!r}")
    return found if isinstance(found, str) else msgspec.json.encode(found).decode()


async def _assume_role(secret: AwsSecret, http: Http, session_name: str, sts: str) -> Keys:
    server = secret.server
    role = secret.role_arn or server.role_arn
    if not server.jwt or not role:
        raise PermanentError(
            "AWS needs a role and a token of the job",
            hint="give the secret a `token`, and set AWS_ROLE_ARN or role_arn",
        )
    name = secret.role_session_name or server.role_session_name or session_name
    ask = Ask(
        what="log in to AWS",
        method="POST",
        url=f"{sts}/",
        headers=FORM | {"Accept": "application/xml"},
        body=form(
            Action="AssumeRoleWithWebIdentity",
            Version="2011-06-15",
            RoleArn=role,
            RoleSessionName=name[:_MAX_SESSION_NAME],
            WebIdentityToken=server.jwt,
        ),
    )
    answer = await http.send(ask)
    found = _elements(answer.body)
    if not answer.ok or "SecretAccessKey" not in found:
        raise failure(ask, answer, found.get("Code", ""))
    return Keys(
        access=found.get("AccessKeyId", ""),
        secret=found["SecretAccessKey"],
        session=found.get("SessionToken", ""),
    )


def _elements(body: bytes) -> dict[str, str]:
    try:
        root = ET.fromstring(body)  # noqa: S314 - AWS's own answer over TLS
    except ET.ParseError:
        return {}
    return {element.tag.rpartition("}")[2]: element.text or "" for element in root.iter()}


def sign(
    url: str, headers: dict[str, str], body: bytes, *, keys: Keys, region: str, now: datetime
) -> dict[str, str]:
    """Return ``headers`` with a signature version 4 of a POST to ``url`` (no query)."""
    parts = urlsplit(url)
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    signed = {
        "host": parts.netloc,
        "x-amz-date": stamp,
        "x-amz-security-token": keys.session,
        **{name.lower(): value for name, value in headers.items()},
    }
    if not keys.session:
        del signed["x-amz-security-token"]
    names = sorted(signed)
    canonical = "\n".join(
        [
            *("POST", parts.path, ""),
            *(f"{name}:{signed[name]}" for name in names),
            *("", ";".join(names), hashlib.sha256(body).hexdigest()),
        ]
    )
    scope = f"{stamp[:8]}/{region}/{_SERVICE}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = b"AWS4" + keys.secret.encode()
    for part in scope.split("/"):
        key = _mac(key, part)
    signature = _mac(key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}").hex()
    signed["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys.access}/{scope}, "
        f"SignedHeaders={';'.join(names)}, Signature={signature}"
    )
    del signed["host"]
    return signed


def _mac(key: bytes, data: str) -> bytes:
    return hmac.new(key, data.encode(), hashlib.sha256).digest()
