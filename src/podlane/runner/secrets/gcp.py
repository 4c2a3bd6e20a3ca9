"""Google Secret Manager, with a token of Google's Security Token Service for the job's own.

API: https://cloud.google.com/secret-manager/docs/reference/rest, https://cloud.google.com/iam/docs/reference/sts/rest.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from urllib.parse import quote

import msgspec

from podlane.kit.errors import PermanentError
from podlane.kit.jsonvalue import text
from podlane.model.secrets import GcpSecret, GcpServer
from podlane.runner.secrets.http import Ask, Http, SecretMissingError, failure

_NOT_FOUND = 404
_TYPE = "urn:ietf:params:oauth:token-type"


@dataclass(frozen=True, slots=True, kw_only=True)
class GcpEndpoints:
    """Where Google's services are."""

    sts: str = "https://sts.googleapis.com"
    secrets: str = "https://secretmanager.googleapis.com"


GOOGLE = GcpEndpoints()


async def read(secret: GcpSecret, http: Http, *, endpoints: GcpEndpoints = GOOGLE) -> str:
    """Return the value of a secret.

    Raises:
        SecretMissingError: there is no such secret.
        PermanentError, TemporaryError: Google does not answer as it should.
    """
    token = await _login(secret.server, http, endpoints)
    name = secret.name
    if not name.startswith("projects/"):
        name = f"projects/{secret.server.project_number}/secrets/{name}"
    name = f"{name}/versions/{secret.version or 'latest'}"
    ask = Ask(
        what="read from Google Secret Manager",
        method="GET",
        url=f"{endpoints.secrets}/v1/{quote(name)}:access",
        headers={"Authorization": f"Bearer {token}"},
    )
    answer = await http.send(ask)
    if answer.status == _NOT_FOUND:
        raise SecretMissingError(f"no secret {name}")
    if not answer.ok:
        raise failure(ask, answer, text(answer.json, "error", "status"))
    try:
        return base64.b64decode(text(answer.json, "payload", "data"), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise PermanentError(f"the secret {name} is no text") from error


async def _login(server: GcpServer, http: Http, endpoints: GcpEndpoints) -> str:
    audience = (
        f"//iam.googleapis.com/projects/{server.project_number}/locations/global/"
        f"workloadIdentityPools/{server.workload_identity_federation_pool_id}/"
        f"providers/{server.workload_identity_federation_provider_id}"
    )
    ask = Ask(
        what="log in to Google Cloud",
        method="POST",
        url=f"{endpoints.sts}/v1/token",
        headers={"Content-Type": "application/json"},
        body=msgspec.json.encode(
            {
                "audience": audience,
                "grantType": "urn:ietf:params:oauth:grant-type:token-exchange",
                "requestedTokenType": f"{_TYPE}:access_token",
                "scope": "https://www.googleapis.com/auth/cloud-platform",
                "subjectToken": server.jwt,
                "subjectTokenType": f"{_TYPE}:jwt",
            }
        ),
    )
    answer = await http.send(ask)
    token = text(answer.json, "access_token")
    if not answer.ok or not token:
        raise failure(ask, answer, text(answer.json, "error"))
    return token
