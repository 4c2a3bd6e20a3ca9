"""Executors for the runner: ``[runners.kubernetes]`` on a cluster. Wires runner and executor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio.to_thread

from podlane.executors.base import Executor
from podlane.executors.kubernetes.executor import ManagerIdentity, open_executor
from podlane.executors.kubernetes.restart.takeover import names
from podlane.executors.kubernetes.settings.decode import decode_settings
from podlane.executors.kubernetes.settings.keys import KubernetesSettings
from podlane.kit.diagnostics import Place, has_errors
from podlane.kit.errors import UsageError
from podlane.kube.access import Access, load_access
from podlane.runner.app import OpenExecutor
from podlane.runner.configuration.settings import GlobalSettings, RunnerSettings
from podlane.runner.identity import Manager
from podlane.runner.system_id import short_token

FindAccess = Callable[[KubernetesSettings], Access]


def opener(find_access: FindAccess) -> OpenExecutor:
    """Return what opens the executor of one runner on the cluster that ``find_access`` names."""

    @asynccontextmanager
    async def open_one(runner: RunnerSettings, manager: Manager) -> AsyncIterator[Executor]:
        settings, findings = decode_settings(runner.executor_table, Place(file="config.toml"))
        if has_errors(findings):
            raise UsageError("; ".join(finding.message for finding in findings))
        access = await anyio.to_thread.run_sync(find_access, settings)
        identity = ManagerIdentity(
            system_id=manager.system_id,
            short_token=short_token(runner.token),
            household=manager.household,
            kept=names(manager.memories),
            tenure=manager.tenure,
        )
        async with open_executor(settings, access, identity) as executor:
            yield executor

    return open_one


def all_settings(loaded: GlobalSettings, config: Path) -> tuple[KubernetesSettings, ...]:
    """Return ``[runners.kubernetes]`` of all runners of a file.

    Raises:
        UsageError: it has none.
    """
    if not loaded.runners:
        raise UsageError(f"{config} has no [[runners]]", hint="name the file of a runner manager")
    place = Place(file=str(config))
    return tuple(decode_settings(runner.executor_table, place)[0] for runner in loaded.runners)


def configured_access(settings: KubernetesSettings) -> Access:
    """Return the access that ``config.toml`` names: ``host``, else a kubeconfig's ``context``.

    Raises:
        AccessError: no kubeconfig, or it cannot be used.
        UsageError: a file that the settings name cannot be read.
    """
    if not settings.host:
        return load_access(None, settings.context or None)
    access = Access(server=settings.host.rstrip("/"), source="config.toml")
    return replace(
        access,
        ca_data=_content("ca_file", settings.ca_file),
        client_cert_data=_content("cert_file", settings.cert_file),
        client_key_data=_content("key_file", settings.key_file),
        token=settings.bearer_token or None,
    )


def _content(key: str, name: str) -> bytes | None:
    if not name:
        return None
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise UsageError(
            f"config.toml: runners.kubernetes.{key}: cannot read {name}: {error.strerror}"
        ) from error
