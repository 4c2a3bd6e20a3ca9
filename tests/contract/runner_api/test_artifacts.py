"""Artifacts go up, come down, and reach the jobs that need them."""

from __future__ import annotations

import gzip
import logging
import sqlite3
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import anyio
import pytest

from podlane.gitlab.wire import JobUpdate
from podlane.kit.errors import UsageError
from podlane.model.job import Job, Variable
from podlane.model.pipeline import Need
from tests.contract.runner_api.bench import Bench, job, pipeline, raw_session, running_bench

pytestmark = pytest.mark.anyio

CONTENT = bytes(range(256)) * 4096  # 1 MiB: several chunks


async def upload(
    bench: Bench, taken: Job, content: bytes, *, query: str = "", token: str | None = None
) -> int:
    form = aiohttp.FormData()
    form.add_field("file", content, filename="../../artifacts.zip")
    async with (
        raw_session() as session,
        session.post(
            f"{bench.coordinator.url}/api/v4/jobs/{taken.id}/artifacts{query}",
            data=form,
            headers={"JOB-TOKEN": token if token is not None else taken.token},
        ) as response,
    ):
        return response.status


async def download(
    bench: Bench, job_id: int, token: str, *, byte_range: str = ""
) -> tuple[int, bytes]:
    headers = {"JOB-TOKEN": token} | ({"Range": byte_range} if byte_range else {})
    url = f"{bench.coordinator.url}/api/v4/jobs/{job_id}/artifacts"
    async with raw_session() as session, session.get(url, headers=headers) as response:
        return response.status, await response.read()


