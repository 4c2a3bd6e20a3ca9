"""A container to an OCI config.json. Pure.

Defaults are those of a containerd node: its capabilities, masked paths and mounts. Resource limits
of the process (rlimits) are inherited, never set: without CAP_SYS_RESOURCE setting them fails.
"""

from __future__ import annotations

from dataclasses import dataclass

from podlane.kit.jsonvalue import Json, JsonObject

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW",
    "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
)  # fmt: skip
CAPABILITY_BITS = {
    f"CAP_{name}": bit
    for bit, name in enumerate((
        "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",
        "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW",
        "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT",
        "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD",
        "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG",
        "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
    ))
}  # fmt: skip
ALL_CAPABILITIES = tuple(CAPABILITY_BITS)
TTY_GROUP = 5
_MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
)  # fmt: skip
_READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who the process is, in numbers."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """A directory or file of the machine, seen in the container.

    ``propagation``: whether mounts made below it later are seen on the other side (mount(8)).
    """

    source: str
    target: str
    read_only: bool = False
    propagation: str = "rprivate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device node."""

    path: str
    kind: str
    major: int
    minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the cgroup grants. ``cpu_quota_us`` is per 100 ms. None: no limit."""

    memory_bytes: int | None = None
    cpu_shares: int | None = None
    cpu_quota_us: int | None = None
    pids: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """What the process may do."""

    capabilities: tuple[str, ...] = DEFAULT_CAPABILITIES
    privileged: bool = False
    no_new_privileges: bool = False
    read_only_root: bool = False
    devices: tuple[Device, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Everything a runtime needs to know about one container.

    ``namespaces`` are (type, path) to join; pid, mount and cgroup namespaces are always new. No
    network among them: the machine's own. ``cgroup`` None: no limits are enforced.
    ``is_unified``: the control groups are v2, where an OOM kill can take the whole container.
    """

    rootfs: str
    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str = "/"
    user: User = User()
    terminal: bool = False
    has_tty_group: bool = True
    binds: tuple[Bind, ...] = ()
    namespaces: tuple[tuple[str, str], ...] = ()
    cgroup: str | None = None
    is_unified: bool = False
    limits: Limits = Limits()
    security: Security = Security()
    oom_score_adj: int | None = None


def config_json(bundle: Bundle) -> JsonObject:
    """Return the OCI configuration."""
    return {
        "ociVersion": "1.0.2",
        "root": {"path": bundle.rootfs, "readonly": bundle.security.read_only_root},
        "process": _process(bundle),
        "mounts": _mounts(bundle),
        "linux": _linux(bundle),
    }


def _process(bundle: Bundle) -> JsonObject:
    security, user = bundle.security, bundle.user
    capabilities: list[Json] = [*security.capabilities]
    process: JsonObject = {
        "terminal": bundle.terminal,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": [*user.groups]},
        "args": [*bundle.args],
        "env": [*bundle.env],
        "cwd": bundle.cwd,
        "noNewPrivileges": security.no_new_privileges,
        "capabilities": {
            "bounding": capabilities,
            "effective": capabilities,
            "permitted": capabilities,
        },
    }
    if bundle.oom_score_adj is not None:
        process["oomScoreAdj"] = bundle.oom_score_adj
    return process


def _mounts(bundle: Bundle) -> list[Json]:
    own_network = any(kind == "network" for kind, _ in bundle.namespaces)
    access = "rw" if bundle.security.privileged else "ro"
    mounts: list[Json] = [
        _mount("/proc", "proc", "nosuid", "noexec", "nodev"),
        _mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666",
               "mode=0620", *([f"gid={TTY_GROUP}"] if bundle.has_tty_group else [])),
        _mount("/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev"),
    ]  # fmt: skip
    if own_network:
        mounts.append(_mount("/sys", "sysfs", "nosuid", "noexec", "nodev", access))
    else:
        # A new sysfs shows a network namespace; only its owner may mount it.
        mounts.append(_bind(Bind(source="/sys", target="/sys", read_only=access == "ro")))
    if bundle.cgroup is not None and own_network:
        mounts.append(_mount("/sys/fs/cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime",
                             access))  # fmt: skip
    # A volume inside another volume must be mounted after it.
    ordered = sorted(bundle.binds, key=lambda bind: bind.target.rstrip("/").count("/"))
    return mounts + [_bind(bind) for bind in ordered]


def _mount(target: str, kind: str, *options: str) -> JsonObject:
    return {"destination": target, "type": kind, "source": kind, "options": [*options]}


def _bind(bind: Bind) -> JsonObject:
    options: list[Json] = ["rbind", bind.propagation, "ro" if bind.read_only else "rw"]
    return {"destination": bind.target, "type": "bind", "source": bind.source, "options": options}


def _linux(bundle: Bundle) -> JsonObject:
    security = bundle.security
    namespaces: list[Json] = [{"type": "pid"}, {"type": "mount"}]
    if bundle.cgroup is not None:
        namespaces.append({"type": "cgroup"})
    namespaces += [{"type": kind, "path": path} for kind, path in bundle.namespaces]
    linux: JsonObject = {
        "namespaces": namespaces,
        "maskedPaths": [] if security.privileged else [*_MASKED],
        "readonlyPaths": [] if security.privileged else [*_READONLY],
    }
    for mode in ("rshared", "rslave"):
        if any(bind.propagation == mode for bind in bundle.binds):
            # The container's root must not be more private than what is mounted in it.
            linux["rootfsPropagation"] = mode
            break
    if security.devices:
        linux["devices"] = [
            {"path": d.path, "type": d.kind, "major": d.major, "minor": d.minor}
            for d in security.devices
        ]
    if bundle.cgroup is not None:
        linux["cgroupsPath"] = bundle.cgroup
        linux["resources"] = _resources(bundle)
    return linux


def _resources(bundle: Bundle) -> JsonObject:
    limits = bundle.limits
    resources: JsonObject = {
        "devices": [{"allow": bundle.security.privileged, "access": "rwm"}],
    }
    if limits.memory_bytes is not None:
        # As containerd does: no swap beyond the limit.
        resources["memory"] = {"limit": limits.memory_bytes, "swap": limits.memory_bytes}
    if bundle.is_unified:
        # As a kubelet does on v2: no container goes on without one of its processes.
        resources["unified"] = {"memory.oom.group": "1"}
    cpu: JsonObject = {}
    if limits.cpu_shares is not None:
        cpu["shares"] = limits.cpu_shares
    if limits.cpu_quota_us is not None:
        cpu |= {"quota": limits.cpu_quota_us, "period": 100_000}
    if cpu:
        resources["cpu"] = cpu
    if limits.pids is not None:
        resources["pids"] = {"limit": limits.pids}
    return resources
