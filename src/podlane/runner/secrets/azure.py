"""Azure Key Vault, with a token that Microsoft's identity platform gives for the job's own.

API: https://learn.microsoft.com/en-us/rest/api/keyvault/secrets/get-secret.
"""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from podlane.kit.jsonvalue import text
from podlane.model.secrets import AzureSecret
from podlane.runner.secrets.http import FORM, Ask, Http, SecretMissingError, failure, form

AUTHORITY = "https://login.microsoftonline.com"
_VERSION = "7.4"
_NOT_FOUND = 404
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


async def read(secret: AzureSecret, http: Http, *, authority: str = AUTHORITY) -> str:
    """Return the value of a secret.

    Raises:
        SecretMissingError: there is no such secret.
        PermanentError, TemporaryError: Azure does not answer as it should.
    """
    server = secret.server
    login = Ask(
        what="log in to Azure",
        method="POST",
        url=f"{authority.rstrip('/')}/{quote(server.tenant_id, safe='')}/oauth2/v2.0/token",
        headers=FORM,
        body=form(
            grant_type="client_credentials",
            client_id=server.client_id,
            client_assertion_type=_ASSERTION,
            client_assertion=server.jwt,
            scope=f"{_audience(server.url)}/.default",
        ),
    )
    answer = await http.send(login)
    token = text(answer.json, "access_token")
    if not answer.ok or not token:
        raise failure(login, answer, text(answer.json, "error"))
    name = f"{quote(secret.name, safe='')}/{quote(secret.version, safe='')}".rstrip("/")
    ask = Ask(
        what="read from Azure Key Vault",
        method="GET",
        url=f"{server.url.rstrip('/')}/secrets/{name}?api-version={_VERSION}",
        headers={"Authorization": f"Bearer {token}"},
    )
    answer = await http.send(ask)
    if answer.status == _NOT_FOUND:
        raise SecretMissingError(f"no secret {name} in {server.url}")
    if not answer.ok:
        raise failure(ask, answer, text(answer.json, "error", "code"))
    return text(answer.json, "value")


def _audience(url: str) -> str:
    """Return whom a token is for: the vault's cloud, ``https://vault.azure.net`` where unknown."""
    host = urlsplit(url).hostname or ""
    cloud = host.partition(".")[2]
    return f"https://{cloud}" if cloud.startswith("vault.") else "https://vault.azure.net"
