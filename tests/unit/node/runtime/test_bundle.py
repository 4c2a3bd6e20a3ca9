"""A container as an OCI configuration."""

from __future__ import annotations

from podlane.kit.jsonvalue import JsonObject, obj, objects, text
from podlane.node.runtime.bundle import (
    ALL_CAPABILITIES,
    CAPABILITY_BITS,
    DEFAULT_CAPABILITIES,
    Bind,
    Bundle,
    Device,
    Limits,
    Security,
    User,
    config_json,
)

NAMESPACES = (("network", "/proc/1/fd/5"), ("ipc", "/proc/1/fd/6"))


def _config(**changes: object) -> JsonObject:
    base: dict[str, object] = {
        "rootfs": "/r",
        "args": ("true",),
        "env": ("A=1",),
        "namespaces": NAMESPACES,
        "cgroup": "/podlane/x/pod/c",
    }
    return config_json(Bundle(**(base | changes)))  # type: ignore[arg-type] # test shorthand


def _targets(config: JsonObject) -> list[str]:
    return [text(mount, "destination") for mount in objects(config, "mounts")]


def test_the_default_rights_are_those_of_a_containerd_node() -> None:
    bits = sum(1 << CAPABILITY_BITS[name] for name in DEFAULT_CAPABILITIES)
    assert bits == 0xA80425FB
    assert sum(1 << CAPABILITY_BITS[name] for name in ALL_CAPABILITIES) == 0x1FFFFFFFFFF


def test_pid_and_mount_namespaces_are_new_and_the_pods_are_joined() -> None:
    namespaces = objects(_config(), "linux", "namespaces")
    assert {"type": "pid"} in namespaces
    assert {"type": "mount"} in namespaces
    assert {"type": "network", "path": "/proc/1/fd/5"} in namespaces


def test_rlimits_are_inherited() -> None:
    assert "rlimits" not in obj(_config(), "process")


def test_a_volume_inside_a_volume_is_mounted_after_it() -> None:
    inner = Bind(source="/v/i", target="/data/inner")
    outer = Bind(source="/v/o", target="/data", read_only=True)
    config = _config(binds=(inner, outer))
    targets = _targets(config)
    assert targets.index("/data") < targets.index("/data/inner")
    mount = objects(config, "mounts")[targets.index("/data")]
    assert mount["options"] == ["rbind", "rprivate", "ro"]


def test_without_control_groups_nothing_is_said_about_them() -> None:
    config = _config(cgroup=None, limits=Limits(memory_bytes=1))
    linux = obj(config, "linux")
    assert "resources" not in linux
    assert "cgroupsPath" not in linux
    assert "/sys/fs/cgroup" not in _targets(config)


def test_limits_become_resources() -> None:
    limits = Limits(memory_bytes=1 << 20, cpu_shares=512, cpu_quota_us=50_000, pids=10)
    resources = obj(_config(limits=limits), "linux", "resources")
    assert resources["memory"] == {"limit": 1 << 20, "swap": 1 << 20}
    assert resources["cpu"] == {"shares": 512, "quota": 50_000, "period": 100_000}
    assert resources["pids"] == {"limit": 10}


def test_a_privileged_container_sees_everything() -> None:
    device = Device(path="/dev/kvm", kind="c", major=10, minor=232)
    security = Security(privileged=True, capabilities=ALL_CAPABILITIES, devices=(device,))
    config = _config(security=security)
    linux = obj(config, "linux")
    assert linux["maskedPaths"] == []
    assert linux["readonlyPaths"] == []
    assert objects(linux, "devices")[0]["path"] == "/dev/kvm"
    assert obj(linux, "resources")["devices"] == [{"allow": True, "access": "rwm"}]


def test_the_user_is_written_with_all_groups() -> None:
    user = obj(_config(user=User(uid=1, gid=2, groups=(3, 4))), "process", "user")
    assert user == {"uid": 1, "gid": 2, "additionalGids": [3, 4]}


def test_on_the_machines_network_sys_is_the_machines() -> None:
    config = _config(namespaces=())
    mount = objects(config, "mounts")[_targets(config).index("/sys")]
    assert mount["type"] == "bind"


def test_an_oom_kill_on_v2_takes_the_whole_container() -> None:
    made = config_json(Bundle(rootfs="/r", args=("x",), env=(), cgroup="/c", is_unified=True))
    assert obj(made, "linux", "resources", "unified") == {"memory.oom.group": "1"}
    made = config_json(Bundle(rootfs="/r", args=("x",), env=(), cgroup="/c"))
    assert "unified" not in obj(made, "linux", "resources")


def test_a_mount_that_is_shared_needs_a_root_that_is_not_more_private() -> None:
    def roots(*modes: str) -> object:
        binds = tuple(Bind(source="/s", target=f"/{m}", propagation=m) for m in modes)
        return obj(_config(binds=binds), "linux").get("rootfsPropagation")

    assert roots("rprivate") is None
    assert roots("rprivate", "rslave") == "rslave"
    assert roots("rslave", "rshared") == "rshared"
    (mount,) = [
        m
        for m in objects(
            _config(binds=(Bind(source="/s", target="/t", propagation="rslave"),)), "mounts"
        )
        if text(m, "destination") == "/t"
    ]
    assert mount["options"] == ["rbind", "rslave", "rw"]
