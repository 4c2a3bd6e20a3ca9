"""The way from pods to the outside: a pair of links per pod, and address translation by iptables.

The links go with the pod's namespace. The rules carry the node's name as a comment: they are removed
by their node, or by the sweep after it. Forwarding (``net.ipv4.ip_forward``) stays on.
"""

from __future__ import annotations

import secrets
import shutil
import socket
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from podlane.kit.errors import PermanentError
from podlane.kit.names import random_suffix
from podlane.node.runtime.namespaces import in_network
from podlane.node.runtime.netlink import RouteSocket

GATEWAY = "169.254.77.1"
_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
_TRIES = 50
_FIRST, _LAST = 2, 254


@dataclass(slots=True, kw_only=True)
class Uplink:
    """Addresses of one node's pods: ``prefix`` is the first three numbers of theirs."""

    prefix: str
    mark: str
    _used: set[int] = field(default_factory=set)

    @property
    def subnet(self) -> str:
        """All addresses."""
        return f"{self.prefix}.0/24"

    def connect(self, namespace: int) -> str:
        """Connect a network namespace and return its address.

        Raises:
            OSError: the kernel refuses, or all addresses are in use.
        """
        number = next((n for n in range(_FIRST, _LAST) if n not in self._used), None)
        if number is None:
            raise OSError(99, "all addresses for pods are in use", self.subnet)
        self._used.add(number)
        address, name = f"{self.prefix}.{number}", f"pl{random_suffix(10)}"
        try:
            with RouteSocket() as routes:
                routes.add_veth(name, "eth0", namespace)
                outer = socket.if_nametoindex(name)
                routes.add_address(outer, GATEWAY)
                routes.set_up(outer)
                routes.add_route(outer, address)
            in_network(namespace, lambda: _configure(address))
        except OSError:
            self._used.discard(number)
            raise
        return address

    def disconnect(self, address: str) -> None:
        """Free an address; the links are gone with the namespace."""
        self._used.discard(int(address.rpartition(".")[2]))

    def close(self) -> None:
        """Remove the rules. Blocks for some milliseconds."""
        if _restore(_rules(self, add=False)):
            remove_rules(self.mark)  # some were not there; remove the others one by one


def open_uplink(mark: str) -> Uplink:
    """Make the rules for a node. Blocks for some milliseconds.

    Raises:
        PermanentError: iptables is missing or refuses.
    """
    if shutil.which("iptables") is None:
        raise PermanentError(
            "pods cannot reach the outside: there is no iptables command",
            hint="apt-get install iptables",
        )
    uplink = Uplink(prefix=_free_prefix(), mark=mark)
    try:
        _FORWARD.write_text("1", encoding="ascii")
    except OSError as error:
        raise PermanentError(f"pods cannot reach the outside: {_FORWARD}: {error}") from error
    complaint = _restore(_rules(uplink, add=True))
    if complaint:
        raise PermanentError(f"pods cannot reach the outside: iptables said: {complaint}")
    return uplink


def remove_rules(mark: str) -> int:
    """Remove every rule with this mark and return how many there were."""
    removed = 0
    if shutil.which("iptables") is None:
        return removed
    for table in ("nat", "filter"):
        listed = (
            _run("iptables", "-w", "5", "-t", table, "-S")
            .stdout.decode(errors="replace")
            .splitlines()
        )
        for line in listed:
            words = [word.strip('"') for word in line.split()]
            if mark in words and words[0] == "-A":
                removed += (
                    _run("iptables", "-w", "5", "-t", table, "-D", *words[1:]).returncode == 0
                )
    return removed


def _rules(uplink: Uplink, *, add: bool) -> str:
    """Return the rules as iptables-restore reads them; both tables change at once or not at all."""
    subnet, comment = uplink.subnet, f"-m comment --comment {uplink.mark}"
    append, insert = ("-A", "-I") if add else ("-D", "-D")
    return (
        f"*nat\n{append} POSTROUTING -s {subnet} ! -d {subnet} {comment} -j MASQUERADE\nCOMMIT\n"
        f"*filter\n{insert} FORWARD -s {subnet} {comment} -j ACCEPT\n"
        f"{insert} FORWARD -d {subnet} {comment} -j ACCEPT\nCOMMIT\n"
    )


def _configure(address: str) -> None:
    """Set the inner link up; called inside the namespace."""
    with RouteSocket() as routes:
        inner = socket.if_nametoindex("eth0")
        routes.add_address(inner, address)
        routes.set_up(inner)
        routes.add_route(inner, GATEWAY)
        routes.add_default_route(inner, GATEWAY)


def _free_prefix() -> str:
    """Return a subnet for pods that no route of this machine covers."""
    taken = _routes(Path("/proc/net/route").read_text(encoding="ascii"))
    for _ in range(_TRIES):
        prefix = f"10.{200 + secrets.randbelow(50)}.{secrets.randbelow(256)}"
        number = int.from_bytes(socket.inet_aton(f"{prefix}.1"), "big")
        if not any(number & mask == target for target, mask in taken if mask):
            return prefix
    raise PermanentError(
        "there is no free subnet for pods: this machine routes all of 10.200/10.249"
    )


def _routes(text: str) -> list[tuple[int, int]]:
    rows = [line.split() for line in text.splitlines()[1:]]
    return [(_number(row[1]), _number(row[7])) for row in rows if len(row) > 7]  # noqa: PLR2004 - column Mask


def _number(raw: str) -> int:
    return int.from_bytes(struct.pack("=I", int(raw, 16)), "big")


def _restore(rules: str) -> str:
    """Apply rules and return what iptables complains about."""
    done = _run("iptables-restore", "--noflush", "-w", "5", given=rules)
    if done.returncode == 0:
        return ""
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return said[0] if said else f"exit code {done.returncode}"


def _run(*argv: str, given: str = "") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(argv, input=given.encode(), capture_output=True, check=False)
