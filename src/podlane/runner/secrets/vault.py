"""HashiCorp Vault, and GitLab's secrets manager, which is OpenBao with a login in each request.

API: https://developer.hashicorp.com/vault/api-docs, https://openbao.org/docs/rfcs/inline-auth.
"""

from __future__ import annotations

import base64
from urllib.parse import quote

import msgspec

from podlane.kit.errors import PermanentError
from podlane.kit.jsonvalue import JsonObject, items, obj, text
from podlane.model.secrets import GitlabSecret, VaultEngine, VaultSecret, VaultServer
from podlane.runner.secrets.http import Answer, Ask, Http, SecretMissingError, failure

_NOT_FOUND = 404
_ENGINES = ("kv-v2", "kv-v1", "generic")
_LOGIN_FAILED = "X-Vault-Inline-Auth-Failed"


class Vault:
    """Reads secrets of one job; logs in once at each server."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._tokens: dict[bytes, str] = {}

    async def read(self, secret: VaultSecret) -> str:
        """Return the value of one field.

        Raises:
            SecretMissingError: there is no such secret, or no such field.
            PermanentError, TemporaryError: Vault does not answer as it should.
        """
        server = secret.server
        key = msgspec.json.encode(server)
        if key not in self._tokens:
            self._tokens[key] = await self._login(server)
        headers = {"X-Vault-Token": self._tokens[key], **_namespace(server.namespace)}
        return await self._field(server.url, headers, secret)

    async def read_inline(self, secret: GitlabSecret) -> str:
        """As ``read``, from GitLab's secrets manager."""
        auth = secret.server.inline_auth
        path = auth.path or f"auth/{auth.auth_mount}/login"
        headers = {
            "X-Vault-Inline-Auth-Path": path,
            "X-Vault-Inline-Auth-Parameter-jwt": _parameter("jwt", auth.jwt),
            **_namespace(secret.server.namespace),
        }
        if auth.role:
            headers["X-Vault-Inline-Auth-Parameter-role"] = _parameter("role", auth.role)
        return await self._field(secret.server.url, headers, secret)

    async def _login(self, server: VaultServer) -> str:
        auth = server.auth
        mount = (auth.path or auth.name).strip("/")
        data = dict(auth.data)
        path = f"auth/{mount}/login"
        if auth.name == "userpass":
            path += f"/{quote(str(data.pop('username', '')), safe='')}"
        ask = Ask(
            what=f"log in to Vault with {auth.name}",
            method="PUT",
            url=_url(server.url, path),
            headers={"Content-Type": "application/json", **_namespace(server.namespace)},
            body=msgspec.json.encode(data),
        )
        answer = await self._http.send(ask)
        token = text(answer.json, "auth", "client_token")
        if not answer.ok or not token:
            raise failure(ask, answer, _said(answer))
        return token

    async def _field(
        self, url: str, headers: dict[str, str], secret: VaultSecret | GitlabSecret
    ) -> str:
        path = _path(secret.engine, secret.path)
        ask = Ask(what="read from Vault", method="GET", url=_url(url, path), headers=headers)
        answer = await self._http.send(ask)
        if answer.status == _NOT_FOUND and not answer.headers.get(_LOGIN_FAILED):
            raise SecretMissingError(f"no secret at {path}")
        if not answer.ok:
            raise failure(ask, answer, _said(answer))
        return _value(answer.json, path, secret)


def _value(document: JsonObject, path: str, secret: VaultSecret | GitlabSecret) -> str:
    data = obj(document, "data")
    if secret.engine.name == "kv-v2":
        data = obj(data, "data")
    value = data.get(secret.field)
    if value is None:
        raise SecretMissingError(f"the secret at {path} has no field {secret.field!r}")
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _path(engine: VaultEngine, path: str) -> str:
    if engine.name not in _ENGINES:
        known = ", ".join(_ENGINES)
        raise PermanentError(f"unknown secrets engine {engine.name!r}", hint=f"use one of {known}")
    inner = "data/" if engine.name == "kv-v2" else ""
    return f"{engine.path.strip('/')}/{inner}{path.strip('/')}"


def _url(base: str, path: str) -> str:
    return f"{base.rstrip('/')}/v1/{quote(path)}"


def _namespace(name: str) -> dict[str, str]:
    return {"X-Vault-Namespace": name} if name else {}


def _parameter(key: str, value: str) -> str:
    raw = msgspec.json.encode({"key": key, "value": value})
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _said(answer: Answer) -> str:
    found = [entry for entry in items(answer.json, "errors") if isinstance(entry, str)]
    return "; ".join(entry.strip() for entry in found)
