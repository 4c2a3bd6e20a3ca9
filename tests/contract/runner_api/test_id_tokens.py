"""ID tokens: what a coordinator signs, verified by ``openssl`` with the keys that it publishes."""

from __future__ import annotations

import base64
import json
import random
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from aiohttp import web

from podlane.compiler.compile import compile_pipeline
from podlane.compiler.context import Context
from podlane.coordinator.dispatch import signing
from podlane.gitlab.answers import JobOffered, NoJob
from podlane.kit.clock import SystemClock
from podlane.kit.errors import PermanentError
from podlane.model.job import Job, Variable
from podlane.model.pipeline import DeploymentEnvironment, IdToken, When
from podlane.model.variables import Variables
from podlane.runner.secrets.resolve import SecretParts, resolve
from podlane.runner.secrets.wish import Wish
from tests.contract.runner.test_secrets import keeper
from tests.contract.runner_api.bench import Bench, job, pipeline, running_bench
from tests.fakes.files import MemoryFetcher

pytestmark = pytest.mark.anyio


async def fetched(url: str) -> Any:
    async with aiohttp.ClientSession() as session:
        answer = await session.get(url)
        assert answer.status == 200
        return await answer.json()


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def der(kind: int, content: bytes) -> bytes:
    """Return one element of DER, whose length may take up to two bytes."""
    size = len(content)
    if size < 0x80:
        return bytes((kind, size)) + content
    length = size.to_bytes(2, "big").lstrip(b"\0")
    return bytes((kind, 0x80 | len(length))) + length + content


def public_key_pem(jwk: dict[str, str]) -> str:
    """Return a JWK as the SubjectPublicKeyInfo that ``openssl`` reads."""
    numbers = b"".join(der(2, b"\0" + decoded(jwk[name])) for name in ("n", "e"))
    rsa = bytes.fromhex("300d06092a864886f70d0101010500")
    info = der(0x30, rsa + der(3, b"\0" + der(0x30, numbers)))
    text = base64.encodebytes(info).decode()
    return f"-----BEGIN PUBLIC KEY-----\n{text}-----END PUBLIC KEY-----\n"


