"""What ``podlane doctor`` looks at: this machine as a node, or a cluster and what we may do there."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from podlane.cli import eventloop, places
from podlane.cli.servers import daemon
from podlane.executors.kubernetes.permissions import PERMISSIONS, Permission
from podlane.kit.errors import PodlaneError
from podlane.kit.jsonvalue import JsonObject
from podlane.kube.access import Access, load_access
from podlane.kube.client import KubeClient
from podlane.node import preflight
from podlane.node.settings import NodeSettings, private_state_dir


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
    return [_git()]


def node() -> list[Check]:
    """Look at what the embedded node needs."""
    data_dir = places.data_dir()
    settings = NodeSettings(state_dir=private_state_dir(data_dir), data_dir=data_dir)
    verdicts = {
        preflight.Level.OK: Verdict.OK,
        preflight.Level.WARN: Verdict.WARNING,
        preflight.Level.FAIL: Verdict.MISSING,
    }
    looked = [
        Check(
            name=check.name,
            verdict=verdicts[check.level],
            detail=check.what,
            remedy=check.fix or None,
        )
        for check in preflight.checks(settings)
    ]
    return [*looked, _running_node()]


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
            one
            for one in PERMISSIONS
            if not await client.can_i(one.verb, one.resource, access.namespace)
        ]
    answers = Check(name="cluster", verdict=Verdict.OK, detail=f"{access.server} answers")
    return [answers, judge_permissions(denied, access.namespace)]


def judge_permissions(denied: Sequence[Permission], namespace: str) -> Check:
    """Say what follows from the permissions that a cluster refuses in a namespace."""
    if not denied:
        return Check(
            name="permissions", verdict=Verdict.OK, detail=f"all {len(PERMISSIONS)} granted"
        )
    missing = [one for one in denied if not one.optional]
    listed = ", ".join(f"{one.verb} {one.resource} ({one.purpose})" for one in missing or denied)
    return Check(
        name="permissions",
        verdict=Verdict.MISSING if missing else Verdict.WARNING,
        detail=f"not allowed in namespace {namespace}: {listed}",
        remedy="give this user a Role with these verbs (docs/how-to/cluster.md)"
        if missing
        else "jobs run without; a Role that has everything is in docs/how-to/cluster.md",
    )
