"""The web terminal: what GitLab is told with a request for a job, and what answers there."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest

from podlane.executors.base import Emit, ExecutionPlan
from podlane.gitlab.client import open_client
from podlane.gitlab.wire import Session
from podlane.kit.errors import PodlaneError, UsageError
from podlane.runner.app import open_gitlab
from podlane.runner.configuration.settings import SessionServerSettings
from podlane.runner.listeners.session_server import self_signed, serving_sessions
from podlane.runner.listeners.terminals import FEATURES, TerminalApi, Terminals, TerminalSession
from tests.contract.runner.test_process import free_port
from tests.contract.runner_api.bench import client_settings
from tests.fakes.executor import ScriptedEnvironment, ScriptedExecutor, forever
from tests.fakes.jobs import MANAGER, a_job, a_runner
from tests.fakes.scripted_server import as_json, scripted

pytestmark = pytest.mark.anyio


class Shell:
    """Answers each line in capitals; ends at ``exit``."""

    def __init__(self) -> None:
        self._send, self._receive = anyio.create_memory_object_stream[bytes](9)

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        yield 1, b"$ "
        async for data in self._receive:
            yield 1, data

    async def write_stdin(self, data: bytes) -> None:
        if data == b"exit":
            self._send.close()
        else:
            await self._send.send(data.upper())


class WithTerminal(ScriptedEnvironment):
    """Its terminal is not there at the first attempts."""

    failures = 0

    @asynccontextmanager
    async def terminal(self) -> AsyncIterator[Shell]:
        if self.failures:
            self.failures -= 1
            raise PodlaneError("the container is not running yet")
        shell = Shell()
        yield shell
        shell._send.close()
        shell._receive.close()


async def nothing(environment: ScriptedEnvironment, emit: Emit) -> Any:
    raise AssertionError


@dataclass
class Desk:
    """A session server, and one job's session as GitLab knows it."""

    terminals: Terminals
    session: TerminalSession
    environment: WithTerminal
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def told(self) -> Session:
        return self.terminals.told(self.session)

    @asynccontextmanager
    async def http(self) -> AsyncIterator[aiohttp.ClientSession]:
        trusted = ssl.create_default_context(cadata=self.told.certificate)
        connector = aiohttp.TCPConnector(ssl=trusted)
        async with aiohttp.ClientSession(connector=connector) as session:
            yield session

    def connect(self, http: aiohttp.ClientSession, protocol: str, token: str = "") -> Any:
        headers = {"Authorization": token or self.session.token}
        return http.ws_connect(f"{self.told.url}/exec", protocols=(protocol,), headers=headers)


@asynccontextmanager
async def desk(*, begun: bool = True) -> AsyncIterator[Desk]:
    address = f"127.0.0.1:{free_port()}"
    settings = SessionServerSettings(listen_address=address, advertise_address=address)
    async with serving_sessions(settings) as terminals, AsyncExitStack() as stack:
        session = TerminalSession()
        terminals.keep(7, session)
        made = Desk(terminals, session, WithTerminal(plan_of(7), nothing), stack)
        if begun:
            await stack.enter_async_context(terminals.open(7, made.environment))
        with anyio.fail_after(20):
            yield made


def plan_of(job_id: int) -> ExecutionPlan:
    return ExecutionPlan(
        job=a_job(id=job_id), stages=(), variables=(), builds_dir="/b", project_dir="/b/p",
        short_token="t", system_id="s", runner_name="r",
    )  # fmt: skip


async def test_a_browser_types_into_the_shell_of_the_job() -> None:
    async with desk() as made, made.http() as http:
        made.environment.failures = 1
        async with made.connect(http, "terminal.gitlab.com") as socket:
            assert socket.protocol == "terminal.gitlab.com"
            assert await socket.receive_bytes() == b"$ "
            await socket.send_bytes(b"echo")
            assert await socket.receive_bytes() == b"ECHO"
            await socket.send_bytes(b"exit")
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE


