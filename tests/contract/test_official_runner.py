"""The exchanges of GitLab's own runner, header by header, against our coordinator.

The requests are those that GitLab Runner 19.4 was seen to send, and what older ones leave out.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from podlane.gitlab.info import FEATURE_NAMES
from podlane.model.job import Artifact
from tests.contract.runner_api.bench import Bench, job, pipeline, running_bench

pytestmark = pytest.mark.anyio

SECRET = "GR1348941-secret"
AGENT = "gitlab-runner 19.4.0 (main; go1.26.8; linux/amd64)"
SYSTEM_ID = "s_1746f8786189"
OLDER_LACK = frozenset({"two_phase_job_commit", "cancel_gracefully", "job_inputs"})


def info(*, without: frozenset[str] = frozenset()) -> dict[str, Any]:
    return {
        "name": "gitlab-runner", "version": "19.4.0", "revision": "d79f3e7b", "platform": "linux",
        "architecture": "amd64", "executor": "shell", "shell": "bash",
        "features": {name: True for name in FEATURE_NAMES if name not in without},
        "config": {"gpus": ""},
    }  # fmt: skip


class Official:
    """The requests of one runner, as it writes them."""

    def __init__(self, url: str, token: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.token = token
        self.session = session
        self.last_update = ""

    async def send(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], Any]:
        """Return status, headers and body of the answer."""
        data = body if isinstance(body, bytes | aiohttp.MultipartWriter) else json.dumps(body)
        own = {"User-Agent": AGENT, "X-Request-ID": "ad0ec798b31a4b94b0de33e51ef03d40"}
        if isinstance(data, str):
            own |= {"Content-Type": "application/json", "Accept": "application/json"}
        url = f"{self.url}/api/v4/{path}"
        async with self.session.request(
            method, url, data=data, headers=own | dict(headers or {})
        ) as answer:
            raw = await answer.read()
            is_json = answer.content_type == "application/json"
            return answer.status, answer.headers, json.loads(raw) if is_json else raw

    async def request(
        self, without: frozenset[str] = frozenset()
    ) -> tuple[int, Mapping[str, str], Any]:
        """Ask for a job."""
        body = {
            "info": info(without=without), "token": self.token, "system_id": SYSTEM_ID,
        } | ({"last_update": self.last_update} if self.last_update else {})  # fmt: skip
        answered = await self.send("POST", "jobs/request", body, {"Runner-Token": self.token})
        self.last_update = answered[1].get("X-GitLab-Last-Update", "")
        return answered

    async def update(self, made: Any, **fields: object) -> tuple[int, Mapping[str, str], Any]:
        """Send a state; the checksum is said twice, the first time for older servers."""
        body = {"info": info(), "token": made["token"], **fields}
        return await self.send("PUT", f"jobs/{made['id']}", body, {"JOB-TOKEN": made["token"]})

    async def patch(self, made: Any, start: int, data: bytes) -> tuple[int, Mapping[str, str], Any]:
        """Send output; the range has no unit and no total."""
        headers = {
            "JOB-TOKEN": made["token"], "Content-Type": "text/plain",
            "Content-Range": f"{start}-{start + len(data) - 1}",
        }  # fmt: skip
        path = f"jobs/{made['id']}/trace?debug_trace=false"
        return await self.send("PATCH", path, data, headers)


@asynccontextmanager
async def official(tmp_path: Path) -> AsyncIterator[tuple[Bench, Official]]:
    async with (
        running_bench(tmp_path, registration_token=SECRET, hold_seconds=0) as bench,
        aiohttp.ClientSession() as session,
    ):
        yield bench, Official(bench.coordinator.url, bench.coordinator.runner_token, session)


async def test_register_verify_reset_and_unregister(tmp_path: Path) -> None:
    async with official(tmp_path) as (_, runner):
        sent = {
            "description": "leg", "maintenance_note": "hi", "tag_list": "zz",
            "run_untagged": False, "locked": True, "access_level": "ref_protected",
            "maximum_timeout": 3000, "paused": True, "info": {**info(), "executor": ""},
            "token": SECRET,
        }  # fmt: skip
        status, _, made = await runner.send("POST", "runners", sent, {"Runner-Token": SECRET})
        assert (status, made["token_expires_at"]) == (201, None)
        body = {"info": info(), "token": made["token"], "system_id": SYSTEM_ID}
        status, _, verified = await runner.send("POST", "runners/verify", body)
        assert (status, verified) == (200, made)
        path = "runners/reset_authentication_token"
        status, _, renewed = await runner.send("POST", path, {"token": made["token"]})
        assert (status, renewed["id"]) == (201, made["id"])
        # Its token says that a whole runner goes, not one of its managers.
        assert not renewed["token"].startswith("glrt-")
        status, _, _ = await runner.send("DELETE", "runners", {"token": renewed["token"]})
        assert status == 204
        status, _, said = await runner.send("POST", "runners/verify", {"token": renewed["token"]})
        assert (status, said["message"][:13]) == (403, "403 Forbidden")


async def test_without_a_job_router_it_is_told_so(tmp_path: Path) -> None:
    async with official(tmp_path) as (_, runner):
        status, _, _ = await runner.send("GET", "runners/router/discovery")
        assert status == 501


async def test_a_job_is_taken_run_traced_uploaded_and_finished(tmp_path: Path) -> None:
    async with official(tmp_path) as (bench, runner):
        status, headers, _ = await runner.request()
        assert (status, bool(headers["X-GitLab-Last-Update"])) == (204, True)
        archive = Artifact(paths=("out/",), expire_in="1 hour")
        number = await bench.start(
            pipeline(job("compile", artifacts=(archive,)), job("test", "test"))
        )
        status, headers, made = await runner.request()
        assert status == 201
        assert headers["Content-Type"].startswith("application/json")
        assert made["job_info"]["name"] == "compile"
        assert made["runner_info"]["timeout"] == 3600
        assert "run" not in made
        status, headers, _ = await runner.update(made, state="running")
        assert (status, headers["Job-Status"]) == (200, "running")
        assert int(headers["X-GitLab-Trace-Update-Interval"]) > 0
        trace = b"2026-11-24T10:45:53.000000Z 00O Running with gitlab-runner 19.4.0\n"
        status, headers, _ = await runner.patch(made, 0, trace)
        assert (status, headers["Range"]) == (202, f"0-{len(trace)}")
        status, headers, _ = await runner.patch(made, 5, trace)
        assert (status, headers["Range"]) == (416, f"0-{len(trace)}")
        with io.BytesIO() as packed:
            with zipfile.ZipFile(packed, "w") as file:
                file.writestr("out/a", "data")
            part = aiohttp.MultipartWriter("form-data")
            part.append(packed.getvalue()).set_content_disposition(
                "form-data", name="file", filename="artifacts.zip"
            )
            path = (
                f"jobs/{made['id']}/artifacts?artifact_format=zip&artifact_type=archive"
                "&expire_in=1+hour"
            )
            status, _, _ = await runner.send("POST", path, part, {"JOB-TOKEN": made["token"]})
        assert status == 201
        said = f"crc32:{zlib.crc32(trace):08x}"
        output = {"checksum": said, "bytesize": len(trace)}
        status, _, _ = await runner.update(made, state="success", checksum=said, output=output)
        assert status == 200
        path = f"jobs/{made['id']}/artifacts?direct_download=true"
        status, _, downloaded = await runner.send("GET", path, b"", {"JOB-TOKEN": made["token"]})
        assert (status, downloaded[:2]) == (200, b"PK")
        result = (await bench.coordinator.job_results(number))[0]
        assert (result.status, result.trace.encode()) == ("success", trace)


async def test_an_older_runner_does_not_acknowledge_and_runs_the_job_from_the_answer_on(
    tmp_path: Path,
) -> None:
    async with official(tmp_path) as (bench, runner):
        number = await bench.start()
        status, _, _ = await runner.request(without=OLDER_LACK)
        assert status == 201
        (result,) = await bench.coordinator.job_results(number)
        assert result.status == "running"


async def test_output_stands_for_an_acknowledgement_that_was_lost(tmp_path: Path) -> None:
    async with official(tmp_path) as (bench, runner):
        number = await bench.start()
        _, _, made = await runner.request()
        (result,) = await bench.coordinator.job_results(number)
        assert result.status == "offered"
        status, _, _ = await runner.patch(made, 0, b"first words\n")
        assert status == 202
        (result,) = await bench.coordinator.job_results(number)
        assert result.status == "running"


async def test_lfs_objects_are_told_where_jobs_reach_us_whatever_host_a_proxy_names(
    tmp_path: Path,
) -> None:
    async with official(tmp_path) as (bench, runner):
        oid = "ab" * 32
        place = bench.tree / ".git/lfs/objects/ab/ab" / oid
        place.parent.mkdir(parents=True)
        place.write_bytes(b"large")
        await bench.start()
        _, _, made = await runner.request()
        asked = {
            "operation": "download", "objects": [{"oid": oid, "size": 5}],
            "transfers": ["lfs-standalone-file", "basic", "ssh"], "ref": {"name": "HEAD"},
            "hash_algo": "sha256",
        }  # fmt: skip
        url = f"{made['git_info']['repo_url']}/info/lfs/objects/batch"
        async with runner.session.post(url, json=asked, headers={"Host": "backend:1"}) as answer:
            (told,) = (await answer.json(content_type=None))["objects"]
        action = told["actions"]["download"]
        assert action["href"].startswith(f"{bench.coordinator.url}/local/project.git/gitlab-lfs/")
        async with runner.session.get(action["href"], headers=action["header"]) as answer:
            assert await answer.read() == b"large"