def is_good(token: str, jwk: dict[str, str], scratch: Path) -> bool:
    """Whether ``openssl`` finds the token's signature to be of the key."""
    header, payload, signature = token.split(".")
    (scratch / "key.pem").write_text(public_key_pem(jwk))
    (scratch / "signature").write_bytes(decoded(signature))
    done = subprocess.run(
        ["openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "signature"],
        input=f"{header}.{payload}".encode(), cwd=scratch, check=False, capture_output=True,
    )  # fmt: skip
    return done.returncode == 0


async def handed(bench: Bench, **fields: object) -> Job:
    await bench.start(pipeline(job("compile", "build", **fields)))
    return await bench.next_job()


def token_of(taken: Job, name: str) -> tuple[str, dict[str, Any]]:
    (found,) = [one for one in taken.variables if one.key == name]
    assert found.masked
    assert not found.public
    return found.value, json.loads(decoded(found.value.split(".")[1]))


async def test_a_token_is_verified_by_the_published_key_and_by_no_other(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        url = bench.coordinator.url
        taken = await handed(bench, id_tokens={"TOKEN": IdToken(aud="https://vault.example.com")})
        found = await fetched(f"{url}/.well-known/openid-configuration")
        (jwk,) = (await fetched(found["jwks_uri"]))["keys"]
    token, claims = token_of(taken, "TOKEN")
    header = json.loads(decoded(token.split(".")[0]))
    assert header == {"alg": "RS256", "kid": jwk["kid"], "typ": "JWT"}
    assert is_good(token, jwk, tmp_path)
    start, _, signature = token.split(".")
    forged = base64.urlsafe_b64encode(json.dumps(claims | {"ref": "x"}).encode()).decode()
    assert not is_good(f"{start}.{forged.rstrip('=')}.{signature}", jwk, tmp_path)
    other = signing.Signer(tmp_path)
    assert not is_good(token, (await other.public_key()).jwk(), tmp_path)  # type: ignore[arg-type] # all are texts
    assert found["issuer"] == claims["iss"] == url
    assert set(claims) <= set(found["claims_supported"])
    assert found["id_token_signing_alg_values_supported"] == ["RS256"]


async def test_a_token_says_of_the_job_what_gitlabs_does(tmp_path: Path) -> None:
    environment = DeploymentEnvironment(name="review/topic", slug="review-topic")
    async with running_bench(tmp_path) as bench:
        taken = await handed(
            bench,
            id_tokens={"TOKEN": IdToken(aud="a")},
            environment=environment,
            timeout_seconds=90,
        )
        url = bench.coordinator.url
    _, claims = token_of(taken, "TOKEN")
    variables = {one.key: one.value for one in taken.variables}
    now = time.time()
    assert now - 60 < claims["iat"] <= now
    assert claims["exp"] - claims["iat"] == 90
    assert claims["iat"] - claims["nbf"] == 5
    assert len(claims["jti"]) == 36
    host = url.removeprefix("http://")
    expected = {
        "sub": "project_path:local/project:ref_type:branch:ref:main",
        "project_id": "1", "project_path": "local/project", "namespace_id": "1",
        "namespace_path": "local", "job_project_id": "1", "job_project_path": "local/project",
        "job_namespace_id": "1", "job_namespace_path": "local", "user_id": "1",
        "user_login": "local", "user_email": "", "user_access_level": "owner",
        "pipeline_id": variables["CI_PIPELINE_ID"], "pipeline_source": "push",
        "job_id": str(taken.id), "ref": "main", "ref_type": "branch", "ref_path": "refs/heads/main",
        "ref_protected": "true", "environment": "review/topic", "environment_protected": "false",
        "deployment_tier": "development", "environment_action": "start",
        "runner_id": int(variables["CI_RUNNER_ID"]), "runner_environment": "self-hosted",
        "sha": variables["CI_COMMIT_SHA"], "project_visibility": "private",
        "ci_config_ref_uri": f"{host}/local/project//.gitlab-ci.yml@refs/heads/main",
        "ci_config_sha": variables["CI_COMMIT_SHA"],
    }  # fmt: skip
    assert {key: claims[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("audience", "expected"),
    [
        ("https://$HOST/v1", "https://example.com/v1"),
        (("$CI_SERVER_HOST", "plain"), ["127.0.0.1", "plain"]),
        ("x$NOWHERE", "x"),
    ],
)
async def test_variables_in_an_audience_are_expanded(
    tmp_path: Path, audience: str | tuple[str, ...], expected: object
) -> None:
    async with running_bench(tmp_path) as bench:
        taken = await handed(
            bench, id_tokens={"TOKEN": IdToken(aud=audience)},
            variables=(Variable(key="HOST", value="example.com"),),
        )  # fmt: skip
    assert token_of(taken, "TOKEN")[1]["aud"] == expected


async def test_each_token_is_another_and_the_key_stays_and_is_private(tmp_path: Path) -> None:
    names = {"ONE": IdToken(aud="a"), "TWO": IdToken(aud="b")}
    async with running_bench(tmp_path) as bench:
        taken = await handed(bench, id_tokens=names)
        keys = await fetched(f"{bench.coordinator.url}/oauth/discovery/keys")
    first, second = (token_of(taken, name)[1] for name in names)
    assert (first["aud"], second["aud"]) == ("a", "b")
    assert first["jti"] != second["jti"]
    (file,) = (tmp_path / "data").glob("id-token-key*")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    async with running_bench(tmp_path) as bench:
        assert await fetched(f"{bench.coordinator.url}/oauth/discovery/keys") == keys


async def test_a_damaged_key_fails_the_job_in_words(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        (tmp_path / "data" / "id-token-key.pem").write_text("no key\n")
        pipeline_id = await bench.start(pipeline(job("x", id_tokens={"T": IdToken(aud="a")})))
        await bench.client.request_job()
        (result,) = await bench.coordinator.job_results(pipeline_id)
    assert (result.status, result.failure_reason) == ("failed", "runner_system_failure")
    assert "ID tokens cannot be signed: openssl rsa said:" in result.trace
    assert "id-token-key.pem in the data directory may be removed" in result.trace


async def test_without_openssl_the_job_fails_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_bench(tmp_path) as bench:
        pipeline_id = await bench.start(pipeline(job("x", id_tokens={"T": IdToken(aud="a")})))
        monkeypatch.setenv("PATH", str(tmp_path))
        await bench.client.request_job()
        (result,) = await bench.coordinator.job_results(pipeline_id)
    assert result.failure_reason == "runner_system_failure"
    assert "there is no openssl command" in result.trace


async def test_a_vault_that_verifies_the_token_gives_the_secret(tmp_path: Path) -> None:
    configuration = (
        "read:\n  variables: {VAULT_SERVER_URL: %s, VAULT_AUTH_ROLE: reader}\n"
        "  id_tokens: {VAULT_TOKEN: {aud: $VAULT_SERVER_URL}}\n"
        "  secrets: {PASSWORD: {vault: prod/db/password@kv, file: false}}\n  script: [echo]\n"
    )
    async with running_bench(tmp_path) as bench, keeper() as vault:
        (jwk,) = (await fetched(f"{bench.coordinator.url}/oauth/discovery/keys"))["keys"]

        def login(request: web.Request) -> web.Response:
            body = json.loads(request._read_bytes or b"{}")
            claims = json.loads(decoded(body["jwt"].split(".")[1]))
            good = is_good(body["jwt"], jwk, tmp_path) and claims["aud"] == vault.url
            if not good or body["role"] != "reader":
                return web.json_response({"errors": ["permission denied"]}, status=400)
            return web.json_response({"auth": {"client_token": "hvs.1"}})

        secret = {"data": {"data": {"password": "s3cr3t"}, "metadata": {}}}
        vault.answers[("PUT", "/v1/auth/jwt/login")] = login
        vault.answers[("GET", "/v1/kv/data/prod/db")] = lambda _: web.json_response(secret)
        files = {".gitlab-ci.yml": configuration % vault.url}
        compilation = compile_pipeline(".gitlab-ci.yml", MemoryFetcher(files), Context())
        assert compilation.pipeline is not None, compilation.diagnostics
        assert compilation.run_refusals == ()
        await bench.start(compilation.pipeline)
        taken = await bench.next_job()

        async def quiet(_: str) -> None:
            pass

        wish = Wish(secrets=taken.secrets or {}, variables=Variables(taken.variables))
        parts = SecretParts(clock=SystemClock(), random=random.Random(1))
        (found,) = await resolve(wish, parts, say=quiet, warn=quiet)
    assert (found.key, found.value, found.masked) == ("PASSWORD", "s3cr3t", True)


async def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    signer = signing.Signer(tmp_path / "nowhere")
    with pytest.raises(PermanentError, match=r"no key can be made in .*nowhere: No such file"):
        await signer.public_key()


async def test_a_held_request_gets_the_job_that_was_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time to hold a request may pass while a token is being signed."""
    answered, asked, go_on = anyio.Event(), anyio.Event(), anyio.Event()
    sign = signing.Signer.sign

    async def slow(self: signing.Signer, claims: Any) -> str:
        asked.set()
        await go_on.wait()
        return await sign(self, claims)

    monkeypatch.setattr(signing.Signer, "sign", slow)
    wanted = job("x", id_tokens={"T": IdToken(aud="a")}, when=When.MANUAL)
    async with running_bench(tmp_path, hold_seconds=0.5) as bench:
        pipeline_id = await bench.start(pipeline(wanted))

        async def ask() -> None:
            seen = ""
            while not isinstance(found := await bench.client.request_job(seen), JobOffered):
                assert isinstance(found, NoJob)
                seen = found.last_update
                answered.set()

        async def pass_time(seconds: float) -> None:
            with anyio.move_on_after(seconds):
                await anyio.Event().wait()

        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                await answered.wait()
                await pass_time(0.2)  # the next request is there, and held
                await bench.coordinator.play(pipeline_id, "x")
                await asked.wait()
                await pass_time(0.6)  # longer than it is held
                go_on.set()
