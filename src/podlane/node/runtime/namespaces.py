"""A pod's network, IPC and UTS namespaces, held by file descriptors of this process.

No process and no mount keeps them alive: when we end, however we end, they are gone. They are made
by a thread that unshares, sets them up and ends. Sockets belong to the namespace they were made in,
so listening sockets for host ports are made in that thread as well and served by our event loop.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from podlane.node.runtime import libc

T = TypeVar("T")
_SIOCSIFFLAGS = 0x8914
_IFF_UP_RUNNING = 0x1 | 0x40
_BACKLOG = 128
_LOOPBACK = "127.0.0.1"
DNS_PORT = 53


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolverSockets:
    """Where a pod asks for names: ``address`` in its loopback."""

    address: str
    datagrams: socket.socket
    stream: socket.socket


@dataclass(slots=True, kw_only=True)
class PodNamespaces:
    """Open namespaces. ``fds`` maps the runtime's name of a kind to a descriptor."""

    fds: dict[str, int]
    listeners: dict[int, socket.socket]
    resolver: ResolverSockets | None = None

    @property
    def paths(self) -> tuple[tuple[str, str], ...]:
        """(type, path) for the runtime, good while we hold the descriptors."""
        return tuple((kind, f"/proc/{os.getpid()}/fd/{fd}") for kind, fd in self.fds.items())

    def close(self) -> None:
        """Let go; the kernel removes what nobody uses any more."""
        for listener in self.listeners.values():
            listener.close()
        self.listeners.clear()
        if self.resolver is not None:
            self.resolver.datagrams.close()
            self.resolver.stream.close()
        for fd in self.fds.values():
            os.close(fd)
        self.fds.clear()


def make_namespaces(
    hostname: str, *, host_network: bool, ports: tuple[int, ...], resolver: str = ""
) -> PodNamespaces:
    """Make the namespaces of a pod; blocks for a millisecond.

    Raises:
        OSError: not allowed, or a port is taken.
    """

    def make() -> PodNamespaces:
        return _make(hostname, host_network=host_network, ports=ports, resolver=resolver)

    return in_own_thread(make)


def in_network(fd: int, act: Callable[[], T]) -> T:
    """Return what ``act`` returns when called inside a network namespace."""

    def inside() -> T:
        libc.setns(fd, libc.CLONE_NEWNET)
        return act()

    return in_own_thread(inside)


def in_own_thread(act: Callable[[], T]) -> T:
    """Run ``act`` in a thread that ends with it, so that no other work sees what it changed."""
    results: list[T] = []
    errors: list[OSError] = []

    def main() -> None:
        try:
            results.append(act())
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=main, name="podlane-namespace", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _make(
    hostname: str, *, host_network: bool, ports: tuple[int, ...], resolver: str
) -> PodNamespaces:
    kinds = {"ipc": "ipc", "uts": "uts"} | ({} if host_network else {"network": "net"})
    flags = libc.CLONE_NEWIPC | libc.CLONE_NEWUTS | (0 if host_network else libc.CLONE_NEWNET)
    libc.unshare(flags)
    libc.sethostname(hostname[:63])
    made = PodNamespaces(fds={}, listeners={})
    try:
        for kind, name in kinds.items():
            made.fds[kind] = os.open(f"/proc/thread-self/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
        if not host_network:
            _loopback_up()
            for port in ports:
                made.listeners[port] = _listen(_LOOPBACK, port)
            if resolver:
                made.resolver = _resolver(resolver)
    except OSError:
        made.close()
        raise
    return made


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH22x", b"lo", _IFF_UP_RUNNING)
        fcntl.ioctl(control, _SIOCSIFFLAGS, request)
    # As containerd's defaults: any user may ping and listen on low ports.
    with suppress(OSError):
        Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 2147483647", encoding="ascii")
    with suppress(OSError):
        Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").write_text("0", encoding="ascii")


def _resolver(address: str) -> ResolverSockets:
    stream = _listen(address, DNS_PORT)
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        datagrams.bind((address, DNS_PORT))
        datagrams.setblocking(False)
    except OSError:
        datagrams.close()
        stream.close()
        raise
    return ResolverSockets(address=address, datagrams=datagrams, stream=stream)


def _listen(address: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
