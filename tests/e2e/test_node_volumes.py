"""Volumes on the embedded node: claims, keys, sub-paths, sharing, and what it cannot mount."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from podlane.kit.jsonvalue import text
from podlane.kube.errors import ApiError, NotFoundError
from tests.e2e.nodekit import (
    DEADLINE_SECONDS,
    NAMESPACE,
    World,
    container,
    data_dir,
    pod,
    printed,
    runtime,
    world,
)

__all__ = ["data_dir", "runtime"]
pytestmark = [pytest.mark.e2e, pytest.mark.root, pytest.mark.anyio]

CLAIMS = "persistentvolumeclaims"


def claim(name: str = "files", **spec: Any) -> dict[str, Any]:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": wanted | spec,
    }


def using(name: str = "files", **more: Any) -> list[dict[str, Any]]:
    return [{"name": "v", "persistentVolumeClaim": {"claimName": name, **more}}]


def mounted(**more: Any) -> dict[str, Any]:
    return {"volumeMounts": [{"name": "v", "mountPath": "/v", **more}]}


async def told(w: World, uid: str, reason: str) -> str:
    """Return the message of a pod's event when there is one."""
    with anyio.fail_after(DEADLINE_SECONDS):
        while True:
            for found, message in await w.events(uid):
                if found == reason:
                    return message
            await anyio.sleep(0.02)


async def gone(place: Path) -> None:
    while True:
        if not await anyio.Path(place).exists():
            return
        await anyio.sleep(0.02)


async def finished(w: World, name: str) -> str:
    """Return the log of a pod that has ended well."""
    assert (await w.ended(name)).status.phase == "Succeeded"
    return await w.log(name)


async def test_what_is_in_a_claim_outlives_pods_and_ends_with_the_claim(data_dir: Path) -> None:
    async with world(data_dir) as w:
        made = await w.client.create(CLAIMS, NAMESPACE, claim())
        place = w.node.state_dir / "claims" / text(made, "metadata", "uid")
        write = "stat -c %a /v; echo kept > /v/file; chmod 700 /v"
        await w.create(pod("one", container(write, **mounted()), volumes=using()))
        assert await finished(w, "one") == "777\n"
        await w.delete("one")
        read = "stat -c %a /v; cat /v/file; touch /v/x 2>/dev/null || echo read-only"
        await w.create(pod("two", container(read, **mounted()), volumes=using(readOnly=True)))
        assert await finished(w, "two") == "700\nkept\nread-only\n"
        bound = await w.client.get(CLAIMS, NAMESPACE, "files")
        assert text(bound, "status", "phase") == "Bound"
        # A claim stays as long as a pod uses it.
        await w.client.delete(CLAIMS, NAMESPACE, "files")
        assert (place / "file").exists()
        await w.delete("two")
        with pytest.raises(NotFoundError):
            await w.client.get(CLAIMS, NAMESPACE, "files")
        with anyio.fail_after(DEADLINE_SECONDS):
            await gone(place)


async def test_a_pod_waits_for_its_claim_and_says_so(data_dir: Path) -> None:
    async with world(data_dir) as w:
        uid = await w.create(pod("p", container("echo here", **mounted()), volumes=using()))
        why = '0/1 nodes are available: persistentvolumeclaim "files" not found.'
        assert await told(w, uid, "FailedScheduling") == why
        waiting = await w.until("p", lambda p: bool(p.status.conditions))
        assert waiting.status.phase == "Pending"
        scheduled = [c for c in waiting.status.conditions if c.type == "PodScheduled"]
        assert [(c.status, c.reason, c.message) for c in scheduled] == [
            ("False", "Unschedulable", why)
        ]
        await w.client.create(CLAIMS, NAMESPACE, claim())
        assert await finished(w, "p") == "here\n"