async def test_an_upload_that_breaks_off_leaves_nothing_and_is_no_bug_of_ours(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_bench(tmp_path) as bench:
        await bench.start(pipeline(job("compile")))
        taken = await bench.next_job()
        place = urlsplit(bench.coordinator.url)
        assert place.hostname is not None
        assert place.port is not None
        head = (
            f"POST /api/v4/jobs/{taken.id}/artifacts HTTP/1.1\r\nHost: h\r\n"
            f"JOB-TOKEN: {taken.token}\r\nContent-Type: multipart/form-data; boundary=x\r\n"
            "Transfer-Encoding: chunked\r\n\r\n"
        )
        part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for body in (b"", part, part + CONTENT):
            async with await anyio.connect_tcp(place.hostname, place.port) as stream:
                await stream.send(head.encode())
                if body:
                    await stream.send(b"%x\r\n%b\r\n" % (len(body), body))
        assert await upload(bench, taken, CONTENT) == 201
        await finish(bench, taken)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    uploads = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert len([path for path in uploads if path.stat().st_size >= len(CONTENT)]) == 1


async def finish(bench: Bench, taken: Job) -> None:
    await bench.client.update_job(taken.id, taken.token, JobUpdate(state="success"))


async def test_artifacts_of_one_job_reach_the_next(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        await bench.start(pipeline(job("compile"), job("check", "test")))
        first = await bench.next_job()
        assert await upload(bench, first, CONTENT, query="?artifact_format=zip") == 201
        await finish(bench, first)
        second = await bench.next_job()
        assert second.dependencies is not None
        (dependency,) = second.dependencies
        assert dependency.artifacts_file is not None
        assert (dependency.id, dependency.name) == (first.id, "compile")
        assert dependency.artifacts_file.filename == "artifacts.zip"
        assert dependency.artifacts_file.size == len(CONTENT)
        assert await download(bench, dependency.id, dependency.token) == (200, CONTENT)
        part = await download(bench, dependency.id, dependency.token, byte_range="bytes=10-19")
        assert part == (206, CONTENT[10:20])


async def test_a_job_without_artifacts_is_no_dependency(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        await bench.start(pipeline(job("compile"), job("check", "test")))
        first = await bench.next_job()
        await finish(bench, first)
        second = await bench.next_job()
        assert not second.dependencies
        assert (await download(bench, first.id, first.token))[0] == 404


async def test_needs_without_artifacts_and_dependencies_choose_what_is_downloaded(
    tmp_path: Path,
) -> None:
    content = pipeline(
        job("a"),
        job("b"),
        job("needs-a", "test", needs=(Need(job="a"), Need(job="b", artifacts=False))),
        job("depends-b", "test", dependencies=("b",)),
        job("none", "test", dependencies=()),
    )
    async with running_bench(tmp_path) as bench:
        await bench.start(content)
        for _ in range(2):
            taken = await bench.next_job()
            await upload(bench, taken, b"x")
            await finish(bench, taken)
        names = {}
        for _ in range(3):
            taken = await bench.next_job()
            names[taken.job_info.name] = [d.name for d in taken.dependencies or ()]
    assert names == {"needs-a": ["a"], "depends-b": ["b"], "none": []}


async def test_reports_are_kept_apart_from_the_archive(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        await bench.start()
        taken = await bench.next_job()
        query = "?artifact_type=junit&artifact_format=gzip&expire_in=7d"
        assert await upload(bench, taken, b"report", query=query) == 201
        assert (await download(bench, taken.id, taken.token))[0] == 404
        assert await upload(bench, taken, b"archive") == 201
        assert await download(bench, taken.id, taken.token) == (200, b"archive")


async def test_wrong_tokens_finished_jobs_and_odd_types_upload_nothing(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        await bench.start()
        taken = await bench.next_job()
        assert await upload(bench, taken, b"x", token="wrong") == 403
        assert await upload(bench, taken, b"x", query="?artifact_type=../../x") == 400
        await finish(bench, taken)
        assert await upload(bench, taken, b"x") == 403
        assert (await download(bench, taken.id, taken.token))[0] == 403


async def test_a_too_large_upload_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    async with running_bench(tmp_path, max_artifact_bytes=1000) as bench:
        await bench.start()
        taken = await bench.next_job()
        assert await upload(bench, taken, b"x" * 1001) == 413
        assert await upload(bench, taken, b"x" * 1000) == 201
        assert list((tmp_path / "data" / "incoming").iterdir()) == []


async def test_an_upload_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        await bench.start()
        taken = await bench.next_job()
        url = f"{bench.coordinator.url}/api/v4/jobs/{taken.id}/artifacts"
        body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.zip"\r\n\r\nhalf'
        headers = {"JOB-TOKEN": taken.token, "Content-Type": "multipart/form-data; boundary=b"}
        async with (
            raw_session() as session,
            session.post(url, data=body, headers=headers) as answer,
        ):
            assert answer.status == 400
        assert (await download(bench, taken.id, taken.token))[0] == 404
        assert list((tmp_path / "data" / "incoming").iterdir()) == []


async def test_dotenv_variables_reach_the_jobs_that_get_the_artifacts(tmp_path: Path) -> None:
    content = pipeline(
        job("compile"), job("check", "test", variables=(Variable(key="VERSION", value="file"),)),
        job("apart", "test", needs=()),
    )  # fmt: skip
    query = "?artifact_type=dotenv&artifact_format=gzip"
    report = gzip.compress(b"VERSION=1.2\n# comment\n\nURL = http://x/?a=b \n")
    async with running_bench(tmp_path) as bench:
        await bench.start(content)
        first = await bench.next_job()
        apart = await bench.next_job()
        assert await upload(bench, first, b"no dotenv", query=query) == 400
        assert await upload(bench, first, report, query=query) == 201
        await finish(bench, first)
    async with running_bench(tmp_path) as bench:  # a restart forgets nothing
        check = await bench.next_job()
    values = {v.key: v.value for v in check.variables}
    assert (values["VERSION"], values["URL"]) == ("1.2", "http://x/?a=b")
    assert "URL" not in {v.key for v in apart.variables}


async def test_old_pipelines_and_expired_artifacts_are_removed(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        for query in ("", "?expire_in=1%20sec", "?expire_in=never"):
            await bench.start()
            taken = await bench.next_job()
            assert await upload(bench, taken, b"x", query=query) == 201
            await finish(bench, taken)
    database = sqlite3.connect(tmp_path / "data" / "coordinator.db")
    database.execute("UPDATE artifacts SET created_at = created_at - 100")
    database.commit()
    database.close()
    async with running_bench(tmp_path, keep_pipelines=2) as bench:
        await anyio.sleep(0.1)
        with pytest.raises(UsageError, match="no pipeline 1"):
            await bench.coordinator.job_results(1)
        assert len(await bench.coordinator.job_results(2)) == 1
    kept = sorted(p.parent.name for p in (tmp_path / "data" / "artifacts").glob("*/archive"))
    assert kept == ["3"]