async def test_the_other_protocol_wraps_everything_in_base64() -> None:
    async with (
        desk() as made,
        made.http() as http,
        made.connect(http, "base64.terminal.gitlab.com") as socket,
    ):
        assert base64.b64decode(await socket.receive_str()) == b"$ "
        await socket.send_str("not base64!")
        await socket.send_str(base64.b64encode(b"echo").decode())
        answer = b""
        while not answer.endswith(b"ECHO"):
            answer += base64.b64decode(await socket.receive_str())


async def test_only_who_has_the_token_gets_in_and_only_one_at_a_time() -> None:
    async with desk() as made, made.http() as http:
        for token, status in (("wrong", 401), (made.session.token, 405)):
            headers = {"Authorization": token}
            async with http.get(f"{made.told.url}/exec", headers=headers) as answer:
                assert answer.status == status
        async with http.get(f"{made.told.url}x/exec") as answer:
            assert answer.status == 404
        async with made.connect(http, "terminal.gitlab.com"):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with made.connect(http, "terminal.gitlab.com"):
                    pass
            assert refused.value.status == 423


async def test_the_terminal_ends_with_the_job() -> None:
    async with desk() as made, made.http() as http:
        async with made.connect(http, "terminal.gitlab.com") as socket:
            assert await socket.receive_bytes() == b"$ "
            await made.stack.aclose()
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        async with http.get(f"{made.told.url}/exec") as answer:
            assert answer.status == 404


async def test_a_job_without_a_terminal_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podlane.runner.listeners.session_server.AVAILABLE_SECONDS", 0.1)
    async with desk(begun=False) as made, made.http() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with made.connect(http, "terminal.gitlab.com"):
                pass
        assert refused.value.status == 503


async def test_a_session_goes_with_the_request_and_stays_with_the_job(tmp_path: Path) -> None:
    job = {"id": 9, "token": "job-token", "steps": [{"name": "script", "script": ["true"]}]}
    terminals = Terminals("https://here:1", "PEM")
    async with scripted(as_json(204, {}), as_json(201, job)) as server:
        runner = a_runner(url=server.url)
        async with open_gitlab(runner, MANAGER, None, FEATURES) as client:
            api = TerminalApi(client, terminals)
            await api.request_job()
            await api.request_job()
        bodies = [json.loads(r.partition(b"\r\n\r\n")[2]) for r in server.requests]
    assert bodies[0]["session"]["url"] != bodies[1]["session"]["url"]
    told = bodies[1]["session"]
    assert (told["certificate"], bodies[1]["info"]["features"]["terminal"]) == ("PEM", True)
    session = terminals.find(told["url"].rpartition("/")[2])
    assert session is not None
    assert session.token == told["authorization"]
    assert terminals.find(bodies[0]["session"]["url"].rpartition("/")[2]) is None


async def test_without_a_session_server_nothing_is_offered() -> None:
    async with scripted(as_json(204, {})) as server:
        async with open_client(client_settings(server.url, "glrt-x")) as client:
            await client.request_job()
        body = json.loads(server.requests[0].partition(b"\r\n\r\n")[2])
    assert "session" not in body
    assert body["info"]["features"]["terminal"] is False


async def test_an_environment_without_a_terminal_is_no_trouble() -> None:
    terminals = Terminals("https://here:1", "PEM")
    session = TerminalSession()
    terminals.keep(1, session)
    executor = ScriptedExecutor(forever)
    async with executor.environment(plan_of(1)) as environment, terminals.open(1, environment):
        assert not session.ready.is_set()
    assert session.ended.is_set()


async def test_a_certificate_names_its_host() -> None:
    for host in ("runner.example.com", "10.0.0.1", "::1"):
        certificate = await self_signed(host)
        assert certificate.pem.startswith("-----BEGIN CERTIFICATE-----")
    with pytest.raises(UsageError, match="no certificate"):
        await self_signed("host,other:x")
