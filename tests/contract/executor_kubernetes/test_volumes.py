"""Configured volumes and hooks in the pods of jobs, on real containers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from podlane.kit.names import random_suffix
from podlane.model.failures import FailureReason
from podlane.model.job import Service
from podlane.model.outcome import SUCCESS
from tests.contract.executor_kubernetes.conftest import (
    LEGACY,
    Cluster,
    image,
    make_plan,
)

pytestmark = [pytest.mark.anyio, pytest.mark.root, pytest.mark.e2e]


def claim(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }


def text_source(kind: str, name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": name},
        "data" if kind == "ConfigMap" else "stringData": {"key": f"from {name}", "other": "hidden"},
    }


async def test_a_job_finds_its_volumes_and_the_next_one_what_it_left(cluster: Cluster) -> None:
    files, conf, keys = (f"{kind}-{random_suffix()}" for kind in ("files", "conf", "keys"))
    async with cluster.client() as client:
        await client.create("persistentvolumeclaims", "default", claim(files))
        await client.create("configmaps", "default", text_source("ConfigMap", conf))
        await client.create("secrets", "default", text_source("Secret", keys))
    volumes = {
        "pvc": [{"name": files, "mount_path": "/cache", "sub_path": "of/$PUBLIC"}],
        "config_map": [{"name": conf, "mount_path": "/etc/conf", "items": {"key": "sub/file"}}],
        "secret": [{"name": keys, "mount_path": "/keys", "read_only": True}],
        "empty_dir": [{"name": "repo", "mount_path": "/builds", "medium": "Memory"}],
    }
    script = (
        "cat /builds/sources /etc/conf/sub/file /keys/key; ls /etc/conf; "
        "grep -q ' /builds tmpfs ' /proc/mounts && echo memory; cat /cache/left 2>/dev/null; "
        "echo left behind > /cache/left"
    )
    first = await cluster.run(make_plan(script), volumes=volumes)
    assert first.outcome == SUCCESS
    for word in ("sources", f"from {conf}", f"from {keys}", "memory"):
        assert word in first.text
    assert "hidden" not in first.text
    second = await cluster.run(make_plan(script), volumes=volumes)
    assert second.outcome == SUCCESS
    assert "left behind" in second.text


async def test_a_volume_that_cannot_be_mounted_is_told_while_the_pod_waits(
    cluster: Cluster,
) -> None:
    volumes = {"nfs": [{"name": "share", "mount_path": "/s", "server": "10.0.0.1", "path": "/x"}]}
    ran = await cluster.run(make_plan(), volumes=volumes, poll_timeout=12)
    assert ran.outcome.reason is FailureReason.RUNNER_SYSTEM_FAILURE
    told = [line for line in ran.messages if "FailedMount" in line]
    assert len(told) == 1
    assert 'failed for volume "share"' in told[0]
    assert 'failed for volume "share"' in ran.outcome.message
    assert "[runners.kubernetes.volumes]" in str(ran.outcome.hint)


async def test_a_claim_that_does_not_exist_is_told_at_once(cluster: Cluster) -> None:
    volumes = {"pvc": [{"name": "nosuch", "mount_path": "/s"}]}
    ran = await cluster.run(make_plan(), volumes=volumes, poll_timeout=3)
    assert 'persistentvolumeclaim "nosuch" not found' in ran.outcome.message
    assert any("is Pending (Unschedulable" in line and "nosuch" in line for line in ran.messages)


@pytest.mark.parametrize("flags", [(), (LEGACY,)])
async def test_hooks_run_before_and_after_a_job(
    cluster: Cluster, tmp_path: Path, flags: tuple[tuple[str, bool], ...]
) -> None:
    if cluster.node is None:
        pytest.skip("the hooks write to this machine")
    hook = 'echo >> "/hooks/$([ -e /scripts-*/plan ] && echo ours || echo service).%s"'
    lifecycle = {
        "post_start": {"exec": {"command": ["sh", "-c", hook % "start"]}},
        "pre_stop": {"exec": {"command": ["sh", "-c", hook % "stop"]}},
    }
    hooks = tmp_path / "hooks"
    volumes = {"host_path": [{"name": "hooks", "mount_path": "/hooks", "host_path": str(hooks)}]}
    service = Service(name=image("alpine"), alias="idle", command=("sleep", "1000"))
    script = "cat /hooks/ours.start; until [ -e /hooks/service.start ]; do sleep 0.1; done"
    plan = make_plan(script, services=(service,), flags=flags)
    ran = await cluster.run(plan, volumes=volumes, container_lifecycle=lifecycle)
    assert ran.outcome == SUCCESS
    assert "pre_stop" not in ran.text
    await lines(hooks / "ours.stop", 2)  # build and helper
    await lines(hooks / "service.stop", 1)
    assert (hooks / "ours.start").read_text() == "\n\n"
    assert (hooks / "service.start").read_text() == "\n"


async def lines(path: Path, count: int) -> None:
    """Wait until a file has so many lines: the pod ends after its job."""
    with anyio.fail_after(60):
        while True:
            if await anyio.Path(path).exists():
                text = await anyio.Path(path).read_text()
                if text.count("\n") >= count:
                    assert text.count("\n") == count
                    return
            await anyio.sleep(0.05)


async def test_a_failing_post_start_is_the_reason_that_the_job_gets(cluster: Cluster) -> None:
    lifecycle = {"post_start": {"exec": {"command": ["sh", "-c", "exit 3"]}}}
    ran = await cluster.run(
        make_plan(), container_lifecycle=lifecycle, pod_termination_grace_period_seconds=1
    )
    assert ran.outcome.reason is FailureReason.RUNNER_CONFIGURATION_ERROR
    assert "container_lifecycle.post_start" in ran.outcome.message
    assert any("FailedPostStartHook" in line for line in ran.messages)
