"""The way from pods to the outside: a pair of links per pod, and translation by iptables or nft.

The links go with the pod's namespace. The rules carry the node's name (as a comment, or as that of
their nft table): they are removed by their node, or by the sweep after it. So is our switching on of
forwarding (``net.ipv4.ip_forward``), when the last node goes; ``SWITCHED_ON`` remembers it.
"""

from __future__ import annotations

import secrets
import shutil
import socket
import struct
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from podlane.kit.errors import PermanentError
from podlane.kit.names import random_suffix
from podlane.node.runtime.namespaces import in_network
from podlane.node.runtime.netlink import RouteSocket

GATEWAY = "169.254.77.1"
_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
_BOOT = Path("/proc/sys/kernel/random/boot_id")
SWITCHED_ON = Path("/run/podlane/ip_forward")
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
        if shutil.which("iptables") is None:
            remove_rules(self.mark)
        elif _restore(_rules(self, add=False)):
            remove_rules(self.mark)  # some were not there; remove the others one by one


def open_uplink(mark: str) -> Uplink:
    """Make the rules for a node. Blocks for some milliseconds.

    Raises:
        PermanentError: iptables is missing or refuses.
    """
    has_iptables = shutil.which("iptables") is not None
    if not has_iptables and shutil.which("nft") is None:
        raise PermanentError(
            "pods cannot reach the outside: there is no iptables and no nft command",
            hint="apt-get install iptables",
        )
    uplink = Uplink(prefix=_free_prefix(), mark=mark)
    try:
        _switch_forwarding_on()
    except OSError as error:
        raise PermanentError(f"pods cannot reach the outside: {_FORWARD}: {error}") from error
    name = "iptables" if has_iptables else "nft"
    complaint = _restore(_rules(uplink, add=True)) if has_iptables else _load(_table(uplink))
    if complaint:
        raise PermanentError(f"pods cannot reach the outside: {name} said: {complaint}")
    return uplink


def switch_forwarding_back() -> None:
    """Undo our switching on; for when no node is left."""
    with suppress(OSError):
        was_this_boot = SWITCHED_ON.read_text(encoding="ascii") == _BOOT.read_text(encoding="ascii")
        SWITCHED_ON.unlink()
        if was_this_boot:
            _FORWARD.write_text("0", encoding="ascii")


def _switch_forwarding_on() -> None:
    if _FORWARD.read_text(encoding="ascii").strip() != "0":
        return
    with suppress(OSError):
        SWITCHED_ON.parent.mkdir(mode=0o700, exist_ok=True)
        SWITCHED_ON.write_text(_BOOT.read_text(encoding="ascii"), encoding="ascii")
    _FORWARD.write_text("1", encoding="ascii")


def remove_rules(mark: str) -> int:
    """Remove every rule with this mark and return how many there were."""
    removed = 0
    if shutil.which("nft") is not None:
        removed += _run("nft", "delete", "table", "ip", _table_name(mark)).returncode == 0
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


def _table(uplink: Uplink) -> str:
    """Return the same for nft: a table of our own, which goes as a whole."""
    subnet = uplink.subnet
    return (
        f"table ip {_table_name(uplink.mark)} {{\n"
        "  chain postrouting {\n    type nat hook postrouting priority 100;\n"
        f"    ip saddr {subnet} ip daddr != {subnet} masquerade\n  }}\n"
        "  chain forward {\n    type filter hook forward priority 0;\n"
        f"    ip saddr {subnet} accept\n    ip daddr {subnet} accept\n  }}\n"
        "}\n"
    )


def _table_name(mark: str) -> str:
    return mark.replace("-", "_")


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
    return _complaint(_run("iptables-restore", "--noflush", "-w", "5", given=rules))


def _load(table: str) -> str:
    """Make a table and return what nft complains about."""
    return _complaint(_run("nft", "-f", "-", given=table))


def _complaint(done: subprocess.CompletedProcess[bytes]) -> str:
    if done.returncode == 0:
        return ""
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return said[0] if said else f"exit code {done.returncode}"


def _run(*argv: str, given: str = "") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(argv, input=given.encode(), capture_output=True, check=False)
