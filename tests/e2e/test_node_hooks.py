"""Hooks of containers on the embedded node: when they are called, and what their failure does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.e2e.nodekit import (
    DEADLINE_SECONDS,
    World,
    container,
    data_dir,
    pod,
    printed,
    runtime,
    status,
    world,
)

__all__ = ["data_dir", "runtime"]
pytestmark = [pytest.mark.e2e, pytest.mark.root, pytest.mark.anyio]

SHARED: dict[str, Any] = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}

ANSWER = """#!/bin/sh
while read -r line; do
  echo "$line" >> /v/request
  [ ${#line} -le 1 ] && break
done
printf 'HTTP/1.0 500 No\\r\\n\\r\\n'
"""


def shell(script: str) -> dict[str, Any]:
    return {"exec": {"command": ["sh", "-c", script]}}


def on_disk(path: Path) -> list[dict[str, Any]]:
    """A volume that is still there when the pod is not."""
    return [{"name": "v", "hostPath": {"path": str(path)}}]


async def reasons(w: World, uid: str, wanted: str) -> list[tuple[str, str]]:
    """Return the events of a pod as soon as one has this reason."""
    with anyio.fail_after(DEADLINE_SECONDS):
        while True:
            events = await w.events(uid)
            if wanted in [reason for reason, _ in events]:
                return events
            await anyio.sleep(0.02)


async def test_a_container_runs_and_the_next_one_starts_after_post_start(
    data_dir: Path, tmp_path: Path, runtime: str
) -> None:
    async with world(data_dir, runtime=runtime) as w:
        hook = "until [ -e /v/go ]; do sleep 0.02; done; echo hook >> /v/order; exit 0"
        await w.create(
            pod(
                "p",
                container("exec sleep 1000", lifecycle={"postStart": shell(hook)}, **SHARED),
                container("echo second >> /v/order; exec sleep 1000", "second", **SHARED),
                volumes=on_disk(tmp_path),
            )
        )
        seen = await w.until("p", lambda p: status(p).image_id)
        assert status(seen).state.running is None
        assert status(seen, "second").state.running is None
        (tmp_path / "go").touch()
        await w.running("p")
        code, _ = await w.execute("p", "sh", "-c", "until grep second /v/order; do sleep 0.1; done")
        assert code == 0
        assert (tmp_path / "order").read_text() == "hook\nsecond\n"


async def test_a_container_whose_post_start_fails_is_killed(data_dir: Path) -> None:
    async with world(data_dir) as w:
        script = "trap 'exit 9' TERM; while :; do sleep 0.02; done"
        lifecycle = {"postStart": shell("echo secret; exit 3")}
        uid = await w.create(
            pod("p", container(script, lifecycle=lifecycle), terminationGracePeriodSeconds=60)
        )
        found = await w.ended("p")
        assert found.status.phase == "Failed"
        events = await reasons(w, uid, "FailedPostStartHook")
        assert ("FailedPostStartHook", "PostStartHook failed") in events
        assert ("Killing", "FailedPostStartHook") in events


async def failed_hook(w: World, lifecycle: dict[str, Any], **spec: Any) -> str:
    """Run a pod until its container waits because of its hook; return what it says."""
    sleeping = container("exec sleep 1000", lifecycle=lifecycle)
    await w.create(pod("p", sleeping, terminationGracePeriodSeconds=1, **spec))

    def is_told(found: Any) -> bool:
        waiting = status(found).state.waiting
        return waiting is not None and waiting.reason == "PostStartHookError"

    waiting = status(await w.until("p", is_told)).state.waiting
    assert waiting is not None
    return waiting.message


async def test_a_container_that_is_tried_again_says_which_hook_failed(data_dir: Path) -> None:
    async with world(data_dir) as w:
        lifecycle = {"postStart": {"tcpSocket": {"port": 80}}}
        told = await failed_hook(w, lifecycle, restartPolicy="Always")
        assert "tcpSocket is not supported" in told


async def test_pre_stop_comes_before_term_and_failing_changes_nothing(
    data_dir: Path, tmp_path: Path, runtime: str
) -> None:
    async with world(data_dir, runtime=runtime) as w:
        script = "trap 'echo term >> /v/order; exit 0' TERM; echo up; while :; do sleep 0.02; done"
        hook = "sleep 0.2; echo hook >> /v/order; exit 4"
        uid = await w.create(
            pod(
                "p",
                container(script, lifecycle={"preStop": shell(hook)}, **SHARED),
                volumes=on_disk(tmp_path),
                terminationGracePeriodSeconds=60,
            )
        )
        await printed(w, "p", "up")
        await w.delete("p", grace_seconds=60)
        assert (tmp_path / "order").read_text() == "hook\nterm\n"
        events = await reasons(w, uid, "FailedPreStopHook")
        assert ("FailedPreStopHook", "PreStopHook failed") in events


async def test_a_pre_stop_without_an_end_costs_the_grace_period_and_no_more(
    data_dir: Path, tmp_path: Path
) -> None:
    async with world(data_dir, least_grace_seconds=60) as w:
        script = "trap 'echo term >> /v/order; exit 0' TERM; echo up; while :; do sleep 0.02; done"
        hook = "echo hook >> /v/order; exec sleep 1000"
        await w.create(
            pod(
                "p",
                container(script, lifecycle={"preStop": shell(hook)}, **SHARED),
                volumes=on_disk(tmp_path),
            )
        )
        await printed(w, "p", "up")
        await w.delete("p", grace_seconds=1)
        # The hook may not even have begun on a busy machine; TERM came all the same.
        assert (tmp_path / "order").read_text().endswith("term\n")


@pytest.mark.parametrize("network", ["none", "auto"])
async def test_a_request_reaches_the_pod_and_its_answer_does_not_matter(
    data_dir: Path, tmp_path: Path, network: str
) -> None:
    await anyio.Path(tmp_path / "answer").write_text(ANSWER)
    await anyio.Path(tmp_path / "answer").chmod(0o755)
    async with world(data_dir, network=network) as w:
        script = (
            "nc -l -p 8080 -e /v/answer & "
            "until grep -q ':1F90 .* 0A ' /proc/net/tcp /proc/net/tcp6; do sleep 0.02; done; "
            "echo up; trap 'exit 0' TERM; while :; do sleep 0.02; done"
        )
        get = {
            "port": "web",
            "path": "/bye",
            "httpHeaders": [{"name": "X-Why", "value": "end"}],
        }
        uid = await w.create(
            pod(
                "p",
                container(
                    script,
                    lifecycle={"preStop": {"httpGet": get}},
                    ports=[{"name": "web", "containerPort": 8080}],
                    **SHARED,
                ),
                volumes=on_disk(tmp_path),
            )
        )
        await printed(w, "p", "up")
        await w.delete("p", grace_seconds=60)
        request = (tmp_path / "request").read_text()
        assert request.startswith("GET /bye HTTP/1.1")
        assert "User-Agent: kube-lifecycle/" in request
        assert "X-Why: end" in request
        assert "FailedPreStopHook" not in [reason for reason, _ in await w.events(uid)]


async def test_a_request_that_nobody_answers_is_a_failure_with_its_address(data_dir: Path) -> None:
    async with world(data_dir) as w:
        lifecycle = {"postStart": {"httpGet": {"port": 8080, "path": "/up"}}}
        told = await failed_hook(w, lifecycle, restartPolicy="OnFailure")
        assert 'HTTP lifecycle hook (/up) for Container "main" in Pod "p_default(' in told
        assert "Connection refused" in told
