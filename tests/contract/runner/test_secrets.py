"""Each keeper of secrets against a small server that speaks its protocol on loopback."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from podlane.kit.errors import PermanentError, PodlaneError
from podlane.model.job import Variable
from podlane.model.secrets import (
    AwsSecret,
    AwsServer,
    AzureSecret,
    AzureServer,
    GcpSecret,
    GcpServer,
    GitlabSecret,
    InlineAuth,
    OpenBaoServer,
    Secret,
    VaultAuth,
    VaultEngine,
    VaultSecret,
    VaultServer,
)
from podlane.model.variables import Variables
from podlane.runner.secrets.aws import AwsEndpoints, Keys, sign
from podlane.runner.secrets.gcp import GcpEndpoints
from podlane.runner.secrets.http import Ask, SecretMissingError, open_http
from podlane.runner.secrets.resolve import Endpoints, SecretParts, resolve
from podlane.runner.secrets.wish import Wish

JWT = "eyJ.the-token-of-the-job.sig"
NOW = 1_700_000_000.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Stopped:
    def now(self) -> float:
        return NOW


@dataclass
class Keeper:
    """A server: ``answers`` by method and path, and what it was asked."""

    url: str = ""
    answers: dict[tuple[str, str], Callable[[Any], web.Response]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        key = (request.method, request.path)
        self.asked.append(key)
        await request.read()
        answer = self.answers.get(key)
        return answer(request) if answer else web.json_response({"errors": []}, status=404)


@asynccontextmanager
async def keeper() -> AsyncIterator[Keeper]:
    made = Keeper()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield made
    finally:
        await runner.cleanup()


@dataclass
class Told:
    said: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)


async def read(server: Keeper, secret: Secret, told: Told | None = None, **wish: Any) -> Variable:
    told = told or Told()

    async def say(text: str) -> None:
        told.said.append(text)

    async def warn(text: str) -> None:
        told.warned.append(text)

    variables = Variables(
        [
            Variable(key="ID_TOKEN", value=JWT, masked=True),
            Variable(key="SERVER", value=server.url),
            Variable(key="CI_JOB_ID", value="7"),
            Variable(key="CI_PROJECT_ID", value="8"),
            Variable(key="CI_SERVER_HOST", value="gitlab.example.com"),
        ]
    )
    parts = SecretParts(
        clock=Stopped(),
        random=random.Random(1),
        endpoints=Endpoints(
            azure=f"{server.url}/login",
            gcp=GcpEndpoints(sts=f"{server.url}/sts", secrets=f"{server.url}/gsm"),
            aws=AwsEndpoints(sts=server.url + "/{region}-sts", secrets=server.url + "/{region}-sm"),
        ),
    )
    made = Wish(secrets={"PASSWORD": secret}, variables=variables, **wish)
    found = await resolve(made, parts, say=say, warn=warn)
    assert len(found) == 1, told
    return found[0]


def vault_secret(engine: str = "kv-v2", field: str = "password", **fields: Any) -> Secret:
    auth = VaultAuth(name="jwt", path="gitlab", data={"jwt": "$ID_TOKEN", "role": "reader"})
    server = VaultServer(url="${SERVER}/", namespace="team", auth=auth)
    vault = VaultSecret(
        server=server, engine=VaultEngine(name=engine, path="kv"), path="prod/db", field=field
    )
    return Secret(vault=vault, **fields)


def add_vault(server: Keeper, engine: str = "kv-v2") -> None:
    def login(request: web.Request) -> web.Response:
        data = json.loads(request._read_bytes or b"{}")
        assert request.headers["X-Vault-Namespace"] == "team"
        if data != {"jwt": JWT, "role": "reader"}:
            return web.json_response({"errors": ["permission denied"]}, status=400)
        return web.json_response({"auth": {"client_token": "hvs.1"}})

    def secret(request: web.Request) -> web.Response:
        assert request.headers["X-Vault-Token"] == "hvs.1"
        data: Any = {"password": "s3cr3t", "port": 5432}
        if engine == "kv-v2":
            data = {"data": data, "metadata": {}}
        return web.json_response({"data": data})

    path = "/v1/kv/data/prod/db" if engine == "kv-v2" else "/v1/kv/prod/db"
    server.answers[("PUT", "/v1/auth/gitlab/login")] = login
    server.answers[("GET", path)] = secret


@pytest.mark.anyio
@pytest.mark.parametrize("engine", ["kv-v2", "kv-v1", "generic"])
async def test_vault_gives_a_masked_file_variable(engine: str) -> None:
    async with keeper() as server:
        add_vault(server, engine)
        found = await read(server, vault_secret(engine))
    assert found == Variable(key="PASSWORD", value="s3cr3t", file=True, masked=True, raw=True)


@pytest.mark.anyio
async def test_file_false_gives_an_ordinary_variable_and_numbers_are_written_as_json() -> None:
    async with keeper() as server:
        add_vault(server)
        found = await read(server, vault_secret(field="port", file=False))
    assert (found.value, found.file) == ("5432", False)


@pytest.mark.anyio
@pytest.mark.parametrize("field", ["password", "nothing"])
async def test_a_missing_secret_fails_or_is_skipped_as_the_flag_says(field: str) -> None:
    told = Told()
    async with keeper() as server:
        add_vault(server)
        if field == "password":
            del server.answers[("GET", "/v1/kv/data/prod/db")]
        with pytest.raises(SecretMissingError, match="secret not found: PASSWORD") as caught:
            await read(server, vault_secret(field=field))
        with pytest.raises(AssertionError):  # nothing was found, and nothing raised
            await read(server, vault_secret(field=field), told, fail_if_missing=False)
    assert "kv/data/prod/db" in caught.value.message
    assert len(told.warned) == 1


@pytest.mark.anyio
async def test_a_refused_login_is_told_in_vaults_words_without_the_token() -> None:
    async with keeper() as server:
        add_vault(server)
        auth = VaultAuth(name="jwt", path="gitlab", data={"jwt": "$ID_TOKEN", "role": "other"})
        vault = VaultSecret(server=VaultServer(url=server.url, namespace="team", auth=auth))
        with pytest.raises(PermanentError, match="permission denied") as caught:
            await read(server, Secret(vault=vault))
    assert JWT not in caught.value.message
    assert "resolving secrets: PASSWORD: log in to Vault with jwt" in caught.value.message


@pytest.mark.anyio
async def test_a_server_that_is_away_is_named() -> None:
    async with keeper() as server:
        pass
    with pytest.raises(PodlaneError, match=r"no answer from http://127\.0\.0\.1"):
        await read(server, vault_secret())


@pytest.mark.anyio
async def test_gitlabs_secrets_manager_logs_in_within_the_request() -> None:
    def secret(request: web.Request) -> web.Response:
        parts = {
            name: json.loads(base64.urlsafe_b64decode(value + "=="))
            for name, value in request.headers.items()
            if name.startswith("X-Vault-Inline-Auth-Parameter-")
        }
        assert parts["X-Vault-Inline-Auth-Parameter-jwt"] == {"key": "jwt", "value": JWT}
        assert parts["X-Vault-Inline-Auth-Parameter-role"] == {"key": "role", "value": "project_1"}
        assert request.headers["X-Vault-Inline-Auth-Path"] == "auth/gitlab_rails_jwt/login"
        return web.json_response({"data": {"data": {"value": "from openbao"}}})

    auth = InlineAuth(path="auth/gitlab_rails_jwt/login", jwt="$ID_TOKEN", role="project_1")
    given = GitlabSecret(
        server=OpenBaoServer(url="$SERVER", inline_auth=auth),
        engine=VaultEngine(name="kv-v2", path="secrets/kv"), path="explicit/NAME", field="value",
    )  # fmt: skip
    async with keeper() as server:
        server.answers[("GET", "/v1/secrets/kv/data/explicit/NAME")] = secret
        found = await read(server, Secret(gitlab_secrets_manager=given))
    assert found.value == "from openbao"


@pytest.mark.anyio
@pytest.mark.parametrize("version", ["", "v1"])
async def test_azure_key_vault(version: str) -> None:
    def login(request: web.Request) -> web.Response:
        form = dict(pair.split("=") for pair in (request._read_bytes or b"").decode().split("&"))
        assert form["client_assertion"] == JWT
        assert form["scope"] == "https%3A%2F%2Fvault.azure.net%2F.default"
        return web.json_response({"access_token": "azure-token"})

    def secret(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer azure-token"
        assert request.query["api-version"]
        return web.json_response({"value": "from azure"})

    given = AzureSecret(
        name="name", version=version,
        server=AzureServer(client_id="c", tenant_id="t", jwt="$ID_TOKEN", url="$SERVER"),
    )  # fmt: skip
    async with keeper() as server:
        server.answers[("POST", "/login/t/oauth2/v2.0/token")] = login
        path = f"/secrets/name/{version}" if version else "/secrets/name"
        server.answers[("GET", path)] = secret
        found = await read(server, Secret(azure_key_vault=given))
        assert found.value == "from azure"
        del server.answers[("GET", path)]
        with pytest.raises(SecretMissingError):
            await read(server, Secret(azure_key_vault=given))


@pytest.mark.anyio
async def test_google_secret_manager() -> None:
    def login(request: web.Request) -> web.Response:
        data = json.loads(request._read_bytes or b"{}")
        assert data["subjectToken"] == JWT
        assert data["audience"] == (
            "//iam.googleapis.com/projects/42/locations/global/workloadIdentityPools/pool"
            "/providers/provider"
        )
        return web.json_response({"access_token": "google-token"})

    def secret(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer google-token"
        return web.json_response({"payload": {"data": base64.b64encode(b"from google").decode()}})

    given = GcpSecret(
        name="name",
        server=GcpServer(
            project_number="42", workload_identity_federation_pool_id="pool",
            workload_identity_federation_provider_id="provider", jwt="$ID_TOKEN",
        ),
    )  # fmt: skip
    async with keeper() as server:
        server.answers[("POST", "/sts/v1/token")] = login
        path = "/gsm/v1/projects/42/secrets/name/versions/latest:access"
        server.answers[("GET", path)] = secret
        found = await read(server, Secret(gcp_secret_manager=given))
        assert found.value == "from google"
        del server.answers[("GET", path)]
        with pytest.raises(SecretMissingError):
            await read(server, Secret(gcp_secret_manager=given))


STS = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>AKID</AccessKeyId>
<SecretAccessKey>KEY</SecretAccessKey><SessionToken>SESSION</SessionToken></Credentials>
</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""


@pytest.mark.anyio
async def test_aws_secrets_manager() -> None:
    def login(request: web.Request) -> web.Response:
        form = dict(pair.split("=") for pair in (request._read_bytes or b"").decode().split("&"))
        assert form["WebIdentityToken"] == JWT
        assert form["RoleSessionName"] == "7-8-gitlab.example.com"
        return web.Response(text=STS, content_type="text/xml")

    def secret(request: web.Request) -> web.Response:
        body = request._read_bytes or b""
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": "secretsmanager.GetSecretValue",
        }
        keys = Keys(access="AKID", secret="KEY", session="SESSION")
        now = datetime.fromtimestamp(NOW, UTC)
        wanted = sign(str(request.url), headers, body, keys=keys, region="eu-1", now=now)
        assert request.headers["Authorization"] == wanted["Authorization"]
        if json.loads(body)["SecretId"] != "name":
            return web.json_response({"__type": "ResourceNotFoundException"}, status=400)
        return web.json_response({"SecretString": '{"user": "u", "password": "from aws"}'})

    def given(name: str, field: str = "password") -> Secret:
        server = AwsServer(region="eu-1", jwt="$ID_TOKEN", role_arn="arn:aws:iam::1:role/r")
        return Secret(aws_secrets_manager=AwsSecret(secret_id=name, field=field, server=server))

    async with keeper() as server:
        server.answers[("POST", "/eu-1-sts/")] = login
        server.answers[("POST", "/eu-1-sm/")] = secret
        assert (await read(server, given("name"))).value == "from aws"
        for missing in (given("other"), given("name", "nothing")):
            with pytest.raises(SecretMissingError):
                await read(server, missing)


def test_a_signature_is_the_one_of_amazons_example() -> None:
    keys = Keys(access="AKIDEXAMPLE", secret="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", session="")
    now = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
    signed = sign("https://example.amazonaws.com/", {}, b"", keys=keys, region="us-east-1", now=now)
    # post-vanilla of Amazon's test suite, but for the service's name in the scope
    assert signed["Authorization"].startswith(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/secretsmanager/aws4_request, "
        "SignedHeaders=host;x-amz-date, Signature="
    )


@pytest.mark.anyio
async def test_a_secret_without_a_provider_is_refused() -> None:
    async with keeper() as server:
        with pytest.raises(PermanentError, match="no provider that this runner knows"):
            await read(server, Secret())


@pytest.mark.anyio
async def test_a_long_answer_is_read_to_its_end() -> None:
    long = bytes(range(256)) * 3000
    async with keeper() as server, open_http() as http:
        server.answers["GET", "/long"] = lambda _: web.Response(body=long)
        answer = await http.send(Ask(what="a secret", method="GET", url=f"{server.url}/long"))
    assert answer.body == long


@pytest.mark.anyio
async def test_an_answer_without_end_is_refused() -> None:
    async with keeper() as server, open_http() as http:
        server.answers["GET", "/endless"] = lambda _: web.Response(body=bytes(9 * 1024 * 1024))
        with pytest.raises(PermanentError, match=r"a secret: the answer of .* is longer than"):
            await http.send(Ask(what="a secret", method="GET", url=f"{server.url}/endless"))