async def test_a_pod_that_waits_for_a_claim_can_be_deleted(data_dir: Path) -> None:
    async with world(data_dir) as w:
        uid = await w.create(pod("p", container("true", **mounted()), volumes=using()))
        await told(w, uid, "FailedScheduling")
        await w.delete("p")


async def test_an_ephemeral_volume_is_a_claim_of_its_pod(data_dir: Path) -> None:
    async with world(data_dir) as w:
        template = {"metadata": {"labels": {"a": "b"}}, "spec": claim()["spec"]}
        volumes = [{"name": "v", "ephemeral": {"volumeClaimTemplate": template}}]
        await w.create(pod("p", container("touch /v/x; ls /v", **mounted()), volumes=volumes))
        assert await finished(w, "p") == "x\n"
        made = await w.client.get(CLAIMS, NAMESPACE, "p-v")
        assert text(made, "metadata", "labels", "a") == "b"
        await w.delete("p")
        with pytest.raises(NotFoundError):
            await w.client.get(CLAIMS, NAMESPACE, "p-v")


async def test_a_claim_of_somebody_else_is_no_ephemeral_volume(data_dir: Path) -> None:
    async with world(data_dir) as w:
        await w.client.create(CLAIMS, NAMESPACE, claim("p-v"))
        volumes = [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": claim()["spec"]}}}]
        uid = await w.create(pod("p", container("true", **mounted()), volumes=volumes))
        message = await told(w, uid, "FailedScheduling")
        assert 'PVC "p-v" was not created for the pod' in message


async def test_a_claim_that_cannot_be_given_is_refused(data_dir: Path) -> None:
    async with world(data_dir) as w:
        with pytest.raises(ApiError, match='storage class "podlane" alone'):
            await w.client.create(CLAIMS, NAMESPACE, claim(storageClassName="fast"))


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (
            {"csi": {"driver": "d.example"}},
            "driver name d.example not found in the list of registered CSI drivers",
        ),
        (
            {"nfs": {"server": "10.0.0.1", "path": "/p"}},
            "mount failed: mount -t nfs 10.0.0.1:/p: this node has no NFS client",
        ),
        ({"configMap": {"name": "nosuch"}}, 'configmap "nosuch" not found'),
        ({"secret": {"secretName": "nosuch"}}, 'secret "nosuch" not found'),
        ({"emptyDir": {"medium": "HugePages"}}, 'unknown storage medium "HugePages"'),
    ],
)
async def test_a_volume_that_cannot_be_mounted_is_an_event(
    data_dir: Path, source: dict[str, Any], text: str
) -> None:
    async with world(data_dir) as w:
        volumes = [{"name": "v", **source}]
        uid = await w.create(pod("p", container("true", **mounted()), volumes=volumes))
        message = await told(w, uid, "FailedMount")
        assert message.startswith('MountVolume.SetUp failed for volume "v" : ')
        assert text in message


async def test_a_sub_path_is_made_with_the_mode_of_the_volume(data_dir: Path) -> None:
    async with world(data_dir) as w:
        volumes = [{"name": "v", "emptyDir": {}}]
        script = "stat -c %a /v; touch /v/mine; echo written"
        one = container(
            script, securityContext={"runAsUser": 1000}, **mounted(subPath="deep/below")
        )
        await w.create(pod("p", one, volumes=volumes))
        assert await finished(w, "p") == "777\nwritten\n"


