"""Kill -9 the runner manager while a job runs: the next one goes on with it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

from podlane.kit.jsonvalue import objects, text
from podlane.kube.access import load_access
from podlane.kube.client import KubeClient
from podlane.kube.errors import ConflictError, NotFoundError
from podlane.kube.types import Pod
from tests.e2e.conftest import Cluster, Project, ended, pods_gone, start
from tests.e2e.separate import printed_url, write_config

pytestmark = pytest.mark.e2e

LINES = 80
COUNTING = f"""
slow:
  image: alpine
  script:
    - i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo "line $i."; sleep 0.1; done
    - echo made here > made.txt
  after_script:
    - echo "after $CI_JOB_STATUS"
  artifacts:
    paths: [made.txt]
reader:
  image: alpine
  needs: [slow]
  script: [cat made.txt]
"""
EXEC = """
slow:
  image: alpine
  variables:
    FF_USE_LEGACY_KUBERNETES_EXECUTION_STRATEGY: "true"
  script: [echo begun here, sleep 300]
"""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A coordinator, and the configuration of a manager that works for it."""

    url: str
    data: Path
    config: Path
    cluster: Cluster

    def manager(self) -> subprocess.Popen[str]:
        """Start a manager."""
        env = {"KUBECONFIG": str(self.cluster.kubeconfig)}
        return start("runner", "run", "--config", self.config, env=env)

    @contextmanager
    def run(self, folder: Path) -> Iterator[subprocess.Popen[str]]:
        """Run a pipeline, whose traces are shown on stderr; kill what is left at the end."""
        token = {"PODLANE_COORDINATOR_TOKEN": (self.data / "admin-token").read_text().strip()}
        args = ("run", "--format", "json", "--coordinator", self.url)
        with start(*args, cwd=folder, env=token) as process:
            try:
                yield process
            finally:
                process.kill()

    @property
    def notes(self) -> list[Path]:
        """What managers have written down."""
        return sorted(self.config.parent.glob(".podlane/jobs/*"))


@pytest.fixture
def place(cluster: Cluster, tmp_path: Path) -> Iterator[Place]:
    if not cluster.own:
        pytest.skip("the pods of another cluster cannot reach a coordinator on loopback")
    data, config = tmp_path / "coordinator", tmp_path / "runner" / "config.toml"
    serve = start("coordinator", "serve", "--data-dir", data, "--listen", "127.0.0.1:0")
    try:
        url = printed_url(serve)
        config.parent.mkdir()
        write_config(config, url=url, data_dir=data)
        yield Place(url=url, data=data, config=config, cluster=cluster)
    finally:
        serve.send_signal(signal.SIGTERM)
        ended(serve)
        remove_pods(cluster)


