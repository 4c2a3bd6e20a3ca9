"""Our client against a server that misbehaves in every way that is told of: scripted answers."""

from __future__ import annotations

import dataclasses
import json
import random
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc
import pytest
from aiohttp import web
from yarl import URL

from podlane.gitlab.answers import (
    Forbidden,
    JobOffered,
    JobUnreadable,
    NoJob,
    PatchOutcome,
    Unavailable,
    UpdateOutcome,
)
from podlane.gitlab.client import RunnerApiClient, open_client
from podlane.gitlab.connections import open_connections
from podlane.gitlab.errors import BadAnswerError, ForbiddenError, UnreachableError
from podlane.gitlab.transport import TlsFiles, api_base, environment_proxy
from podlane.gitlab.wire import JobUpdate
from podlane.kit.errors import PodlaneError, TemporaryError, UsageError
from tests.contract.runner_api.bench import client_settings
from tests.fakes.scripted_server import answer, as_json, complete, scripted

pytestmark = pytest.mark.anyio

JOB = {"id": 7, "token": "job-token", "steps": [{"name": "script", "script": ["true"]}]}


@asynccontextmanager
async def patient_client(url: str) -> AsyncIterator[RunnerApiClient]:
    """A client whose retries do not really wait."""

    class Never(random.Random):
        def random(self) -> float:
            return -2.0  # makes every jittered delay negative, that is: none

    async with open_connections() as connections:
        yield RunnerApiClient(client_settings(url, "glrt-token"), connections, random=Never())


@pytest.mark.parametrize(
    ("header", "kept"),
    [("01HX-a_b.c", "01HX-a_b.c"), ("a b", ""), ("x" * 200, ""), ("", "")],
)
async def test_the_id_of_the_request_goes_with_the_job_if_git_can_send_it(
    header: str, kept: str
) -> None:
    raw = as_json(201, JOB, f"X-Request-Id: {header}")
    async with scripted(raw) as server, patient_client(server.url) as client:
        offered = await client.request_job()
    assert isinstance(offered, JobOffered)
    assert offered.job.correlation_id == kept


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (as_json(201, JOB), JobOffered),
        (answer(204), NoJob),
        (as_json(403, {"message": "403 Forbidden"}), Forbidden),
        (as_json(401, {}), Unavailable),
        (as_json(404, {}), Unavailable),
        (as_json(409, {}), Unavailable),
        (as_json(418, {}), Unavailable),
        (answer(201, b"<html>", "Content-Type: text/html"), Unavailable),
        (answer(201, b'{"id": 7, "tok', "Content-Type: application/json"), Unavailable),
        (answer(201, b'{"id": 7}', length=999), Unavailable),
        (as_json(201, [JOB]), Unavailable),
        (as_json(201, {"id": None}), Unavailable),
        (as_json(201, JOB | {"services": None, "features": 3, "x": []}), JobOffered),
        (as_json(201, JOB | {"steps": "true"}), JobUnreadable),
        (as_json(201, JOB | {"run": "[]"}), JobUnreadable),
        (b"", Unavailable),
        (b"nonsense\r\n\r\n", Unavailable),
        (answer(302, b"", "Location: /users/sign_in"), Unavailable),
    ],
)
async def test_whatever_comes_for_a_job_is_a_value(raw: bytes, kind: type[object]) -> None:
    async with scripted(raw) as server, patient_client(server.url) as client:
        result = await client.request_job()
    assert isinstance(result, kind)


async def test_a_job_that_cannot_be_read_can_be_reported_as_failed() -> None:
    bad = as_json(201, JOB | {"steps": "true"}, "X-GitLab-Last-Update: abc")
    async with scripted(bad, answer(200)) as server, patient_client(server.url) as client:
        result = await client.request_job()
        assert isinstance(result, JobUnreadable)
        assert result.last_update == "abc"
        error = result.error
        update = JobUpdate(state="failed", failure_reason=error.reason.value)
        assert (await client.update_job(error.job_id, error.token, update)).outcome is (
            UpdateOutcome.SUCCEEDED
        )
    assert b"PUT /api/v4/jobs/7 " in server.requests[1]
    assert b"runner_system_failure" in server.requests[1]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 520])
