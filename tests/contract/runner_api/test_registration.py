"""Runners come, renew their tokens and go: our client against our coordinator."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import msgspec
import pytest

from podlane.coordinator.submission import Submission
from podlane.gitlab.answers import JobOffered, NoJob
from podlane.gitlab.client import open_client
from podlane.gitlab.errors import BadAnswerError, ForbiddenError
from podlane.gitlab.info import runner_info
from podlane.gitlab.wire import PRIVATE_TOKEN, Registration
from tests.contract.runner_api.bench import client_settings, git, pipeline, running_bench

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


async def test_a_paused_runner_gets_no_job_until_it_is_resumed(tmp_path: Path) -> None:
    async with running_bench(tmp_path, registration_token=SECRET, hold_seconds=0) as bench:
        paused = msgspec.structs.replace(registration(), paused=True)
        made = await bench.client.register(paused)
        await bench.start()
        async with (
            open_client(client_settings(bench.coordinator.url, made.token)) as client,
            aiohttp.ClientSession() as people,
        ):
            assert isinstance(await client.request_job(), NoJob)
            url = f"{bench.coordinator.url}/api/v4/runners/{made.id}"
            for token, status in (("guessed", 403), (bench.coordinator.admin_token, 200)):
                headers = {PRIVATE_TOKEN: token}
                async with people.put(url, json={"paused": False}, headers=headers) as answer:
                    assert answer.status == status
            assert isinstance(await client.request_job(), JobOffered)


@pytest.mark.parametrize(
    ("branch", "protected_refs", "offered"),
    [("main", (), True), ("topic", (), False), ("release-1", ("release-*",), True)],
)
async def test_a_runner_for_protected_refs_takes_only_their_jobs(
    tmp_path: Path, branch: str, protected_refs: tuple[str, ...], offered: bool
) -> None:
    async with running_bench(
        tmp_path, registration_token=SECRET, hold_seconds=0, protected_refs=protected_refs
    ) as bench:
        made = await bench.client.register(
            msgspec.structs.replace(registration(), access_level="ref_protected")
        )
        git(bench.tree, "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")
        if branch != "main":
            git(bench.tree, "checkout", "--quiet", "-b", branch)
        await bench.start()
        async with open_client(client_settings(bench.coordinator.url, made.token)) as client:
            assert isinstance(await client.request_job(), JobOffered) is offered


@pytest.mark.parametrize(("tag", "offered"), [("v1", True), ("nightly", False)])
async def test_a_runner_for_protected_refs_takes_the_jobs_of_protected_tags(
    tmp_path: Path, tag: str, offered: bool
) -> None:
    async with running_bench(
        tmp_path, registration_token=SECRET, hold_seconds=0, protected_tags=("v*",)
    ) as bench:
        made = await bench.client.register(
            msgspec.structs.replace(registration(), access_level="ref_protected")
        )
        git(bench.tree, "tag", tag)
        await bench.coordinator.create_pipeline(
            Submission(pipeline=pipeline(), source=str(bench.tree), ref=tag, is_tag=True)
        )
        async with open_client(client_settings(bench.coordinator.url, made.token)) as client:
            assert isinstance(await client.request_job(), JobOffered) is offered


async def test_a_runners_maximum_timeout_caps_the_jobs(tmp_path: Path) -> None:
    async with running_bench(tmp_path, registration_token=SECRET) as bench:
        made = await bench.client.register(
            msgspec.structs.replace(registration(), maximum_timeout=90)
        )
        await bench.start()
        async with open_client(client_settings(bench.coordinator.url, made.token)) as client:
            result = await client.request_job()
        assert isinstance(result, JobOffered)
        assert result.job.runner_info.timeout == 90
        assert [step.timeout for step in result.job.steps] == [90]


async def test_an_unknown_access_level_is_refused(tmp_path: Path) -> None:
    async with running_bench(tmp_path, registration_token=SECRET) as bench:
        wrong = msgspec.structs.replace(registration(), access_level="everything")
        with pytest.raises(BadAnswerError, match="access_level"):
            await bench.client.register(wrong)


async def test_unregistering_a_registered_runner_removes_it_and_its_tokens_say_so(
    tmp_path: Path,
) -> None:
    """GitLab's own runner asks for less with a ``glrt-`` token: that one manager be removed."""
    async with running_bench(tmp_path, registration_token=SECRET) as bench:
        made = await bench.client.register(registration())
        async with open_client(client_settings(bench.coordinator.url, made.token)) as client:
            renewed = await client.reset_token()
        again = await bench.client.reset_token_of(made.id, bench.coordinator.admin_token)
        assert [t.token[:6] for t in (made, renewed, again)] == ["glrtr-"] * 3
        async with open_client(client_settings(bench.coordinator.url, again.token)) as client:
            await client.unregister()
            with pytest.raises(ForbiddenError):
                await client.verify()
        own = await bench.client.reset_token()
        assert own.token.startswith("glrt-")
