"""What the containers of one pod share: directories, namespaces, /etc files, shared memory.

<pods>/<uid>/runtime/          the OCI runtime's own state
etc/              hosts, hostname, resolv.conf
shm/              /dev/shm
volumes/
logs/             <container>-<run>.log
<container>-<run>/  bundle and root file system of one run
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from podlane.node.kubelet import sync
from podlane.node.kubelet.node import Node
from podlane.node.kubelet.podspec import Pod, PodSpec
from podlane.node.runtime import dns
from podlane.node.runtime.bundle import Bind
from podlane.node.runtime.mounts import mount_memory, remove_tree, unmount_below
from podlane.node.runtime.network import PodNetwork, hosts_file

HOST_PORTS = "podlane.dev/host-ports"
_SHM_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """A pod's place on this machine. The methods block for a moment: call them in a thread."""

    directory: Path
    hostname: str
    network: PodNetwork
    cgroup: str | None

    @property
    def state(self) -> Path:
        """Where the runtime keeps its state."""
        return self.directory / "runtime"

    @property
    def volumes(self) -> Path:
        """Where volumes are."""
        return self.directory / "volumes"

    def log_path(self, container: str, run: int) -> Path:
        """Where a run of a container writes its log."""
        return self.directory / "logs" / f"{container}-{run}.log"

    def binds(self) -> tuple[Bind, ...]:
        """Return the mounts that every container gets."""
        etc = self.directory / "etc"
        files = [Bind(source=str(etc / n), target=f"/etc/{n}") for n in ETC_FILES]
        return (Bind(source=str(self.directory / "shm"), target="/dev/shm"), *files)  # noqa: S108 - inside the container

    def dismantle(self, node: Node) -> Path:
        """End what may still run, let go of namespaces, mounts and control groups.

        Returns what is left to be removed: files in a place that no longer looks like a pod.
        """
        if self.cgroup is not None:
            node.cgroups.kill(self.cgroup)
        self.network.close()
        unmount_below(self.directory)
        if self.cgroup is not None:
            node.cgroups.remove(self.cgroup)
        trash = node.directory / "trash"
        trash.mkdir(exist_ok=True, mode=0o700)
        return self.directory.rename(trash / self.directory.name)


ETC_FILES = ("hosts", "hostname", "resolv.conf")


def make_sandbox(node: Node, pod: Pod) -> Sandbox:
    """Make a pod's place; blocks for some milliseconds.

    Raises:
        OSError: the machine does not let us.
    """
    spec = pod.spec
    directory = node.directory / "pods" / pod.metadata.uid
    for name in ("runtime", "etc", "shm", "volumes", "logs"):
        (directory / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    hostname = (spec.hostname or pod.metadata.name)[:63].rstrip("-.")
    resolver = _resolver(spec, on_host=node.network.uses_host(host_network=spec.host_network))
    network = node.network.open(
        hostname,
        host_network=spec.host_network,
        ports=host_ports(pod.metadata.annotations),
        resolver=resolver.loopback,
    )
    cgroup = f"{node.cgroup}/{pod.metadata.uid}" if node.cgroup is not None else None
    granted = sync.pod_limits(spec)
    try:
        if cgroup is not None and granted is not None:
            node.cgroups.limit(cgroup, granted)
        mount_memory(directory / "shm", size_bytes=_SHM_BYTES, mode=0o1777)
        aliases = tuple((alias.ip, alias.hostnames) for alias in spec.host_aliases)
        texts = {
            "hosts": hosts_file(hostname, network.ip, aliases),
            "hostname": hostname + "\n",
            "resolv.conf": resolver.text,
        }
        for name, text in texts.items():
            (directory / "etc" / name).write_text(text, encoding="utf-8")
            (directory / "etc" / name).chmod(0o644)
    except OSError:
        network.close()
        if cgroup is not None:
            node.cgroups.remove(cgroup)
        with suppress(OSError):
            remove_tree(directory)
        raise
    return Sandbox(directory=directory, hostname=hostname, network=network, cgroup=cgroup)


def _resolver(spec: PodSpec, *, on_host: bool) -> dns.Resolver:
    """Return a pod's resolver. ``on_host``: it has the machine's network, so all is as there."""
    config = spec.dns_config
    wanted = dns.Resolver(
        nameservers=config.nameservers,
        searches=config.searches,
        options=tuple(f"{o.name}:{o.value}" if o.value else o.name for o in config.options),
    )
    own = _read("/etc/resolv.conf")
    base = dns.parse(own)
    if not on_host:
        base = dns.machines(own, _read("/run/systemd/resolve/resolv.conf"))
    return dns.for_pod(spec.dns_policy, base, wanted)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def host_ports(annotations: dict[str, str]) -> tuple[int, ...]:
    """Return the ports of the machine that the pod asks to reach; what is no port is ignored."""
    parts = (part.strip() for part in annotations.get(HOST_PORTS, "").split(","))
    numbers = (int(part) for part in parts if part.isascii() and part.isdigit())
    return tuple(dict.fromkeys(n for n in numbers if 0 < n < 65536))  # noqa: PLR2004 - TCP's range
