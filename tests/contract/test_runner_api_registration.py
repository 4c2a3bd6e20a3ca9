"""Runners come, renew their tokens and go: our client against our coordinator."""

from __future__ import annotations

from pathlib import Path

import pytest

from podlane.gitlab.client import open_client
from podlane.gitlab.errors import BadAnswerError, ForbiddenError
from podlane.gitlab.info import runner_info
from podlane.gitlab.wire import Registration
from tests.contract.runner_api import client_settings, running_bench

pytestmark = pytest.mark.anyio
SECRET = "registration-token-1"


def registration(token: str = SECRET) -> Registration:
    return Registration(
        token=token, info=runner_info(podlane_version="1"), description="mine", tag_list="a,b"
    )


async def test_a_registration_token_makes_a_runner(tmp_path: Path) -> None:
    async with running_bench(tmp_path, registration_token=SECRET) as bench:
        made = await bench.client.register(registration())
        async with open_client(client_settings(bench.coordinator.url, made.token)) as client:
            assert (await client.verify()).id == made.id > 0


@pytest.mark.parametrize("given", ["", "other"])
async def test_without_the_registration_token_nobody_registers(tmp_path: Path, given: str) -> None:
    for configured in ("", SECRET):
        async with running_bench(tmp_path, registration_token=configured) as bench:
            with pytest.raises(ForbiddenError):
                await bench.client.register(registration(given))


async def test_a_personal_token_renews_any_runner(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        runner = await bench.client.verify()
        renewed = await bench.client.reset_token_of(runner.id, bench.coordinator.admin_token)
        assert (renewed.id, renewed.token == runner.token) == (runner.id, False)
        with pytest.raises(ForbiddenError):
            await bench.client.verify()
        with pytest.raises(ForbiddenError, match="personal token"):
            await bench.client.reset_token_of(runner.id, "guessed")
        with pytest.raises(BadAnswerError, match="no such runner"):
            await bench.client.reset_token_of(999, bench.coordinator.admin_token)