async def test_a_passing_trouble_is_retried_with_the_same_body(status: int) -> None:
    async with (
        scripted(answer(status), answer(status), answer(202)) as server,
        patient_client(server.url) as client,
    ):
        result = await client.patch_trace(7, "job-token", 3, b"bytes")
    assert result.outcome is PatchOutcome.SUCCEEDED
    assert [request.endswith(b"bytes") for request in server.requests] == [True] * 3


async def test_a_lasting_trouble_comes_back_after_five_attempts() -> None:
    raw = [answer(503, b"", "Retry-After: 0")] * 9
    async with scripted(*raw) as server, patient_client(server.url) as client:
        result = await client.request_job()
    assert isinstance(result, Unavailable)
    assert "503" in result.message
    assert len(server.requests) == 5


async def test_headers_and_body_are_what_gitlab_expects() -> None:
    async with (
        scripted(answer(202), answer(200)) as server,
        patient_client(f"{server.url}/gitlab/ci/") as client,
    ):
        await client.patch_trace(7, "job-token", 3, b"bytes", debug_trace=True)
        await client.update_job(7, "job-token", JobUpdate(state="running"))
    patch, put = (request.decode() for request in server.requests)
    assert patch.startswith("PATCH /gitlab/api/v4/jobs/7/trace?debug_trace=true HTTP/1.1\r\n")
    for line in (
        "JOB-TOKEN: job-token",
        "Content-Range: 3-7",
        "Content-Type: text/plain",
        "Content-Length: 5",
        "User-Agent: gitlab-runner ",
        "X-Request-Id: ",
    ):
        assert f"\r\n{line}" in patch
    sent = json.loads(put.partition("\r\n\r\n")[2])
    assert sent["state"] == "running"
    assert sent["token"] == "job-token"
    assert sent["info"]["features"]["trace_reset"] is True


@pytest.mark.parametrize("status", [307, 308])
async def test_a_redirect_on_the_same_host_keeps_method_body_and_token(status: int) -> None:
    moved = answer(status, b"", "Location: /elsewhere")
    async with (
        scripted(moved, answer(202)) as server,
        patient_client(server.url) as client,
    ):
        result = await client.patch_trace(7, "job-token", 0, b"bytes")
    assert result.outcome is PatchOutcome.SUCCEEDED
    assert server.requests[1].startswith(b"PATCH /elsewhere ")
    assert b"JOB-TOKEN: job-token" in server.requests[1]
    assert server.requests[1].endswith(b"bytes")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_token_goes_to_another_host(status: int) -> None:
    async with scripted(answer(202)) as other:
        elsewhere = other.url.replace("127.0.0.1", "localhost")
        moved = answer(status, b"", f"Location: {elsewhere}/steal?x=1")
        async with (
            scripted(moved, moved, moved) as server,
            patient_client(server.url) as client,
        ):
            patched = await client.patch_trace(7, "job-token", 0, b"bytes")
            updated = await client.update_job(7, "job-token", JobUpdate(state="running"))
            asked = await client.request_job()
    assert other.requests == []
    assert patched.outcome is PatchOutcome.FAILED
    assert "another host" in patched.message
    assert updated.outcome is UpdateOutcome.FAILED
    assert isinstance(asked, Unavailable)


async def test_redirects_in_a_circle_end() -> None:
    moved = answer(307, b"", "Location: /again")
    async with scripted(*[moved] * 30) as server, patient_client(server.url) as client:
        result = await client.patch_trace(7, "job-token", 0, b"bytes")
    assert result.outcome is PatchOutcome.FAILED
    assert len(server.requests) == 11


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (as_json(403, {"message": "403 Forbidden"}), ForbiddenError),
        (as_json(404, {}), BadAnswerError),
        (answer(200, b"<html>"), BadAnswerError),
        (as_json(422, {"message": {"token": ["is bad"]}}), BadAnswerError),
        (b"", UnreachableError),
    ],
)
async def test_verify_explains_what_is_wrong(raw: bytes, error: type[PodlaneError]) -> None:
    async with scripted(raw) as server, patient_client(server.url) as client:
        with pytest.raises(error) as caught:
            await client.verify()
    assert "glrt-token" not in str(caught.value)


async def test_verify_does_not_take_a_broken_server_for_a_valid_token() -> None:
    async with scripted(*[answer(500)] * 5) as server, patient_client(server.url) as client:
        with pytest.raises(TemporaryError):
            await client.verify()


