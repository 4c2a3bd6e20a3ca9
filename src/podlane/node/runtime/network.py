"""A pod's network: loopback always, host ports by forwarding, the machine's own on request."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio.abc import ByteStream, SocketListener, TaskGroup

from podlane.node.runtime.namespaces import PodNamespaces, make_namespaces
from podlane.node.runtime.uplink import GATEWAY, Uplink

_CHUNK_BYTES = 256 * 1024
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodNetwork:
    """The network of one pod."""

    namespaces: PodNamespaces
    ip: str
    uplink: Uplink | None = None

    def serve(self, tasks: TaskGroup) -> None:
        """Forward connections from the pod's host ports to the machine's, until cancelled."""
        for port, listener in self.namespaces.listeners.items():
            tasks.start_soon(_forward, listener, port)

    def close(self) -> None:
        """Give everything back; again is harmless."""
        if not self.namespaces.fds:
            return
        self.namespaces.close()
        if self.uplink is not None:
            self.uplink.disconnect(self.ip)


class Network:
    """Makes networks for pods. Without an uplink they see but themselves and their host ports."""

    def __init__(self, *, always_host: bool = False, uplink: Uplink | None = None) -> None:
        self._always_host = always_host
        self._uplink = uplink
        self.host_ip = _LOOPBACK if uplink is None else GATEWAY

    def open(self, hostname: str, *, host_network: bool, ports: tuple[int, ...]) -> PodNetwork:
        """Make a pod's namespaces; blocks for a millisecond.

        Raises:
            OSError: not allowed.
        """
        host_network = host_network or self._always_host
        made = make_namespaces(hostname, host_network=host_network, ports=ports)
        if self._uplink is None or host_network:
            return PodNetwork(namespaces=made, ip=_LOOPBACK)
        try:
            ip = self._uplink.connect(made.fds["network"])
        except OSError:
            made.close()
            raise
        return PodNetwork(namespaces=made, ip=ip, uplink=self._uplink)

    def close(self) -> None:
        """Remove what the node's pods shared. Blocks."""
        if self._uplink is not None:
            self._uplink.close()


async def _forward(listener: socket.socket, port: int) -> None:
    async def handle(inner: ByteStream) -> None:
        async with inner:
            try:
                outer = await anyio.connect_tcp(_LOOPBACK, port)
            except OSError:
                return  # nobody listens on the machine: the pod sees its connection end
            async with outer, anyio.create_task_group() as tasks:
                tasks.start_soon(_copy, inner, outer)
                tasks.start_soon(_copy, outer, inner)

    # The listener stays the namespace's; this is a second handle on it.
    async with await SocketListener.from_socket(listener.dup()) as served:
        await served.serve(handle)


async def _copy(source: ByteStream, target: ByteStream) -> None:
    try:
        while True:
            await target.send(await source.receive(_CHUNK_BYTES))
    except anyio.EndOfStream:
        try:
            await target.send_eof()
        except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return
    except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
        # One side is broken; end the other so that its copy ends as well.
        await target.aclose()
        await source.aclose()


def hosts_file(hostname: str, ip: str, aliases: tuple[tuple[str, tuple[str, ...]], ...]) -> str:
    """Return /etc/hosts as a kubelet writes it."""
    lines = [
        "# Kubernetes-managed hosts file.",
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::0\tip6-localnet",
        "fe00::0\tip6-mcastprefix",
        "fe00::1\tip6-allnodes",
        "fe00::2\tip6-allrouters",
        f"{ip}\t{hostname}",
    ]
    if aliases:
        lines += ["", "# Entries added by HostAliases."]
        lines += [f"{address}\t{' '.join(names)}" for address, names in aliases]
    return "\n".join(lines) + "\n"


def resolv_conf(nameservers: tuple[str, ...], searches: tuple[str, ...]) -> str:
    """Return /etc/resolv.conf: the pod's own settings on top of the machine's."""
    lines = [f"nameserver {address}" for address in nameservers]
    if searches:
        lines.append(f"search {' '.join(searches)}")
    if not nameservers:
        # systemd's stub at 127.0.0.53 is not there in another network namespace.
        for path in ("/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"):
            try:
                lines.append(Path(path).read_text(encoding="utf-8", errors="replace").rstrip("\n"))
            except OSError:
                continue
            break
    return "\n".join(line for line in lines if line) + "\n"
