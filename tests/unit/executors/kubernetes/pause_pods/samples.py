"""Pause pods and their settings, for these tests."""

from __future__ import annotations

from typing import Any

from podlane.executors.kubernetes.manifests.metadata import PROCESS
from podlane.executors.kubernetes.pause_pods.manifest import (
    RUNNER,
    TEMPLATE,
    Owner,
    Template,
    make_template,
)
from podlane.executors.kubernetes.settings.decode import decode_settings
from podlane.executors.kubernetes.settings.keys import KubernetesSettings
from podlane.kit.clock import rfc3339
from podlane.kit.diagnostics import Diagnostic, Place
from podlane.kube.types import ObjectMeta, Pod, PodSpec, PodStatus

# 2024-05-06 was a Monday.
MONDAY_NOON = 1_714_996_815.0
OWNER = Owner(runner="abc", system_id="s_1", process="boot-1-2.house")


def decoded(**settings: Any) -> tuple[KubernetesSettings, list[Diagnostic]]:
    return decode_settings(settings, Place(file="config.toml"))


def template(**settings: Any) -> Template:
    """What pause pods are with ``settings``; ``autoscaler`` may be among them."""
    read, found = decoded(**{"autoscaler": {"policy": [{"idle_count": 1}]}, **settings})
    assert found == []
    assert read.autoscaler is not None
    return make_template(read, read.autoscaler, OWNER)


TEMPLATE_NOW = template()


def pod(
    name: str,
    *,
    mark: str = TEMPLATE_NOW.mark,
    process: str = "boot-1-2",
    runner: str = "abc",
    age: float = 500.0,
    node: str = "node-1",
    leaving: bool = False,
    **status: Any,
) -> Pod:
    """A pod as the watch shows it at ``MONDAY_NOON``."""
    made = rfc3339(MONDAY_NOON - age)
    return Pod(
        metadata=ObjectMeta(
            name=name,
            labels={TEMPLATE: mark, PROCESS: process, RUNNER: runner},
            creation_timestamp=made,
            deletion_timestamp=made if leaving else None,
        ),
        spec=PodSpec(node_name=node),
        status=PodStatus(**{"phase": "Running", **status}),
    )


def seen(*pods: Pod) -> dict[str, Pod]:
    """The pods by name."""
    return {one.metadata.name: one for one in pods}
