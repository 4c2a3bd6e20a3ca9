"""What this machine has, as the node needs to know it; and the files and objects that say so."""

from __future__ import annotations

import base64
import os
import platform
import stat
from contextlib import suppress
from pathlib import Path

import msgspec

from podlane.kit.architecture import architecture
from podlane.kit.clock import rfc3339
from podlane.kit.jsonvalue import Json, JsonObject
from podlane.node.runtime import cgroups
from podlane.node.runtime.bundle import CAPABILITY_BITS, Device
from podlane.node.runtime.cgroups import Cgroups
from podlane.node.runtime.mounts import in_user_namespace

_PSEUDO = {"pts", "shm", "mqueue", "fd", "console", "ptmx", "tty", "hugepages"}
KUBELET_VERSION = "v1.32.0"


def memory_bytes() -> int:
    """Return the size of the memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def highest_uid() -> int:
    """Return the highest user id that exists here; low when we are in a user namespace."""
    text = Path("/proc/self/uid_map").read_text(encoding="ascii")
    ranges = [(int(row[0]), int(row[2])) for row in map(str.split, text.splitlines())]
    top = max((first + count - 1 for first, count in ranges), default=0)
    return min(top, 2**31 - 1)


def capabilities() -> frozenset[str]:
    """Return the capabilities that we may give to containers: those that we could have ourselves."""
    bounding = 0
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name == "CapBnd":
            bounding = int(value, 16)
    return frozenset(name for name, bit in CAPABILITY_BITS.items() if bounding >> bit & 1)


def usable_cgroups(runtime: str) -> tuple[Cgroups, bool]:
    """Return the control groups, prepared for the runtime, and whether limits can be enforced.

    crun refuses to work at all in a hybrid layout with controllers on v2, so those are mounted.
    """
    groups = cgroups.find()
    if os.geteuid() != 0 or in_user_namespace():
        return groups, False
    if runtime == "crun" and groups.stray:
        with suppress(OSError):
            groups = cgroups.prepare(groups)
    return groups, cgroups.writable(groups)


def devices() -> tuple[Device, ...]:
    """Return the device nodes of the machine, for privileged containers."""
    if os.geteuid() != 0 or in_user_namespace():
        return ()
    found: list[Device] = []
    for parent, directories, files in os.walk("/dev"):
        directories[:] = [name for name in directories if name not in _PSEUDO]
        for name in files:
            if name not in _PSEUDO or parent != "/dev":
                with suppress(OSError):
                    found += _device(Path(parent) / name)
    return tuple(found)


def _device(path: Path) -> list[Device]:
    kind = path.lstat()
    letter = "c" if stat.S_ISCHR(kind.st_mode) else "b" if stat.S_ISBLK(kind.st_mode) else ""
    if not letter:
        return []
    major, minor = os.major(kind.st_rdev), os.minor(kind.st_rdev)
    return [Device(path=str(path), kind=letter, major=major, minor=minor)]


def node_manifest(name: str, now: float, runtime: str) -> JsonObject:
    """Return the Node object."""
    system = platform.uname()
    arch = architecture()
    resources: JsonObject = {
        "cpu": str(os.cpu_count() or 1),
        "memory": f"{memory_bytes() // 1024}Ki",
        "pods": "110",
    }
    conditions: list[Json] = [
        {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "message": "kubelet is posting ready status",
            "lastHeartbeatTime": rfc3339(now),
            "lastTransitionTime": rfc3339(now),
        }
    ]
    labels: JsonObject = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": arch,
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {},
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "conditions": conditions,
            "addresses": [
                {"type": "InternalIP", "address": "127.0.0.1"},
                {"type": "Hostname", "address": name},
            ],
            "nodeInfo": {
                "architecture": arch,
                "operatingSystem": "linux",
                "kernelVersion": system.release,
                "osImage": _os_name(),
                "containerRuntimeVersion": f"{runtime}://{runtime}",
                "kubeletVersion": KUBELET_VERSION,
                "kubeProxyVersion": "",
                "bootID": "",
                "machineID": "",
                "systemUUID": "",
            },
        },
    }


def write_kubeconfig(path: Path, url: str, ca: Path, token: str) -> None:
    """Write a kubeconfig that only its owner can read (JSON, which is YAML)."""
    config: JsonObject = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "podlane",
                "cluster": {
                    "server": url,
                    "certificate-authority-data": base64.b64encode(ca.read_bytes()).decode(),
                },
            }
        ],
        "users": [{"name": "podlane", "user": {"token": token}}],
        "contexts": [
            {
                "name": "podlane",
                "context": {"cluster": "podlane", "user": "podlane", "namespace": "default"},
            }
        ],
        "current-context": "podlane",
    }
    temporary = path.with_name(f".{path.name}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(config), indent=2))
    temporary.rename(path)


def _os_name() -> str:
    with suppress(OSError):
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    return "Linux"
