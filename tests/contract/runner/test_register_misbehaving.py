"""Registering and renewing at a server that misbehaves: nothing is taken for a success."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from podlane.kit.clock import SystemClock
from podlane.kit.errors import PodlaneError, UsageError
from podlane.kit.jsonvalue import JsonObject
from podlane.runner.administration.maintenance import Maintenance, State, TokenNotKeptError
from podlane.runner.administration.registration import Attributes, Order, Registrar
from podlane.runner.administration.roster import Choice, Entry, choose
from podlane.runner.app import open_gitlab
from podlane.runner.configuration.config_file import load_config
from podlane.runner.configuration.settings import RunnerSettings
from tests.fakes.jobs import MANAGER
from tests.fakes.scripted_server import Script, answer, as_json, scripted

pytestmark = pytest.mark.anyio
ENTRY = '[[runners]]\nname = "one"\nurl = "{url}"\ntoken = "glrt-old"\nexecutor = "kubernetes"\n'


def registrar(file: Path) -> Registrar:
    return Registrar(file=file, manager=MANAGER, open_api=open_gitlab, clock=SystemClock())


@asynccontextmanager
async def registered(
    file: Path, *answers: bytes
) -> AsyncIterator[tuple[Maintenance, Entry, Script]]:
    async with scripted(*answers) as server:
        runner = load_config_with(file, server.url, "glrt-old")
        maintenance = Maintenance(
            file=file, manager=MANAGER, open_api=open_gitlab, clock=SystemClock()
        )
        yield maintenance, choose([runner], Choice(name="one"))[0], server


def body(request: bytes) -> dict[str, object]:
    found: dict[str, object] = json.loads(request.partition(b"\r\n\r\n")[2])
    return found


@pytest.mark.parametrize(
    "said",
    [
        as_json(200, {}),
        as_json(200, {"id": 0, "token": "glrt-x"}),
        answer(200, b"OK", "Content-Type: text/html"),
        as_json(400, {"message": "bad"}),
        b"",
    ],
)
async def test_a_runner_without_an_id_is_not_registered(tmp_path: Path, said: bytes) -> None:
    file = tmp_path / "config.toml"
    async with scripted(said) as server:
        order = Order(entry={"url": server.url, "executor": "kubernetes"}, token="glrt-x")
        with pytest.raises(PodlaneError):
            await registrar(file).register(order)
    assert not file.exists()


async def test_the_attributes_reach_gitlab_and_the_expiry_reaches_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    made = {"id": 9, "token": "glrt-new", "token_expires_at": "2030-01-01T00:00:00.000Z"}
    async with scripted(as_json(201, made)) as server:
        attributes = Attributes(
            tag_list="a,b", locked=False, access_level="ref_protected", maximum_timeout=60,
            paused=True, maintenance_note="mine",
        )  # fmt: skip
        entry: JsonObject = {"name": "one", "url": server.url, "executor": "kubernetes"}
        order = Order(entry=entry, token="reg", makes_runner=True, attributes=attributes)
        await registrar(file).register(order)
        sent = body(server.requests[0])
    assert server.requests[0].startswith(b"POST /api/v4/runners HTTP/1.1")
    info = sent.pop("info")
    assert isinstance(info, dict)
    assert not info.get("executor")
    assert sent == {
        "token": "reg", "description": "one", "tag_list": "a,b", "run_untagged": False,
        "locked": False, "access_level": "ref_protected", "maximum_timeout": 60, "paused": True,
        "maintenance_note": "mine",
    }  # fmt: skip
    (runner,) = load_config(file)[0].runners
    assert (runner.id, runner.token, runner.token_expires_at) == (9, "glrt-new", 1893456000.0)


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (as_json(200, {"id": 1, "token": "glrt-old"}), State.ALIVE),
        (as_json(403, {"message": "403 Forbidden"}), State.REMOVED),
        (as_json(404, {"message": "404"}), State.UNKNOWN),
        (answer(200, b"<html>"), State.UNKNOWN),
        (b"", State.UNKNOWN),
    ],
)
async def test_only_gitlab_can_say_that_a_runner_is_alive_or_gone(
    tmp_path: Path, said: bytes, state: State
) -> None:
    async with registered(tmp_path / "config.toml", said) as (maintenance, entry, _):
        verdict = await maintenance.verify(entry)
    assert verdict.state is state
    assert bool(verdict.message) == (state is not State.ALIVE)


async def test_a_glrt_runner_leaves_as_a_machine_and_a_legacy_one_as_a_whole(
    tmp_path: Path,
) -> None:
    gone = answer(204)
    async with registered(tmp_path / "config.toml", gone, gone) as (maintenance, entry, server):
        await maintenance.unregister(entry)
        assert server.requests[0].startswith(b"DELETE /api/v4/runners/managers ")
        assert body(server.requests[0]) == {"token": "glrt-old", "system_id": MANAGER.system_id}
        legacy = load_config_with(tmp_path / "other.toml", server.url, "legacy-token")
        await maintenance.unregister(Entry(index=0, runner=legacy))
        assert server.requests[1].startswith(b"DELETE /api/v4/runners ")
        assert body(server.requests[1]) == {"token": "legacy-token"}


def load_config_with(file: Path, url: str, token: str) -> RunnerSettings:
    file.write_text(ENTRY.format(url=url).replace("glrt-old", token))
    return load_config(file)[0].runners[0]


async def test_a_renewed_token_that_is_not_told_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    for said in (as_json(201, {}), as_json(500, {}, "Retry-After: 0"), answer(201, b"x")):
        async with registered(file, *[said] * 5) as (maintenance, entry, _):
            before = file.read_text()
            with pytest.raises(PodlaneError):
                await maintenance.renew(entry)
            assert file.read_text() == before


async def test_a_token_that_cannot_be_kept_is_carried_by_the_error(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    async with registered(file, as_json(201, {"token": "glrt-n"})) as (maintenance, entry, _):
        file.write_text("concurrent = 1\n")  # the runner was removed meanwhile
        with pytest.raises(TokenNotKeptError) as caught:
            await maintenance.renew(entry)
    assert caught.value.given.token == "glrt-n"
    assert "glrt-n" not in caught.value.message


async def test_nothing_is_renewed_without_a_known_id(tmp_path: Path) -> None:
    async with registered(tmp_path / "config.toml") as (maintenance, entry, server):
        with pytest.raises(UsageError, match="id"):
            await maintenance.renew(entry, "pat")
        assert server.requests == []
