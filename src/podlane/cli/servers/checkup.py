"""What ``podlane doctor`` looks at: this machine as a node, or a cluster and what we may do there."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from podlane.cli import eventloop, places
from podlane.cli.servers import daemon
from podlane.executors.kubernetes.permissions import PERMISSIONS, Permission, needed
from podlane.executors.kubernetes.settings.keys import KubernetesSettings
from podlane.kit.errors import PodlaneError
from podlane.kit.jsonvalue import JsonObject
from podlane.kube.access import Access
from podlane.kube.client import KubeClient
from podlane.kube.paths import RESOURCES
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


def cluster(
    find_access: Callable[[], Access], configured: Sequence[KubernetesSettings] = ()
) -> list[Check]:
    """Look at the kubeconfig, at whether the cluster answers, and at our permissions.

    ``configured``: the settings of runners, which may need more.
    """
    try:
        access = find_access()
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
            detail=f"{access.source}, context {access.context or 'none'}, "
            f"namespace {access.namespace}",
        )
    ]
    try:
        return [*found, *eventloop.run(_permissions, access, tuple(configured))]
    except PodlaneError as error:
        remedy = error.hint or "is the address right, and is the cluster up?"
        return [
            *found,
            Check(name="cluster", verdict=Verdict.MISSING, detail=error.message, remedy=remedy),
        ]


async def _permissions(access: Access, configured: Sequence[KubernetesSettings]) -> list[Check]:
    wanted = dict.fromkeys(
        (namespace_of(settings), needed(settings)) for settings in configured
    ) or {(access.namespace, PERMISSIONS): None}
    found = [Check(name="cluster", verdict=Verdict.OK, detail=f"{access.server} answers")]
    async with KubeClient.connect(access) as client:
        for namespace, rights in wanted:
            denied = [
                one
                for one in rights
                if not await client.can_i(one.verb, one.resource, _scope(one, namespace))
            ]
            found.append(judge_permissions(denied, namespace, len(rights)))
    return found


def namespace_of(settings: KubernetesSettings) -> str:
    """Return where the jobs of these settings are; empty: anywhere."""
    return "" if settings.namespace_per_job else settings.namespace or "default"


def _scope(one: Permission, namespace: str) -> str:
    known = RESOURCES.get(one.resource.partition("/")[0])
    return namespace if known is None or known.namespaced else ""


def judge_permissions(
    denied: Sequence[Permission], namespace: str, total: int = len(PERMISSIONS)
) -> Check:
    """Say what follows from the permissions, of ``total``, that a cluster refuses in a namespace."""
    where = f"namespace {namespace}" if namespace else "all namespaces"
    if not denied:
        detail = f"all {total} granted in {where}"
        return Check(name="permissions", verdict=Verdict.OK, detail=detail)
    missing = [one for one in denied if not one.optional]
    listed = ", ".join(_told(one) for one in missing or denied)
    return Check(
        name="permissions",
        verdict=Verdict.MISSING if missing else Verdict.WARNING,
        detail=f"not allowed in {where}: {listed}",
        remedy="give this user a Role with these verbs (docs/how-to/cluster.md)"
        if missing
        else "jobs run without; a Role that has everything is in docs/how-to/cluster.md",
    )


def _told(one: Permission) -> str:
    why = f"{one.purpose}, for {one.setting}" if one.setting else one.purpose
    return f"{one.verb} {one.resource} ({why})"
