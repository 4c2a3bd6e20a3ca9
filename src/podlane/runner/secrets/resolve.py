"""All secrets of a job to masked variables."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias

import anyio
import msgspec

from podlane.kit.backoff import Backoff, Random
from podlane.kit.clock import Clock
from podlane.kit.errors import PermanentError, PodlaneError
from podlane.kit.jsonvalue import Json
from podlane.model.job import Variable
from podlane.model.secrets import Secret
from podlane.model.variables import Variables
from podlane.runner.secrets import aws, azure, gcp
from podlane.runner.secrets.aws import AwsEndpoints
from podlane.runner.secrets.gcp import GcpEndpoints
from podlane.runner.secrets.http import Http, SecretMissingError, open_http
from podlane.runner.secrets.vault import Vault
from podlane.runner.secrets.wish import Wish

OpenHttp: TypeAlias = Callable[[], AbstractAsyncContextManager[Http]]
Say: TypeAlias = Callable[[str], Awaitable[None]]
_RETRY = Backoff(first_seconds=5.0, max_seconds=300.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where the clouds' own services are."""

    azure: str = azure.AUTHORITY
    gcp: GcpEndpoints = gcp.GOOGLE
    aws: AwsEndpoints = aws.AMAZON


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretParts:
    """What resolving works with."""

    clock: Clock
    random: Random
    open_http: OpenHttp = open_http
    endpoints: Endpoints = field(default_factory=Endpoints)


async def resolve(wish: Wish, parts: SecretParts, *, say: Say, warn: Say) -> tuple[Variable, ...]:
    """Return a masked variable for every secret.

    Raises:
        PodlaneError: a secret cannot be read, or is missing and must not be.
    """
    found = []
    async with parts.open_http() as http:
        reader = _Reader(http, parts, wish.variables)
        for name, secret in wish.secrets.items():
            await say(f'Resolving secret "{name}"...')
            try:
                value = await _attempts(reader, secret, wish, say)
            except SecretMissingError as error:
                text = f"secret not found: {name}: {error.message}"
                if wish.fail_if_missing:
                    raise SecretMissingError(
                        f"resolving secrets: {text}", hint=error.hint
                    ) from error
                await warn(text)
                continue
            except PodlaneError as error:
                text = f"resolving secrets: {name}: {error.message}"
                raise PermanentError(text, hint=error.hint) from error
            is_file = secret.file is not False
            found.append(Variable(key=name, value=value, file=is_file, masked=True, raw=True))
    return tuple(found)


async def _attempts(reader: _Reader, secret: Secret, wish: Wish, say: Say) -> str:
    for attempt in range(1, wish.attempts):
        try:
            return await reader.read(secret, say)
        except SecretMissingError:
            raise
        except PodlaneError as error:
            await say(f"{error.message}\nRetrying...")
            if wish.pauses:
                await anyio.sleep(_RETRY.delay(attempt, reader.random))
    return await reader.read(secret, say)


class _Reader:
    """Reads one secret after another; remembers logins."""

    def __init__(self, http: Http, parts: SecretParts, variables: Variables) -> None:
        self._http = http
        self._parts = parts
        self._variables = variables
        self._vault = Vault(http)
        self.random = parts.random

    async def read(self, given: Secret, say: Say) -> str:
        """Return the value of a secret, from the provider that it names."""
        secret = expanded(given, self._variables)
        http, ends = self._http, self._parts.endpoints
        if secret.vault is not None:
            await say('Using "vault" secret resolver...')
            return await self._vault.read(secret.vault)
        if secret.gitlab_secrets_manager is not None:
            await say('Using "gitlab_secrets_manager" secret resolver...')
            return await self._vault.read_inline(secret.gitlab_secrets_manager)
        if secret.azure_key_vault is not None:
            await say('Using "azure_key_vault" secret resolver...')
            return await azure.read(secret.azure_key_vault, http, authority=ends.azure)
        if secret.gcp_secret_manager is not None:
            await say('Using "gcp_secret_manager" secret resolver...')
            return await gcp.read(secret.gcp_secret_manager, http, endpoints=ends.gcp)
        if secret.aws_secrets_manager is not None:
            await say('Using "aws_secrets_manager" secret resolver...')
            names = ("CI_JOB_ID", "CI_PROJECT_ID", "CI_SERVER_HOST")
            return await aws.read(
                secret.aws_secrets_manager,
                http,
                session_name="-".join(map(self._variables.get, names)),
                now=datetime.fromtimestamp(self._parts.clock.now(), UTC),
                endpoints=ends.aws,
            )
        raise PermanentError(
            "the secret names no provider that this runner knows",
            hint="use vault, gitlab_secrets_manager, azure_key_vault, gcp_secret_manager or "
            "aws_secrets_manager",
        )


def expanded(secret: Secret, variables: Variables) -> Secret:
    """Return the secret with the job's variables put into every text of it."""
    raw: Json = msgspec.to_builtins(secret)
    return msgspec.convert(_expand(raw, variables), Secret)


def _expand(value: Json, variables: Variables) -> Json:
    if isinstance(value, str):
        return variables.expand(value)
    if isinstance(value, dict):
        return {key: _expand(entry, variables) for key, entry in value.items()}
    return value