async def test_a_path_of_the_machine_without_a_type_is_made(data_dir: Path, tmp_path: Path) -> None:
    async with world(data_dir) as w:
        volumes = [{"name": "v", "hostPath": {"path": str(tmp_path / "new" / "one")}}]
        await w.create(pod("p", container("echo x > /v/file", **mounted()), volumes=volumes))
        await finished(w, "p")
        assert (tmp_path / "new" / "one" / "file").read_text() == "x\n"


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A mount of the machine that is shared, as those of a systemd machine are."""
    place = tmp_path / "shared"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(place)], check=True)
    subprocess.run(["mount", "--make-rshared", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-R", str(place)], check=True)


async def test_mounts_are_seen_on_the_other_side_as_the_pod_says(
    data_dir: Path, shared: Path, runtime: str
) -> None:
    (shared / "in").mkdir()
    (shared / "out").mkdir()
    async with world(data_dir, runtime=runtime) as w:
        script = "mount -t tmpfs none /v/out && touch /v/out/inner && echo made && exec sleep 1000"
        to_machine = container(
            script,
            securityContext={"privileged": True},
            **mounted(mountPropagation="Bidirectional"),
        )
        sees = container("exec sleep 1000", "sees", **mounted(mountPropagation="HostToContainer"))
        alone = container("exec sleep 1000", "alone", **mounted())
        volumes = [{"name": "v", "hostPath": {"path": str(shared)}}]
        await w.create(pod("p", to_machine, sees, alone, volumes=volumes))
        await printed(w, "p", "made")
        assert (shared / "out" / "inner").exists()
        await anyio.run_process(["mount", "-t", "tmpfs", "none", str(shared / "in")])
        (shared / "in" / "outer").touch()
        seen = {}
        for name in ("main", "sees", "alone"):
            _, seen[name] = await w.execute("p", "ls", "/v/in", container=name)
        assert seen == {"main": "outer\n", "sees": "outer\n", "alone": ""}


async def test_what_the_machine_does_not_share_cannot_be_shared(
    data_dir: Path, shared: Path
) -> None:
    await anyio.run_process(["mount", "--make-rprivate", str(shared)])
    async with world(data_dir) as w:
        wants = container(
            "true",
            securityContext={"privileged": True},
            **mounted(mountPropagation="Bidirectional"),
        )
        volumes = [{"name": "v", "hostPath": {"path": str(shared)}}]
        await w.create(pod("p", wants, volumes=volumes))
        found = await w.waiting("p", "CreateContainerError")
        waiting = found.status.container_statuses[0].state.waiting
        assert waiting is not None
        assert f'path is mounted on "{shared}" but it is not a shared mount' in waiting.message


async def test_directories_in_memory_keep_files_from_others_as_on_every_node(
    data_dir: Path,
) -> None:
    names = ("disk", "memory", "secret", "conf")
    script = f"stat -c '%n %a %g' {' '.join(f'/{name}' for name in names)}"
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in names]
    volumes = [
        {"name": "disk", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory"}},
        {"name": "secret", "secret": {"secretName": "s", "optional": True}},
        {"name": "conf", "configMap": {"name": "c", "optional": True}},
    ]
    async with world(data_dir) as w:
        one = container(script, volumeMounts=mounts)
        await w.create(pod("p", one, volumes=volumes))
        assert (
            await finished(w, "p") == "/disk 777 0\n/memory 1777 0\n/secret 1777 0\n/conf 777 0\n"
        )
        grouped = {"fsGroup": 2000}
        await w.create(pod("q", one, volumes=volumes, securityContext=grouped))
        assert await finished(w, "q") == (
            "/disk 2777 2000\n/memory 3777 2000\n/secret 3777 2000\n/conf 2777 2000\n"
        )


async def test_a_directory_in_memory_has_the_room_of_its_pod(data_dir: Path) -> None:
    names = ("none", "more", "less")
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in names]
    sizes: dict[str, dict[str, str]] = {
        "none": {}, "more": {"sizeLimit": "1Gi"}, "less": {"sizeLimit": "8Mi"},
    }  # fmt: skip
    volumes = [{"name": name, "emptyDir": {"medium": "Memory", **sizes[name]}} for name in names]
    script = "df -k /none /more /less | awk '/tmpfs/ {print $2}'"
    limited = {"limits": {"memory": "64Mi"}}
    async with world(data_dir) as w:
        one = container(script, volumeMounts=mounts, resources=limited)
        await w.create(pod("p", one, volumes=volumes))
        assert await finished(w, "p") == "65536\n65536\n8192\n"