@contextmanager
def killed(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a process for the length of the block, and kill it without any chance to clean up."""
    try:
        yield process
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()


@contextmanager
def terminated(process: subprocess.Popen[str]) -> Iterator[None]:
    """Run a manager for the length of the block; it must end cleanly."""
    try:
        yield
    except BaseException as error:
        process.send_signal(signal.SIGTERM)
        error.add_note(f"the manager said:\n{ended(process)[1]}")
        raise
    process.send_signal(signal.SIGTERM)
    _, err = ended(process)
    assert process.returncode == 0, err
    assert "Traceback" not in err, err


def until_shown(process: subprocess.Popen[str], wanted: str) -> None:
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if wanted in line:
            return
    pytest.fail(f"{wanted!r} never came:\n{''.join(seen)}")


def until_build_ended(cluster: Cluster) -> None:
    """Wait until the script of the only job is over."""

    async def wait(client: KubeClient) -> None:
        while not any(map(_build_ended, (await client.list_pods("default")).items)):  # noqa: ASYNC110 - a list is asked for
            await anyio.sleep(0.1)

    with_client(cluster, wait)


def _build_ended(pod: Pod) -> bool:
    statuses = {status.name: status for status in pod.status.container_statuses}
    return "build" in statuses and statuses["build"].state.terminated is not None


def stopping(stops: list[int]) -> str:
    """Return ``COUNTING`` with a script that stands still after some lines until ``go_on``."""
    wait = "do sleep 0.1; done"
    at = "|".join(map(str, stops))
    gate = f"case $i in {at}) until [ -e /go$i ]; {wait};; esac"
    return COUNTING.replace("sleep 0.1; done", f"sleep 0.1; {gate}; done")


def go_on(cluster: Cluster, stop: int) -> None:
    """Let the script of the only job go on: make the file that it waits for."""

    async def touch(client: KubeClient) -> None:
        (pod,) = (await client.list_pods("")).items
        command, where = ("touch", f"/go{stop}"), pod.metadata
        async with client.exec(where.namespace, where.name, "build", command) as session:
            status = await session.status()
            assert status.exit_code == 0, status

    with_client(cluster, touch)


def remove_pods(cluster: Cluster) -> None:
    """Remove what a test has left that failed: pods, and the namespaces of jobs; others find none."""

    async def remove(client: KubeClient) -> None:
        for pod in (await client.list_pods("")).items:
            where = pod.metadata
            with suppress(NotFoundError):
                await client.delete("pods", where.namespace, where.name, grace_seconds=0)
        for namespace in objects(await client.list("namespaces", "", ""), "items"):
            name = text(namespace, "metadata", "name")
            if name.startswith("ci-job-"):
                with suppress(NotFoundError, ConflictError):  # gone, or going
                    await client.delete("namespaces", "", name)

    with_client(cluster, remove)


def with_client(cluster: Cluster, work: Callable[[KubeClient], Awaitable[None]]) -> None:
    """Do something with the cluster's API within half a minute."""

    async def connected() -> None:
        with anyio.fail_after(30):
            async with KubeClient.connect(load_access(cluster.kubeconfig)) as client:
                await work(client)

    anyio.run(connected)


def jobs_of(process: subprocess.Popen[str]) -> dict[str, dict[str, Any]]:
    out, err = ended(process)
    assert out, err
    return {job["name"]: job for job in json.loads(out)["jobs"]}


@pytest.mark.parametrize("times", [1, 2])
def test_a_job_goes_on_under_the_next_manager(place: Place, project: Project, times: int) -> None:
    stops = [30 + 20 * time for time in range(times)]  # ten lines after each manager's end
    with place.run(project(stopping(stops))) as pipeline:
        for stop in stops:
            with killed(place.manager()):
                until_shown(pipeline, f"line {stop - 10}.")
            go_on(place.cluster, stop)
        with terminated(place.manager()):
            jobs = jobs_of(pipeline)
    trace = str(jobs["slow"]["trace"])
    assert jobs["slow"]["status"] == "success", trace
    whole(trace)
    assert jobs["reader"]["status"] == "success", jobs["reader"]
    assert "made here" in str(jobs["reader"]["trace"])
    nothing_left(place)


def test_a_job_in_a_namespace_of_its_own_goes_on_and_takes_it_along(
    place: Place, project: Project
) -> None:
    before = place.config.read_text()
    place.config.write_text(f"{before}[runners.kubernetes]\nnamespace_per_job = true\n")
    with place.run(project(stopping([30]))) as pipeline:
        with killed(place.manager()):
            until_shown(pipeline, "line 20.")
        go_on(place.cluster, 30)
        with terminated(place.manager()):
            jobs = jobs_of(pipeline)
    trace = str(jobs["slow"]["trace"])
    assert jobs["slow"]["status"] == "success", trace
    assert "Using Kubernetes namespace: ci-job-" in trace
    whole(trace)
    assert jobs["reader"]["status"] == "success", jobs["reader"]
    nothing_left(place)
    with_client(place.cluster, no_namespaces_of_jobs)


async def no_namespaces_of_jobs(client: KubeClient) -> None:
    """Wait until the last namespace of a job has gone."""
    while True:
        found = objects(await client.list("namespaces", ""), "items")
        if not any(text(one, "metadata", "name").startswith("ci-job-") for one in found):
            return
        await anyio.sleep(0.1)


def test_a_job_that_ended_while_no_manager_ran_is_reported(place: Place, project: Project) -> None:
    with place.run(project(stopping([30]))) as pipeline:
        with killed(place.manager()):
            until_shown(pipeline, "line 20.")
        go_on(place.cluster, 30)
        until_build_ended(place.cluster)
        with terminated(place.manager()):
            jobs = jobs_of(pipeline)
    assert jobs["slow"]["status"] == "success", jobs["slow"]["trace"]
    whole(str(jobs["slow"]["trace"]))
    nothing_left(place)


def test_what_cannot_go_on_fails_at_once_with_a_sentence(place: Place, project: Project) -> None:
    with place.run(project(EXEC)) as pipeline:
        with killed(place.manager()):
            until_shown(pipeline, "begun here")
        with terminated(place.manager()):
            job = jobs_of(pipeline)["slow"]
    assert job["failure_reason"] == "runner_system_failure", job
    assert "the runner manager ended while it drove the job's stages by exec" in job["trace"]
    nothing_left(place)


def test_a_job_that_was_canceled_meanwhile_is_dropped_with_its_pod(
    place: Place, project: Project
) -> None:
    with place.run(project(COUNTING.replace("0.1", "1"))) as pipeline:
        with killed(place.manager()):
            until_shown(pipeline, "line 2.")
        pipeline.send_signal(signal.SIGINT)
        until_shown(pipeline, "stopping the jobs")
        with terminated(place.manager()):
            job = jobs_of(pipeline)["slow"]
    assert job["status"] == "canceled", job
    nothing_left(place)


def test_only_its_owner_can_read_what_a_manager_writes_down(place: Place, project: Project) -> None:
    with place.run(project(COUNTING)) as pipeline, terminated(place.manager()):
        until_shown(pipeline, "line 5.")
        modes = {file.suffix: file.stat().st_mode & 0o777 for file in place.notes}
        folder = (place.config.parent / ".podlane" / "jobs").stat().st_mode & 0o777
    assert modes == {".json": 0o600, ".mark": 0o600, ".trace": 0o600}
    assert folder == 0o700


def whole(trace: str) -> None:
    """Check that the trace of ``slow`` has everything once, in order."""
    numbers = [int(number) for number in re.findall(r"line (\d+)\.\n", trace)]
    assert numbers == list(range(1, LINES + 1)), trace
    assert trace.count("after success\n") == 1, trace
    assert trace.count("Job succeeded") == 1, trace
    opened = re.findall(r"section_start:\d+:(\w+)", trace)
    assert opened == re.findall(r"section_end:\d+:(\w+)", trace)
    assert opened[0] == "prepare_executor"
    assert len(opened) == len(set(opened))


def nothing_left(place: Place) -> None:
    """Check that no pod is left, and no note."""
    assert place.notes == []
    assert place.cluster.state_dir is not None
    assert pods_gone(place.cluster.state_dir)
