"""The layouts of control groups, from /proc/self/mountinfo."""

from __future__ import annotations

from pathlib import Path

from podlane.node.runtime.bundle import Limits
from podlane.node.runtime.cgroups import Cgroups, Layout, detect, writable

V1 = "30 25 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory"
UNIFIED = "31 25 0:27 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw"
V2 = "30 25 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
OTHER = "40 25 0:30 / /mnt/elsewhere rw - cgroup2 cgroup2 rw"


def test_each_layout_is_recognised() -> None:
    assert detect(V2).layout is Layout.V2
    assert detect(V1).layout is Layout.V1
    assert detect(f"{V1}\n{UNIFIED}").layout is Layout.HYBRID
    assert detect(OTHER).layout is Layout.NONE
    assert detect("").layout is Layout.NONE


def test_controllers_that_a_hybrid_layout_left_on_v2_are_named() -> None:
    assert detect(f"{V1}\n{UNIFIED}", "hugetlb misc\n").stray == ("hugetlb", "misc")
    assert detect(V2, "cpu memory").stray == ()


def test_an_oom_kill_is_read_from_either_version(tmp_path: Path) -> None:
    group = tmp_path / "podlane" / "c"
    group.mkdir(parents=True)
    v2 = Cgroups(layout=Layout.V2, unified=tmp_path)
    assert not v2.oom_killed("/podlane/c")
    (group / "memory.events").write_text("low 0\noom 1\noom_kill 1\n")
    assert v2.oom_killed("/podlane/c")
    (group / "memory.events").write_text("oom_kill 0\n")
    (group / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    assert Cgroups(layout=Layout.V1, mounts=(tmp_path,)).oom_killed("/podlane/c")


POD_LIMITS = Limits(memory_bytes=64 << 20, cpu_shares=1024, cpu_quota_us=50_000)


def test_the_group_of_a_pod_gets_its_limits_on_v2(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "podlane", tmp_path / "podlane" / "node"):
        directory.mkdir(exist_ok=True)
    pod = tmp_path / "podlane" / "node" / "pod"
    pod.mkdir()
    (pod / "memory.swap.max").touch()
    Cgroups(layout=Layout.V2, unified=tmp_path).limit("/podlane/node/pod", POD_LIMITS)
    assert (pod / "memory.max").read_text() == str(64 << 20)
    assert (pod / "memory.swap.max").read_text() == "0"
    assert (pod / "cpu.max").read_text() == "50000 100000"
    assert (pod / "cpu.weight").read_text() == "39"
    for above in (tmp_path, tmp_path / "podlane", tmp_path / "podlane" / "node"):
        assert (above / "cgroup.subtree_control").read_text() == "+cpu +memory"
    assert not (pod / "cgroup.subtree_control").exists(), "its runtime passes on what it needs"


def test_the_group_of_a_pod_gets_its_limits_in_each_hierarchy_of_v1(tmp_path: Path) -> None:
    memory, cpu, pids = (tmp_path / name for name in ("memory", "cpu", "pids"))
    for root, names in (
        (memory, ("memory.limit_in_bytes",)),
        (cpu, ("cpu.shares", "cpu.cfs_period_us", "cpu.cfs_quota_us")),
        (pids, ()),
    ):
        root.mkdir()
        for name in names:
            (root / name).touch()
    unified = tmp_path / "unified"
    groups = Cgroups(layout=Layout.HYBRID, mounts=(memory, cpu, pids), unified=unified)
    groups.limit("/podlane/pod", POD_LIMITS)
    assert (memory / "podlane/pod/memory.limit_in_bytes").read_text() == str(64 << 20)
    assert not (memory / "podlane/pod/memory.memsw.limit_in_bytes").exists(), "not in this kernel"
    found = {file.name: file.read_text() for file in (cpu / "podlane/pod").iterdir()}
    assert found == {
        "cpu.shares": "1024",
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_quota_us": "50000",
    }
    assert not list(pids.iterdir())
    assert not unified.exists()


def test_a_group_is_removed_with_those_below_it_and_an_empty_parent(tmp_path: Path) -> None:
    (tmp_path / "podlane" / "node" / "pod").mkdir(parents=True)
    groups = Cgroups(layout=Layout.V2, unified=tmp_path)
    assert groups.remove("/podlane/node")
    assert not (tmp_path / "podlane").exists()
    assert tmp_path.exists()


def _unified(root: Path, controllers: str, subtree: str) -> Cgroups:
    (root / "cgroup.controllers").write_text(controllers)
    (root / "cgroup.subtree_control").write_text(subtree)
    return Cgroups(layout=Layout.V2, unified=root)


def test_limits_on_v2_need_the_memory_controller(tmp_path: Path) -> None:
    assert not writable(Cgroups(layout=Layout.V2, unified=tmp_path))
    assert not writable(_unified(tmp_path, "cpu pids\n", "cpu pids\n"))
    assert writable(_unified(tmp_path, "cpu memory pids\n", "cpu memory\n"))
    assert (tmp_path / "cgroup.subtree_control").read_text() == "cpu memory\n"


def test_a_memory_controller_on_v2_is_passed_on_to_groups(tmp_path: Path) -> None:
    assert writable(_unified(tmp_path, "memory\n", ""))
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory"


def test_processes_on_v2_are_found_at_every_depth(tmp_path: Path) -> None:
    inner = tmp_path / "podlane" / "node" / "pod"
    inner.mkdir(parents=True)
    (inner / "cgroup.procs").write_text("4000001\n4000002\n")
    (inner.parent / "cgroup.procs").write_text("0\n")
    groups = Cgroups(layout=Layout.V2, unified=tmp_path)
    assert groups.pids("/podlane/node") == {4000001, 4000002}
    assert groups.pids("/podlane/other") == set()
