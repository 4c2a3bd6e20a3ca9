"""Waiting for services: those with ``HEALTHCHECK_TCP_PORT`` must answer before the job goes on. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from podlane.executors.base import StageScript
from podlane.executors.kubernetes.manifests.services import PodService
from podlane.model.substages import PREPARE_SCRIPT

_VARIABLE = "HEALTHCHECK_TCP_PORT"


def with_health_checks(
    stages: Sequence[StageScript], services: Sequence[PodService]
) -> tuple[StageScript, ...]:
    """Return the stages, the first of which waits for every service that names its port.

    The helper's own command does it, so it works with the stock helper image too; the job's timeout
    bounds it.
    """
    ports = [port for service in services if (port := _port(service)) is not None]
    if not ports:
        return tuple(stages)
    asked = " ".join(f"--port {port}" for port in ports)
    names = ", ".join(service.container for service in services if _port(service) is not None)
    check = (
        f"echo 'Waiting for services to be up and running: {names}...'\n"
        f"gitlab-runner-helper health-check {asked} || exit $?\n"
    )
    return tuple(
        replace(stage, script=check + stage.script) if stage.substage == PREPARE_SCRIPT else stage
        for stage in stages
    )


def _port(service: PodService) -> int | None:
    for variable in service.variables:
        if variable.key == _VARIABLE and variable.value.isdecimal():
            return int(variable.value)
    return None
