"""The manifests of the manager say what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from podlane.executors.kubernetes.permissions import PERMISSIONS
from podlane.runner import system_id

DEPLOY = Path(__file__).parents[1] / "deploy"
CONTAINERFILE = (DEPLOY / "Containerfile").read_text()


@pytest.fixture(scope="module")
def objects() -> dict[str, Any]:
    documents = yaml.safe_load_all((DEPLOY / "podlane-runner.yaml").read_text())
    return {document["kind"]: document for document in documents}


def test_the_role_has_exactly_what_the_manager_asks_for(objects: dict[str, Any]) -> None:
    granted = {
        (verb, resource)
        for rule in objects["Role"]["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == {(one.verb, one.resource) for one in PERMISSIONS}


def test_the_role_is_bound_to_the_account_of_the_pod(objects: dict[str, Any]) -> None:
    account = objects["ServiceAccount"]["metadata"]["name"]
    binding = objects["RoleBinding"]
    assert binding["roleRef"]["name"] == objects["Role"]["metadata"]["name"]
    assert [subject["name"] for subject in binding["subjects"]] == [account]
    assert objects["StatefulSet"]["spec"]["template"]["spec"]["serviceAccountName"] == account


def test_the_pod_probes_the_address_that_the_manager_listens_on(objects: dict[str, Any]) -> None:
    (manager,) = objects["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    (port,) = manager["ports"]
    assert manager["args"] == ["run", "--listen-address", f":{port['containerPort']}"]
    assert manager["readinessProbe"]["httpGet"] == {"path": "/readiness", "port": port["name"]}
    assert f"EXPOSE {port['containerPort']}" in CONTAINERFILE


def test_what_a_manager_writes_beside_its_configuration_is_kept(objects: dict[str, Any]) -> None:
    spec = objects["StatefulSet"]["spec"]["template"]["spec"]
    (manager,) = spec["containers"]
    (config,) = spec["initContainers"]
    (directory,) = re.findall(r"CONFIG_FILE=(\S+)/config\.toml", CONTAINERFILE)
    kept = {"name": "state", "mountPath": directory}
    assert kept in manager["volumeMounts"]
    assert kept in config["volumeMounts"]
    assert f"cd {directory}\n" in config["command"][-1]
    assert system_id.FILE_NAME not in config["command"][-1]  # nothing there touches it


def test_the_image_has_every_file_that_it_copies() -> None:
    root = DEPLOY.parent
    sources = re.findall(r"^COPY (?!--from)(.+) \S+$", CONTAINERFILE, flags=re.MULTILINE)
    named = [name for line in sources for name in line.split()]
    assert named
    assert [name for name in named if not (root / name).exists()] == []
    ignored = (root / ".dockerignore").read_text().split()
    assert not {name.partition("/")[0] for name in named} & set(ignored)
