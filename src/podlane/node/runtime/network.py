"""A pod's network: loopback always, host ports by forwarding, the machine's own on request."""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

import anyio
from anyio.abc import ByteStream, SocketListener, TaskGroup

from podlane.node.runtime.namespaces import DNS_PORT, PodNamespaces, make_namespaces
from podlane.node.runtime.uplink import GATEWAY, Uplink

_CHUNK_BYTES = 256 * 1024
_LOOPBACK = "127.0.0.1"
_DATAGRAM_BYTES = 65535
_QUESTIONS = 64
_ANSWER_SECONDS = 10.0
_Sender: TypeAlias = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PodNetwork:
    """The network of one pod."""

    namespaces: PodNamespaces
    ip: str
    uplink: Uplink | None = None

    def serve(self, tasks: TaskGroup) -> None:
        """Forward connections from the pod's host ports to the machine's, until cancelled."""
        for port, listener in self.namespaces.listeners.items():
            tasks.start_soon(_forward, listener, _LOOPBACK, port)
        resolver = self.namespaces.resolver
        if resolver is not None:
            tasks.start_soon(_forward, resolver.stream, resolver.address, DNS_PORT)
            tasks.start_soon(relay, resolver.datagrams, resolver.address, DNS_PORT)

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

    def uses_host(self, *, host_network: bool) -> bool:
        """Whether a pod that says so gets the machine's network."""
        return host_network or self._always_host

    def open(
        self, hostname: str, *, host_network: bool, ports: tuple[int, ...], resolver: str = ""
    ) -> PodNetwork:
        """Make a pod's namespaces; blocks for a millisecond.

        ``resolver``: the machine's name server on loopback, to be reached at the same address.

        Raises:
            OSError: not allowed.
        """
        host_network = self.uses_host(host_network=host_network)
        made = make_namespaces(hostname, host_network=host_network, ports=ports, resolver=resolver)
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


async def _forward(listener: socket.socket, address: str, port: int) -> None:
    async def handle(inner: ByteStream) -> None:
        async with inner:
            try:
                outer = await anyio.connect_tcp(address, port)
            except OSError:
                return  # nobody listens on the machine: the pod sees its connection end
            async with outer, anyio.create_task_group() as tasks:
                tasks.start_soon(_copy, inner, outer)
                tasks.start_soon(_copy, outer, inner)

    # The listener stays the namespace's; this is a second handle on it.
    async with await SocketListener.from_socket(listener.dup()) as served:
        await served.serve(handle)


async def relay(questions: socket.socket, address: str, port: int) -> None:
    """Carry datagrams to an address of the machine and each answer back, until cancelled."""
    limit = anyio.CapacityLimiter(_QUESTIONS)

    async def ask(question: bytes, sender: _Sender) -> None:
        async with limit:
            with anyio.move_on_after(_ANSWER_SECONDS), suppress(OSError, anyio.BrokenResourceError):
                async with await anyio.create_connected_udp_socket(address, port) as outer:
                    await outer.send(question)
                    questions.sendto(await outer.receive(), sender)

    async with anyio.create_task_group() as tasks:
        while True:
            await anyio.wait_readable(questions)
            with suppress(BlockingIOError):
                question, sender = questions.recvfrom(_DATAGRAM_BYTES)
                tasks.start_soon(ask, question, sender)


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
