"""Links, addresses and routes by rtnetlink: what ``ip`` does, without a process for each step.

Only what a pod's uplink needs, IPv4 only. See rtnetlink(7).
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Self

_REQUEST, _ACK, _EXCL, _CREATE = 0x1, 0x4, 0x200, 0x400
_NEWLINK, _NEWADDR, _NEWROUTE, _ERROR = 16, 20, 24, 2
_IFF_UP = 1
_IFLA_IFNAME, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 3, 18, 28
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_MAIN_TABLE, _BOOT_PROTOCOL, _UNICAST = 254, 3, 1
_GLOBAL_SCOPE, _LINK_SCOPE = 0, 253
_HOST_BITS = 32
_HEADER = 16


class RouteSocket:
    """A conversation with the kernel about the network namespace that it was opened in."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self._socket.close()

    def add_veth(self, name: str, peer: str, peer_namespace: int) -> None:
        """Make a pair of links, the peer in another network namespace (a descriptor)."""
        there = _attribute(_IFLA_IFNAME, peer.encode() + b"\0")
        there += _attribute(_IFLA_NET_NS_FD, struct.pack("=I", peer_namespace))
        data = _attribute(_VETH_PEER, _link() + there)
        info = _attribute(_INFO_KIND, b"veth") + _attribute(_INFO_DATA, data)
        body = _link() + _attribute(_IFLA_IFNAME, name.encode() + b"\0")
        self._ask(_NEWLINK, _CREATE | _EXCL, body + _attribute(_IFLA_LINKINFO, info))

    def set_up(self, index: int) -> None:
        """Bring a link up."""
        self._ask(_NEWLINK, 0, _link(index, _IFF_UP))

    def add_address(self, index: int, address: str) -> None:
        """Give a link an address that stands alone (/32)."""
        raw = socket.inet_aton(address)
        body = struct.pack("=BBBBI", socket.AF_INET, _HOST_BITS, 0, _GLOBAL_SCOPE, index)
        body += _attribute(_IFA_LOCAL, raw) + _attribute(_IFA_ADDRESS, raw)
        self._ask(_NEWADDR, _CREATE | _EXCL, body)

    def add_route(self, index: int, target: str) -> None:
        """Reach one address directly over a link."""
        body = _route(_HOST_BITS, _LINK_SCOPE) + _attribute(_RTA_DST, socket.inet_aton(target))
        body += _attribute(_RTA_OIF, struct.pack("=I", index))
        self._ask(_NEWROUTE, _CREATE, body)

    def add_default_route(self, index: int, gateway: str) -> None:
        """Reach everything else over a gateway."""
        body = _route(0, _GLOBAL_SCOPE) + _attribute(_RTA_GATEWAY, socket.inet_aton(gateway))
        body += _attribute(_RTA_OIF, struct.pack("=I", index))
        self._ask(_NEWROUTE, _CREATE, body)

    def _ask(self, kind: int, flags: int, body: bytes) -> None:
        """Send one request and wait for its acknowledgement.

        Raises:
            OSError: the kernel refuses.
        """
        head = struct.pack("=IHHII", _HEADER + len(body), kind, _REQUEST | _ACK | flags, 1, 0)
        self._socket.send(head + body)
        answer = self._socket.recv(65536)
        _, answer_kind, _, _, _ = struct.unpack_from("=IHHII", answer)
        (code,) = struct.unpack_from("=i", answer, _HEADER)
        if answer_kind == _ERROR and code:
            raise OSError(-code, os.strerror(-code), "rtnetlink")


def _link(index: int = 0, flags: int = 0) -> bytes:
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, flags, flags)


def _route(target_bits: int, scope: int) -> bytes:
    kinds = (_MAIN_TABLE, _BOOT_PROTOCOL, scope, _UNICAST)
    return struct.pack("=BBBBBBBBI", socket.AF_INET, target_bits, 0, 0, *kinds, 0)


def _attribute(kind: int, value: bytes) -> bytes:
    size = 4 + len(value)
    return struct.pack("=HH", size, kind) + value + b"\0" * (-size % 4)
