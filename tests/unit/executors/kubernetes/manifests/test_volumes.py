"""``[runners.kubernetes.volumes]``: what is refused at once, and what is in the pod."""

from __future__ import annotations

from typing import Any

import pytest

from podlane.executors.base import Level
from podlane.executors.kubernetes.refusal import PlanError
from podlane.executors.kubernetes.settings.decode import decode_settings
from podlane.kit.diagnostics import Place, Severity
from podlane.model.job import Service, Variable
from tests.unit.executors.kubernetes.samples import (
    containers,
    execution_plan,
    pod_plan,
    settings,
    spec,
)

EVERY_KIND: dict[str, Any] = {
    "host_path": [
        {"name": "docker", "mount_path": "/var/run/docker.sock", "read_only": True},
        {"name": "data", "mount_path": "/d", "host_path": "/srv/data", "sub_path": "ci",
         "mount_propagation": "HostToContainer"},
    ],
    "pvc": [{"name": "claim", "mount_path": "/cache", "sub_path": "a", "read_only": True,
             "mount_propagation": "None"}],
    "config_map": [{"name": "conf", "mount_path": "/etc/conf", "items": {"key": "x/y"}}],
    "secret": [{"name": "keys", "mount_path": "/keys", "read_only": True, "items": {"k": "p"}}],
    "empty_dir": [{"name": "ram", "mount_path": "/ram", "medium": "Memory", "size_limit": "1Gi"}],
    "csi": [{"name": "inline", "mount_path": "/csi", "driver": "d.example", "fs_type": "ext4",
             "read_only": True, "volume_attributes": {"size": "2G"}}],
    "nfs": [{"name": "share", "mount_path": "/nfs", "server": "10.0.0.1", "path": "/exports",
             "read_only": True, "sub_path": "s"}],
}  # fmt: skip


def findings(**volumes: Any) -> list[str]:
    """What is wrong, as sentences; warnings begin with their severity."""
    table: Any = {"volumes": volumes}
    _, found = decode_settings(table, Place(file="config.toml"))
    return [
        ("warning: " if f.severity is Severity.WARNING else "")
        + f.message.removeprefix("runners.kubernetes.volumes.")
        for f in found
    ]


def volume(name: str = "v", mount_path: str = "/v", **more: Any) -> dict[str, Any]:
    return {"name": name, "mount_path": mount_path, **more}


def plan_of(*variables: tuple[str, str], **volumes: Any) -> Any:
    plan = execution_plan(
        variables=tuple(Variable(key=key, value=value) for key, value in variables),
        services=(Service(name="redis", alias="cache"),),
    )
    return pod_plan(plan, settings(volumes=volumes))


