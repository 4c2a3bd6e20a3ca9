"""What ``podlane doctor`` looks at: this machine as a node, or a cluster and what we may do there."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from podlane.cli import daemon, eventloop, places
from podlane.kit.errors import PodlaneError
from podlane.kit.jsonvalue import JsonObject
from podlane.kube.access import Access, load_access
from podlane.kube.client import KubeClient
from podlane.node.runtime import cgroups, oci

MIN_FREE_BYTES = 1_000_000_000
MIN_FREE_INODES = 10_000

# What the runner asks of a cluster, in the namespace of its pods.
PERMISSIONS = (
    ("create", "pods"),
    ("get", "pods"),
    ("list", "pods"),
    ("watch", "pods"),
    ("patch", "pods"),
    ("delete", "pods"),
    ("create", "pods/exec"),
    ("get", "pods/log"),
    ("create", "secrets"),
    ("patch", "secrets"),
    ("delete", "secrets"),
    ("list", "events"),
)


class Verdict(StrEnum):
    """What a check found."""

    OK = "ok"
    WARNING = "warning"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at, and what to do about it."""

    name: str
    verdict: Verdict
    detail: str
    remedy: str | None = None

    def document(self) -> JsonObject:
        """Return it as JSON."""
        return {
            "name": self.name,
            "verdict": str(self.verdict),
            "detail": self.detail,
            "remedy": self.remedy,
        }


def machine() -> list[Check]:
    """Look at what every run here needs, with or without a cluster."""
    return [_git(), *_disk()]


def node() -> list[Check]:
    """Look at what the embedded node needs."""
    return [_runtime(), _privileges(), _limits(), _running_node()]


def _runtime() -> Check:
    try:
        found = oci.find_program("auto")
    except PodlaneError as error:
        return Check(
            name="container runtime",
            verdict=Verdict.MISSING,
            detail=error.message,
            remedy=error.hint,
        )
    return Check(name="container runtime", verdict=Verdict.OK, detail=found)


def _privileges() -> Check:
    if os.geteuid() == 0:
        return Check(name="privileges", verdict=Verdict.OK, detail="root")
    user = pwd.getpwuid(os.geteuid()).pw_name
    if not _content("/proc/sys/user/max_user_namespaces").strip("0\n"):
        return Check(
            name="privileges",
            verdict=Verdict.MISSING,
            detail="not root, and user namespaces are switched off",
            remedy="run as root, or: sudo sysctl -w user.max_user_namespaces=15000",
        )
    if shutil.which("newuidmap") is None:
        return Check(
            name="privileges",
            verdict=Verdict.MISSING,
            detail="not root, and newuidmap is not installed",
            remedy="sudo apt-get install uidmap",
        )
    lacking = [
        name
        for name in ("/etc/subuid", "/etc/subgid")
        if not any(line.startswith(f"{user}:") for line in _content(name).splitlines())
    ]
    if lacking:
        return Check(
            name="privileges",
            verdict=Verdict.MISSING,
            detail=f"not root, and {user} has no line in {' and '.join(lacking)}",
            remedy=f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}",
        )
    return Check(name="privileges", verdict=Verdict.OK, detail=f"{user}, with user namespaces")


def _limits() -> Check:
    groups = cgroups.find()
    if os.geteuid() == 0 and cgroups.writable(groups):
        detail = f"cgroup {groups.layout}: memory and CPU limits are enforced"
        return Check(name="limits", verdict=Verdict.OK, detail=detail)
    return Check(
        name="limits",
        verdict=Verdict.WARNING,
        detail=f"cgroup {groups.layout} cannot be written: memory and CPU limits are not enforced",
        remedy="run as root, on a machine where /sys/fs/cgroup is writable, if you need limits",
    )


def _content(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _git() -> Check:
    found = shutil.which("git")
    if found is None:
        return Check(
            name="git",
            verdict=Verdict.MISSING,
            detail="not installed; the coordinator serves the sources with it",
            remedy="apt-get install git",
        )
    shown = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
    return Check(name="git", verdict=Verdict.OK, detail=shown.stdout.strip() or found)


def _disk() -> Iterator[Check]:
    folder = places.data_dir()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        yield Check(
            name="data directory",
            verdict=Verdict.MISSING,
            detail=f"{existing} is not writable",
            remedy="choose another one with PODLANE_DATA_DIR",
        )
        return
    space = os.statvfs(existing)
    free = space.f_bavail * space.f_frsize
    full = free < MIN_FREE_BYTES or (space.f_files > 0 and space.f_favail < MIN_FREE_INODES)
    yield Check(
        name="data directory",
        verdict=Verdict.WARNING if full else Verdict.OK,
        detail=f"{folder}: {free / 1e9:.1f} GB and {space.f_favail} files free",
        remedy="make room, or choose another place with PODLANE_DATA_DIR" if full else None,
    )


def _running_node() -> Check:
    found = daemon.running(places.node_dir())
    if found is None:
        return Check(
            name="node", verdict=Verdict.OK, detail="not running; podlane run starts a private one"
        )
    return Check(name="node", verdict=Verdict.OK, detail=f"running: {found.url}")


def cluster(kubeconfig: Path | None, context: str | None) -> list[Check]:
    """Look at the kubeconfig, at whether the cluster answers, and at our permissions."""
    try:
        access = load_access(kubeconfig, context)
    except PodlaneError as error:
        return [
            Check(
                name="kubeconfig",
                verdict=Verdict.MISSING,
                detail=error.message,
                remedy=error.hint or "kubectl config get-contexts",
            )
        ]
    found = [
        Check(
            name="kubeconfig",
            verdict=Verdict.OK,
            detail=f"{access.source}, context {access.context}, namespace {access.namespace}",
        )
    ]
    try:
        return [*found, *eventloop.run(_permissions, access)]
    except PodlaneError as error:
        remedy = error.hint or "is the address right, and is the cluster up?"
        return [
            *found,
            Check(name="cluster", verdict=Verdict.MISSING, detail=error.message, remedy=remedy),
        ]


async def _permissions(access: Access) -> list[Check]:
    async with KubeClient.connect(access) as client:
        denied = [
            f"{verb} {resource}"
            for verb, resource in PERMISSIONS
            if not await client.can_i(verb, resource, access.namespace)
        ]
    answers = Check(name="cluster", verdict=Verdict.OK, detail=f"{access.server} answers")
    if not denied:
        return [
            answers,
            Check(name="permissions", verdict=Verdict.OK, detail=f"all {len(PERMISSIONS)} granted"),
        ]
    return [
        answers,
        Check(
            name="permissions",
            verdict=Verdict.MISSING,
            detail=f"not allowed in namespace {access.namespace}: {', '.join(denied)}",
            remedy="give this user a Role with these verbs (docs/how-to/cluster.md)",
        ),
    ]
