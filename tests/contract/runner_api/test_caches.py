"""Caches with the coordinator: the helper's commands against the addresses that the runner signs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from podlane.coordinator.submission import Submission
from podlane.gitlab import cache_urls
from podlane.gitlab.wire import JobUpdate
from podlane.model.job import Cache, Job, Variable
from podlane.runner.cache.coordinator import CoordinatorStore
from podlane.runner.cache.store import Method
from tests.contract.runner_api.bench import Bench, job, pipeline, raw_session, running_bench

pytestmark = pytest.mark.anyio


def signer(bench: Bench, taken: Job) -> CoordinatorStore:
    return CoordinatorStore(
        server_url=bench.coordinator.url, job_id=taken.id, job_token=taken.token
    )


async def helper(directory: Path, *args: str) -> tuple[int, str]:
    command = [sys.executable, "-c", "from podlane.helper.main import main; exit(main())", *args]

    def run() -> subprocess.CompletedProcess[str]:
        directory.mkdir(exist_ok=True)
        environment = os.environ | {"no_proxy": "*"}
        return subprocess.run(
            command, cwd=directory, capture_output=True, text=True, timeout=60, env=environment
        )

    done = await anyio.to_thread.run_sync(run)
    return done.returncode, done.stderr


async def ask(method: str, url: str, data: bytes | None = None) -> tuple[int, bytes]:
    async with raw_session() as session, session.request(method, url, data=data) as response:
        return response.status, await response.read()


async def test_a_cache_of_one_pipeline_reaches_the_next(tmp_path: Path) -> None:
    content = os.urandom(2_000_000)
    async with running_bench(tmp_path) as bench:
        await bench.start(pipeline(job("one")))
        first = await bench.next_job()
        sign = signer(bench, first).sign
        (tmp_path / "pod").mkdir()
        (tmp_path / "pod/data").write_bytes(content)
        push = ["cache-archiver", "--file", "../c/cache.zip", "--path", "data"]
        code, lines = await helper(
            tmp_path / "pod", *push, "--url", sign(Method.PUT, "project/1/k").url
        )
        assert code == 0, lines
        await bench.client.update_job(first.id, first.token, JobUpdate(state="success"))
        await bench.start(pipeline(job("two")))
        sign = signer(bench, await bench.next_job()).sign
        get, head = (sign(method, "project/1/k").url for method in (Method.GET, Method.HEAD))
        pull = ["cache-extractor", "--file", "../d/cache.zip", "--alternate-url"]
        other = sign(Method.GET, "project/1/none").url
        other_head = sign(Method.HEAD, "project/1/none").url
        flags = [other, "--alternate-head-url", other_head, "--url", get, "--head-url", head]
        code, lines = await helper(tmp_path / "next", *pull, *flags)
        assert code == 0, lines
        assert (tmp_path / "next/data").read_bytes() == content


async def test_an_address_is_good_for_what_it_was_signed_for_and_while_the_job_runs(
    tmp_path: Path,
) -> None:
    async with running_bench(tmp_path) as bench:
        await bench.start(pipeline(job("one")))
        taken = await bench.next_job()
        sign = signer(bench, taken).sign
        assert (await ask("PUT", sign(Method.GET, "k").url, b"x"))[0] == 403
        assert (await ask("PUT", sign(Method.PUT, "k").url, b"x"))[0] == 201
        assert (await ask("GET", sign(Method.PUT, "k").url))[0] == 403
        assert (await ask("GET", sign(Method.GET, "k").url.replace("/k?", "/other?")))[0] == 403
        assert (await ask("GET", sign(Method.GET, "other").url))[0] == 404
        assert await ask("GET", sign(Method.GET, "k").url) == (200, b"x")
        stranger = cache_urls.cache_url(bench.coordinator.url, 999, "token", "read", "k")
        assert (await ask("GET", stranger))[0] == 403
        await bench.client.update_job(taken.id, taken.token, JobUpdate(state="success"))
        assert (await ask("GET", sign(Method.GET, "k").url))[0] == 403


async def test_what_has_no_room_is_refused_and_nothing_partial_is_kept(tmp_path: Path) -> None:
    async with running_bench(
        tmp_path, max_cache_bytes=1000, cache_dir=tmp_path / "caches"
    ) as bench:
        await bench.start(pipeline(job("one")))
        sign = signer(bench, await bench.next_job()).sign
        status, body = await ask("PUT", sign(Method.PUT, "k").url, bytes(1001))
        assert (status, b"1000 bytes" in body) == (413, True)
        assert (await ask("PUT", sign(Method.PUT, "k").url, bytes(1000)))[0] == 201
        assert list((tmp_path / "caches/incoming").iterdir()) == []


@pytest.mark.parametrize(
    ("default_branch", "settings", "key"),
    [
        ("main", {}, "k-protected"),
        ("trunk", {}, "k-non_protected"),
        ("trunk", {"protected_refs": ("ma*",)}, "k-protected"),
        ("main", {"ci_separated_caches": False, "jobs_cache_index": 4}, "k-4"),
    ],
)
async def test_keys_follow_the_ref_and_the_projects_settings(
    tmp_path: Path, default_branch: str, settings: dict[str, object], key: str
) -> None:
    async with running_bench(tmp_path, **settings) as bench:
        cached = job("x", cache=(Cache(key="k", paths=("c.txt",)),))
        submission = Submission(
            pipeline=pipeline(cached),
            source=str(bench.tree),
            predefined=(Variable(key="CI_DEFAULT_BRANCH", value=default_branch),),
        )
        await bench.coordinator.create_pipeline(submission)
        (cache,) = (await bench.next_job()).cache or ()
        assert (cache.key, cache.unprotect) == (key, False)
