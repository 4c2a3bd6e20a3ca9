"""A process with a cluster that only pretends to run pods, and a coordinator with jobs that never end.

    python -m bench.simulated DIRECTORY JOBS

Writes ``kubeconfig`` and ``config.toml`` into the directory, and answers until it is terminated.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import msgspec
from aiohttp import web

from podlane.gitlab import wire
from podlane.kit.clock import SystemClock, rfc3339
from podlane.kit.jsonvalue import Json, JsonObject, obj, objects, text
from podlane.kube import errors
from podlane.kube.types import WatchType
from podlane.model.job import Features, GitInfo, Image, Job, JobInfo, Step, Variable
from podlane.node.apiserver.app import make_api, serving
from podlane.node.apiserver.store import Store
from podlane.node.pki import ensure_pki
from podlane.node.streams import LogRequest, StreamRequest

TOKEN = "simulated-token-0123456789"
INTERVAL_SECONDS = 3
_ALIVE_SECONDS = 15.0
_CONFIG = """\
concurrent = {jobs}
check_interval = 1
[[runners]]
  name = "bench"
  url = "{url}"
  token = "glrt-simulated"
  executor = "kubernetes"
  request_concurrency = 4
  [runners.kubernetes]
    image = "alpine"
"""


class _Follower:
    """The follower of a job whose script has begun and says nothing."""

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield the records of the first stages, then signs of life."""
        for index, name in enumerate(("prepare_script", "get_sources")):
            for state, code in (("started", "-"), ("finished", "0")):
                line = f"stage={name} index={index} state={state} code={code} offset=0 at=1.0\n"
                yield 2, line.encode()
        yield 2, b"stage=step_script index=2 state=started code=- offset=0 at=1.0\n"
        yield 1, b"$ sleep 3600\n"
        yield 2, b"pos=13\n"
        while True:
            await anyio.sleep(_ALIVE_SECONDS)
            yield 2, b"alive=1\n"

    async def write_stdin(self, data: bytes) -> None:
        """Take nothing."""

    async def close_stdin(self) -> None:
        """Do nothing."""

    async def resize(self, width: int, height: int) -> None:
        """Do nothing."""

    async def wait(self) -> int:
        """Return the exit code."""
        return 0


class _Streams:
    @asynccontextmanager
    async def exec(self, _: StreamRequest) -> AsyncIterator[_Follower]:
        yield _Follower()

    @asynccontextmanager
    async def attach(self, _: StreamRequest) -> AsyncIterator[_Follower]:
        yield _Follower()

    async def log(self, _: LogRequest) -> AsyncIterator[bytes]:
        yield b""


async def _kubelet(store: Store) -> None:
    async for change in store.watch("pods"):
        metadata = obj(change.object, "metadata")
        where = (text(metadata, "namespace"), text(metadata, "name"))
        try:
            if change.type is WatchType.ADDED:
                store.update_status("pods", *where, partial(_become, _running(change.object)))
            elif text(metadata, "deletionTimestamp"):
                store.remove("pods", *where)
        except errors.NotFoundError:
            continue


def _become(status: JsonObject, _: JsonObject) -> JsonObject:
    return status


def _running(pod: JsonObject) -> JsonObject:
    now = rfc3339(SystemClock().now())
    states: list[Json] = [
        {
            "name": text(container, "name"), "image": text(container, "image"), "imageID": "",
            "ready": True, "restartCount": 0, "state": {"running": {"startedAt": now}},
        }
        for container in objects(pod, "spec", "containers")
    ]  # fmt: skip
    return {"phase": "Running", "startTime": now, "containerStatuses": states}


class _Coordinator:
    def __init__(self, jobs: int) -> None:
        self._left = jobs
        self._size: dict[str, int] = {}

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/api/v4/jobs/request", self._request)
        app.router.add_put("/api/v4/jobs/{id}", self._update)
        app.router.add_patch("/api/v4/jobs/{id}/trace", self._trace)
        return app

    async def _request(self, _: web.Request) -> web.Response:
        if self._left:
            self._left -= 1
            return web.Response(status=201, body=wire.encode_job(_job(self._left + 1)))
        await anyio.sleep(50)
        return web.Response(status=204, headers={wire.LAST_UPDATE: "1"})

    async def _update(self, request: web.Request) -> web.Response:
        await request.read()
        return web.Response(headers={wire.TRACE_INTERVAL: str(INTERVAL_SECONDS)})

    async def _trace(self, request: web.Request) -> web.Response:
        job = request.match_info["id"]
        self._size[job] = self._size.get(job, 0) + len(await request.read())
        headers = {
            "Range": f"0-{self._size[job]}",
            wire.JOB_STATUS: "running",
            wire.TRACE_INTERVAL: str(INTERVAL_SECONDS),
        }
        return web.Response(status=202, headers=headers)


def _job(number: int) -> Job:
    variables = [Variable(key=f"VARIABLE_{n}", value=f"value {n}", public=True) for n in range(60)]
    variables += [
        Variable(key=f"SECRET_{n}", value=f"s3cr3t-{n:04d}", masked=True) for n in range(20)
    ]
    return Job(
        id=number, token=f"job-token-{number}", variables=tuple(variables),
        job_info=JobInfo(name=f"job {number}", stage="test", project_id=1, project_full_path="g/p"),
        git_info=GitInfo(repo_url="http://127.0.0.1/g/p.git", ref="main", sha="1a2b3c4d" * 5),
        image=Image(name="alpine"), features=Features(trace_sections=True),
        steps=(Step(name="script", script=("sleep 3600",)),),
    )  # fmt: skip


async def serve(place: Path, jobs: int) -> None:
    """Answer until cancelled."""
    pki = ensure_pki(place)
    store = Store(SystemClock())
    api = make_api(store, _Streams(), TOKEN, SystemClock(), "simulated")
    async with (
        anyio.create_task_group() as group,
        serving(api, pki.server_context()) as port,
        serving(_Coordinator(jobs).app(), None) as coordinator,
    ):
        group.start_soon(_kubelet, store)
        cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(pki.ca)}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "x",
            "clusters": [{"name": "x", "cluster": cluster}],
            "users": [{"name": "x", "user": {"token": TOKEN}}],
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        }
        (place / "kubeconfig").write_bytes(msgspec.json.encode(document))
        url = f"http://127.0.0.1:{coordinator}"
        (place / "config.toml").write_text(_CONFIG.format(jobs=max(jobs, 1), url=url))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await anyio.sleep_forever()


if __name__ == "__main__":
    anyio.run(serve, Path(sys.argv[1]), int(sys.argv[2]))