def test_every_kind_of_volume_is_in_the_pod_with_all_its_keys() -> None:
    made = {entry["name"]: entry for entry in spec(plan_of(**EVERY_KIND))["volumes"]}
    wanted: dict[str, Any] = {
        "docker": {"hostPath": {"path": "/var/run/docker.sock"}},
        "data": {"hostPath": {"path": "/srv/data"}},
        "claim": {"persistentVolumeClaim": {"claimName": "claim"}},
        "conf": {"configMap": {"name": "conf", "items": [{"key": "key", "path": "x/y"}]}},
        "keys": {"secret": {"secretName": "keys", "items": [{"key": "k", "path": "p"}]}},
        "ram": {"emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
        "inline": {
            "csi": {
                "driver": "d.example",
                "readOnly": True,
                "fsType": "ext4",
                "volumeAttributes": {"size": "2G"},
            }
        },
        "share": {"nfs": {"server": "10.0.0.1", "path": "/exports", "readOnly": True}},
    }
    for name, source in wanted.items():
        assert made[name] == {"name": name, **source}


def test_all_containers_mount_all_volumes_in_gitlabs_order() -> None:
    boxes = containers(plan_of(**EVERY_KIND))
    ordered = ["docker", "data", "keys", "claim", "conf", "ram", "inline", "share"]
    names = {name: [mount["name"] for mount in box["volumeMounts"]] for name, box in boxes.items()}
    assert names == {
        "init-permissions": ["scripts", "logs", "tools", *ordered],
        "build": ["scripts", "logs", "tools", *ordered, "repo"],
        "helper": ["scripts", "logs", "tools", *ordered, "repo"],
        "cache": [*ordered, "repo"],
    }
    mounts = {mount["name"]: mount for mount in boxes["build"]["volumeMounts"]}
    assert mounts["data"] == {
        "name": "data",
        "mountPath": "/d",
        "subPath": "ci",
        "mountPropagation": "HostToContainer",
    }
    assert mounts["share"] == {
        "name": "share",
        "mountPath": "/nfs",
        "subPath": "s",
        "readOnly": True,
    }
    assert mounts["ram"] == {"name": "ram", "mountPath": "/ram"}


def test_a_volume_at_the_builds_directory_takes_the_place_of_ours() -> None:
    plan = plan_of(empty_dir=[volume("repo", "/builds/", medium="Memory")])
    volumes = {entry["name"]: entry for entry in spec(plan)["volumes"]}
    assert volumes["repo"] == {"name": "repo", "emptyDir": {"medium": "Memory"}}
    for name in ("build", "helper", "cache"):
        mounts = containers(plan)[name]["volumeMounts"]
        assert [m["mountPath"] for m in mounts if m["name"] == "repo"] == ["/builds/"]


def test_variables_are_put_into_paths_and_the_names_of_claims_alone() -> None:
    plan = plan_of(
        ("SLOT", "3"),
        pvc=[volume("build-$SLOT", "/slots/$SLOT", sub_path="p/$SLOT")],
        host_path=[volume("h", "/h/$SLOT")],
    )
    volumes = {entry["name"]: entry for entry in spec(plan)["volumes"]}
    assert volumes["build-3"]["persistentVolumeClaim"] == {"claimName": "build-3"}
    # Who writes a job must not choose a path of the node.
    assert volumes["h"]["hostPath"] == {"path": "/h/$SLOT"}
    mounts = {mount["name"]: mount for mount in containers(plan)["build"]["volumeMounts"]}
    assert (mounts["build-3"]["mountPath"], mounts["build-3"]["subPath"]) == ("/slots/3", "p/3")
    assert mounts["h"]["mountPath"] == "/h/3"


def test_several_entries_of_one_claim_are_mounts_of_one_volume() -> None:
    plan = plan_of(
        ("NAME", "c"),
        pvc=[volume("c", "/one", sub_path="1"), volume("c", "/two"), volume("$NAME", "/three")],
    )
    assert [v["name"] for v in spec(plan)["volumes"]].count("c") == 1
    mounts = containers(plan)["build"]["volumeMounts"]
    assert [m["mountPath"] for m in mounts if m["name"] == "c"] == ["/one", "/two", "/three"]


def test_a_volume_may_be_called_as_our_own_one_of_tools() -> None:
    plan = plan_of(empty_dir=[volume("tools", "/opt/tools")])
    mounts = {m["mountPath"]: m["name"] for m in containers(plan)["build"]["volumeMounts"]}
    assert mounts["/opt/tools"] == "tools"
    assert mounts["/podlane"] == "podlane-tools"
    names = [entry["name"] for entry in spec(plan)["volumes"]]
    assert sorted(names) == sorted(set(names))


def test_a_size_limit_that_cannot_be_read_is_a_warning_and_no_limit() -> None:
    entry = volume("tmp", "/tmp", size_limit="lots")
    assert findings(empty_dir=[entry]) == [
        'warning: empty_dir[0]: size_limit "lots" is not a quantity and has no effect'
    ]
    decoded, _ = decode_settings({"volumes": {"empty_dir": [entry]}}, Place(file="c"))
    plan = pod_plan(configured=decoded)
    volumes = {entry["name"]: entry for entry in spec(plan)["volumes"]}
    assert volumes["tmp"] == {"name": "tmp", "emptyDir": {}}
    warned = [note.text for note in plan.notes if note.level is Level.WARNING]
    assert len(warned) == 1
    assert warned[0].startswith('invalid limit quantity "lots" for empty volume "tmp"')


@pytest.mark.parametrize(
    ("volumes", "text"),
    [
        ({"pvc": [{"mount_path": "/v"}]}, "pvc[0]: name must be set"),
        ({"secret": [{"name": "v"}]}, "secret[0]: mount_path must be set"),
        ({"nfs": [{}]}, "nfs[0]: name and mount_path and server and path must be set"),
        ({"csi": [volume()]}, "csi[0]: driver must be set"),
        ({"pvc": [volume(mount_path="v")]}, 'pvc[0]: mount_path "v" is not an absolute path'),
        ({"pvc": [volume(mount_path="/")]}, 'pvc[0]: mount_path "/" would hide the whole image'),
        (
            {"pvc": [volume()], "nfs": [volume("w", "/v/", server="s", path="/p")]},
            "nfs[0]: volumes.pvc[0] is mounted at /v/ too",
        ),
        (
            {"secret": [volume()], "config_map": [volume(mount_path="/w")]},
            'config_map[0]: there is a volume called "v" already',
        ),
        ({"pvc": [volume("My_Claim")]}, 'pvc[0]: "My_Claim" cannot be the name of a volume'),
        ({"pvc": [volume("logs")]}, 'pvc[0]: "logs" is the name of a volume that every job has'),
        (
            {"pvc": [volume(mount_path="/podlane/x")]},
            "pvc[0]: mount_path /podlane/x is where the tools of every job are",
        ),
        (
            {"pvc": [volume(mount_path="/logs-7-42/x")]},
            "pvc[0]: mount_path /logs-7-42/x is where a job has its scripts or logs",
        ),
        ({"pvc": [volume(sub_path="a/../../b")]}, 'sub_path "a/../../b" leads out of the volume'),
        ({"pvc": [volume(mount_propagation="Both")]}, '"Both" is not a mount propagation'),
        ({"empty_dir": [volume(medium="RAM")]}, 'empty_dir[0]: "RAM" is not a medium'),
        ({"empty_dir": [volume(size_limit="-1")]}, 'size_limit "-1" is less than nothing'),
        ({"host_path": [volume(host_path="srv")]}, 'host_path "srv" is not an absolute path'),
    ],
)
def test_what_no_pod_could_have_is_found_in_the_file(volumes: Any, text: str) -> None:
    found = findings(**volumes)
    assert len(found) == 1
    assert text in found[0]
    assert not found[0].startswith("warning")


def test_a_mount_above_the_scripts_would_give_them_to_root() -> None:
    table: Any = {
        "scripts_base_dir": "/var/ci",
        "volumes": {"pvc": [volume("a", "/var/ci"), volume("b", "/var"), volume("c", "/var/x")]},
    }
    _, found = decode_settings(table, Place(file="config.toml"))
    assert [f.message.removeprefix("runners.kubernetes.volumes.") for f in found] == [
        "pvc[0]: mount_path /var/ci is above scripts_base_dir /var/ci",
        "pvc[1]: mount_path /var is above scripts_base_dir /var/ci",
    ]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/scripts-7-42", "is where a job has its scripts or logs"),
        ("/x/../logs-7-42/deep", "is where a job has its scripts or logs"),
        ("/podlane/sh", "is where the tools of every job are"),
        ("here", "is not an absolute path"),
        ("//", "would hide the whole image"),
        ("/taken/", 'the volumes "v" and "w" are both mounted at /taken'),
    ],
)
def test_a_job_cannot_put_a_volume_over_our_directories_by_its_variables(
    path: str, text: str
) -> None:
    with pytest.raises(PlanError) as caught:
        plan_of(("P", path), pvc=[volume("v", "$P"), volume("w", "/taken")])
    assert text in caught.value.message
    assert "[runners.kubernetes.volumes]" in str(caught.value.hint)


def test_a_job_cannot_leave_a_volume_or_rename_it_to_ours_by_its_variables() -> None:
    with pytest.raises(PlanError, match="leads out"):
        plan_of(("P", "../x"), pvc=[volume(sub_path="$P")])
    with pytest.raises(PlanError, match="cannot be the name of a volume"):
        plan_of(("N", "scripts"), pvc=[volume("$N")])
    with pytest.raises(PlanError, match='two volumes are called "k"'):
        plan_of(("N", "k"), pvc=[volume("$N")], secret=[volume("k", "/k")])
    with pytest.raises(PlanError, match="must be mounted at the builds directory, /builds"):
        plan_of(pvc=[volume("repo", "/elsewhere")])


def test_without_volumes_nothing_is_watched_for() -> None:
    assert not pod_plan().mounts_volumes
    assert plan_of(pvc=[volume()]).mounts_volumes