async def test_nobody_there_is_a_value_for_each_call() -> None:
    async with open_client(client_settings("http://127.0.0.1:9", "t")) as client:
        assert isinstance(await client.request_job(), Unavailable)
        assert (await client.patch_trace(1, "t", 0, b"x")).outcome is PatchOutcome.FAILED
        update = await client.update_job(1, "t", JobUpdate(state="running"))
    assert update.outcome is UpdateOutcome.FAILED
    assert "no answer from http://127.0.0.1:9" in update.message


@pytest.mark.parametrize("url", ["ftp://host", "host", "", "https://", "file:///x"])
async def test_an_unusable_url_is_told(url: str) -> None:
    with pytest.raises(UsageError, match="only http and https"):
        api_base(url)


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://host/ci/", "https://host/api/v4/"),
        ("https://host/ci///", "https://host/api/v4/"),
        ("https://host/", "https://host/api/v4/"),
        ("http://host:8080/gitlab", "http://host:8080/gitlab/api/v4/"),
    ],
)
async def test_urls_are_fixed_as_gitlab_runner_does(url: str, base: str) -> None:
    assert str(api_base(url)) == base


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://gitlab.example.com/", "http://proxy:3128"),
        ("https://gitlab.example.com/", "http://secure:3129"),
        ("http://127.0.0.1:8080/", None),
        ("http://[::1]:8080/", None),
        ("http://localhost/", None),
        ("http://inside.example.org/", None),
    ],
)
async def test_proxies_are_taken_from_the_environment_but_never_for_this_machine(
    monkeypatch: pytest.MonkeyPatch, url: str, proxy: str | None
) -> None:
    monkeypatch.setenv("http_proxy", "http://user:word@proxy:3128")
    monkeypatch.setenv("https_proxy", "secure:3129")
    monkeypatch.setenv("no_proxy", "example.org")
    found = environment_proxy(URL(url))
    assert found.url == (URL(proxy) if proxy else None)
    assert bool(found.headers) == (proxy == "http://proxy:3128")


async def test_a_private_ca_is_trusted_when_its_file_is_given(tmp_path: Path) -> None:
    certificate, key = tmp_path / "ca.pem", tmp_path / "key.pem"
    made = await anyio.run_process(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(key), "-out", str(certificate)],
        check=False,
    )  # fmt: skip
    assert made.returncode == 0
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=204)

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await web.SockSite(runner, listener, ssl_context=context).start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        settings = client_settings(url, "t")
        async with open_client(settings) as stranger:
            refused = await stranger.request_job()
        trusting = dataclasses.replace(settings, tls=TlsFiles(ca_file=certificate))
        async with open_client(trusting) as client:
            accepted = await client.request_job()
        await runner.cleanup()
    assert isinstance(refused, Unavailable)
    assert "certificate verify failed" in refused.message
    assert isinstance(accepted, NoJob)


async def test_a_missing_ca_file_is_told(tmp_path: Path) -> None:
    settings = dataclasses.replace(
        client_settings("https://host", "t"), tls=TlsFiles(ca_file=tmp_path / "absent.pem")
    )
    with pytest.raises(UsageError, match=r"absent\.pem"):
        async with open_client(settings):
            pass


def test_the_scripted_server_reads_whole_requests() -> None:
    check: Callable[[bytes], bool] = complete
    assert not check(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab")
    assert check(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")


async def test_a_job_gets_the_chain_that_its_server_was_verified_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, certificate, key = (tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem"))
    new = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    await anyio.run_process([*new, "-subj", "/CN=Private CA", "-keyout", str(tmp_path / "ca.key"),
                             "-out", str(authority)])  # fmt: skip
    await anyio.run_process([*new, "-subj", "/CN=gitlab", "-addext", "subjectAltName=IP:127.0.0.1",
                             "-addext", "basicConstraints=critical,CA:FALSE",
                             "-CA", str(authority), "-CAkey", str(tmp_path / "ca.key"),
                             "-keyout", str(key), "-out", str(certificate)])  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response({"id": 1, "token": "job-token"}, status=201)

    monkeypatch.setenv("SSL_CERT_FILE", str(authority))  # as if it were in the system's store
    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await web.SockSite(runner, listener, ssl_context=context).start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        async with open_client(client_settings(url, "t")) as client:
            first, second = await client.request_job(), await client.request_job()
        await runner.cleanup()
    for offered in (first, second):  # the second over the same connection
        assert isinstance(offered, JobOffered), offered
        assert offered.job.tls_ca_chain == certificate.read_text() + authority.read_text()
